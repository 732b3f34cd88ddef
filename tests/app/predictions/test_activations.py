"""Feature maps as pictures, against matrices drawn by hand."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.predictions.activations import (
    GAP_INDEX,
    LEVELS,
    MAX_PIXELS,
    Scale,
    draw,
    draw_colors,
    draw_maps,
    load,
    maps_shape,
    png,
    tile,
    tiling_of,
)


def test_maps_lie_side_by_side_with_a_see_through_gap() -> None:
    maps = np.array([[[0.0, 1.0]], [[2.0, 4.0]], [[4.0, 0.0]]])
    tiling = tile(3, 1, 2, columns=2)
    tiling = replace(tiling, zoom=1)
    picture = np.asarray(draw_maps(maps, tiling, Scale(0, 4)))
    gap, quarter = GAP_INDEX, round(LEVELS / 4)
    assert picture.tolist() == [
        [0, quarter, gap, gap, LEVELS // 2, LEVELS],
        [gap, gap, gap, gap, gap, gap],
        [gap, gap, gap, gap, gap, gap],
        [LEVELS, 0, gap, gap, gap, gap],
    ]


def test_zooming_repeats_pixels_and_nothing_else() -> None:
    maps = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    tiling = tile(1, 2, 3)
    picture = np.asarray(draw_maps(maps, tiling, Scale.of(maps)))
    small = picture[:: tiling.zoom, :: tiling.zoom]
    assert tiling.zoom > 1
    assert np.array_equal(picture, np.kron(small, np.ones((tiling.zoom, tiling.zoom), np.uint8)))


def test_the_size_is_known_before_drawing() -> None:
    for shape in [
        (1, 20, 24, 24),
        (20, 24, 24),
        (1, 10),
        (500,),
        (832, 7, 7),
        (64, 112, 112),
        (3, 224, 224),
        (96, 1, 1),
    ]:
        tiling = tiling_of(shape)
        assert draw(np.zeros(shape, np.float16)).size == (tiling.width, tiling.height)
        assert tiling.width <= 2400


def test_the_last_row_is_as_full_as_can_be() -> None:
    assert [tile(count, 24, 24).columns for count in (20, 50, 64, 96)] == [5, 10, 8, 12]


def test_what_is_never_negative_goes_from_the_first_colour_to_the_last() -> None:
    picture = draw(np.array([0.0, 5.0], np.float32)).convert("RGB")
    assert picture.getpixel((0, 0)) == (0x44, 0x01, 0x54)
    assert picture.getpixel((picture.width - 1, 0)) == (0xFD, 0xE7, 0x25)


def test_zero_is_white_when_there_are_both_signs() -> None:
    scale = Scale.of(np.array([-1.0, 0.0, 4.0]))
    assert (scale.low, scale.high) == (-4.0, 4.0)
    picture = draw(np.array([-4.0, 0.0, 4.0], np.float32)).convert("RGB")
    third = picture.width // 3
    assert picture.getpixel((0, 0)) == (0x08, 0x51, 0x9C)
    assert picture.getpixel((third + third // 2, 0)) == (0xF7, 0xF7, 0xF7)
    assert picture.getpixel((picture.width - 1, 0)) == (0xA5, 0x0F, 0x15)


def test_one_scale_holds_for_all_maps_of_a_layer() -> None:
    picture = np.asarray(draw(np.stack([np.zeros((2, 2)), np.full((2, 2), 9.0)]).astype(np.float16)))
    assert {0, LEVELS} <= set(picture.ravel().tolist())


def test_a_constant_layer_is_one_colour() -> None:
    assert set(np.asarray(draw(np.full((2, 3, 3), 7.0))).ravel()) - {GAP_INDEX} == {0}


def test_values_that_are_no_numbers_are_see_through_and_spoil_nothing() -> None:
    values = np.array([[[0.0, np.nan], [np.inf, 2.0]]])
    picture = draw(values)
    corner = np.asarray(picture)[:: picture.height // 2, :: picture.width // 2]
    assert corner.tolist() == [[0, GAP_INDEX], [LEVELS, LEVELS]]
    assert np.asarray(picture.convert("RGBA"))[0, -1, 3] == 0
    assert draw(np.full((2, 2, 2), np.nan)).size[0] > 0


def test_vectors_are_rows_of_cells() -> None:
    assert maps_shape((1, 10)) == (1, 1, 10)
    assert maps_shape((10,)) == (1, 1, 10)
    assert maps_shape((4096, 1, 1)) == maps_shape((4096,)) == (1, 46, 91)
    assert maps_shape(()) == (1, 1, 1)


def test_the_last_row_of_a_vector_is_filled_with_nothing() -> None:
    picture = np.asarray(draw(np.arange(1, 41, dtype=np.float32)))
    assert picture[0, 0] == 0
    assert picture[-1, -1] == GAP_INDEX


def test_a_batch_of_one_and_one_channel_are_told_apart() -> None:
    assert maps_shape((1, 28, 28)) == (1, 28, 28)
    assert maps_shape((1, 1, 28, 28)) == (1, 28, 28)
    assert maps_shape((1, 20, 12, 12)) == (20, 12, 12)


def test_of_too_many_maps_the_first_are_shown() -> None:
    tiling = tile(4096, 112, 112)
    assert 1 <= tiling.shown < tiling.count == 4096
    assert tiling.zoom == 1
    assert tiling.width * tiling.height <= 1.1 * MAX_PIXELS


def test_an_empty_output_still_has_a_picture() -> None:
    assert draw(np.zeros((0,), np.float16)).size[0] >= 1


def test_bgr_filters_are_drawn_in_their_colours() -> None:
    red_and_blue = np.array([[[[0.0]], [[0.0]], [[1.0]]], [[[1.0]], [[0.0]], [[0.0]]]])  # (2, 3, 1, 1), BGR
    picture = draw_colors(red_and_blue, tile(2, 1, 1), Scale(0, 1))
    assert picture.getpixel((0, 0)) == (255, 0, 0, 255)
    assert picture.getpixel((picture.width - 1, 0)) == (0, 0, 255, 255)


def test_what_the_engine_saves_can_be_read_back(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.float16).reshape(2, 2, 2)
    np.save(tmp_path / "01.npy", values)
    assert np.array_equal(load(tmp_path / "01.npy"), values)
    with Image.open(io.BytesIO(png(draw(load(tmp_path / "01.npy"))))) as picture:
        assert picture.format == "PNG"
        assert picture.convert("RGBA").size == (tiling_of((2, 2, 2)).width, tiling_of((2, 2, 2)).height)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        load(tmp_path / "bad.npy")
