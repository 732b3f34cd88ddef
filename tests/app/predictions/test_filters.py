"""Weights of a snapshot as pictures and numbers, against arrays made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.predictions import filters
from app.predictions.activations import GAP, GAP_INDEX, LEVELS
from app.predictions.filters import draw_filters, read_shapes, summarize, view_filters
from app.pretrained.weights_files import WeightsError

RANDOM = np.random.default_rng(1)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    arrays = {
        "conv1.weight": RANDOM.normal(size=(20, 1, 5, 5)),
        "conv1.bias": np.zeros(20),
        "conv2/5x5.weight": RANDOM.normal(size=(50, 20, 5, 5)),
        "ip1.weight": RANDOM.normal(size=(500, 800)),
        "prelu.weight": np.array(0.25),
    }
    save_file({name: values.astype(np.float32) for name, values in arrays.items()}, path)
    return path


def test_shapes_come_from_the_header_with_slashes_in_names(weights: Path) -> None:
    shapes = read_shapes(weights)
    assert list(shapes) == ["conv1", "conv2/5x5", "ip1", "prelu"]
    assert shapes["conv1"].weight == (20, 1, 5, 5)
    assert shapes["conv1"].parameters == 520
    assert shapes["ip1"].parameters == 400_000
    assert (shapes["prelu"].weight, shapes["prelu"].parameters) == ((), 1)


def test_filters_of_one_input_are_one_map_each(weights: Path) -> None:
    view = view_filters("Convolution", (20, 1, 5, 5))
    assert view is not None
    assert (view.filters_shown, view.inputs_shown) == (20, 1)
    assert draw_filters(weights, "conv1", view).size == (view.tiling.width, view.tiling.height)


def test_filters_of_many_inputs_are_one_row_each(weights: Path) -> None:
    view = view_filters("Convolution", (50, 20, 5, 5))
    assert view is not None
    assert (view.filters_shown, view.inputs_shown) == (32, 20)
    picture = draw_filters(weights, "conv2/5x5", view)
    assert picture.size == (view.tiling.width, view.tiling.height)


def test_a_filter_is_where_its_row_and_column_say(tmp_path: Path) -> None:
    values = np.full((4, 6, 1, 1), -1.0, np.float32)
    values[2, 5] = 1.0
    save_file({"conv.weight": values}, tmp_path / "w.safetensors")
    view = view_filters("Convolution", (4, 6, 1, 1))
    assert view is not None
    picture = np.asarray(draw_filters(tmp_path / "w.safetensors", "conv", view))
    pitch = view.tiling.zoom + GAP
    assert np.argwhere(picture == LEVELS).min(axis=0).tolist() == [2 * pitch, 5 * pitch]
    assert picture[view.tiling.zoom, 0] == GAP_INDEX


def test_filters_on_colours_are_pictures_in_colours(tmp_path: Path) -> None:
    values = np.zeros((2, 3, 4, 4), np.float32)
    values[0, 2] = 1.0  # BGR: red
    save_file({"conv1.weight": values}, tmp_path / "w.safetensors")
    view = view_filters("Convolution", (2, 3, 4, 4))
    assert view is not None
    assert draw_filters(tmp_path / "w.safetensors", "conv1", view).getpixel((0, 0)) == (255, 0, 0, 255)


def test_an_inner_product_is_seen_as_pictures_of_its_input(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(10, 784)).astype(np.float32)
    save_file({"ip.weight": values}, tmp_path / "w.safetensors")
    view = view_filters("InnerProduct", (10, 784), (1, 28, 28))
    assert view is not None
    assert view.tiling.count == 10
    assert (view.tiling.tile_height, view.tiling.tile_width) == (28, 28)
    draw_filters(tmp_path / "w.safetensors", "ip", view)


def test_weights_that_are_no_pictures_are_not_drawn() -> None:
    assert view_filters("InnerProduct", (10, 500), (500,)) is None
    assert view_filters("InnerProduct", (10, 500), (500, 1, 1)) is None
    assert view_filters("InnerProduct", (10, 500), (1, 28, 28)) is None
    assert view_filters("BatchNorm", (20,)) is None


def test_a_huge_layer_is_cut_to_its_first_filters() -> None:
    view = view_filters("InnerProduct", (4096, 9216), (256, 6, 6))
    assert view is not None
    assert (view.filters_shown, view.inputs_shown) == (32, 64)


@pytest.mark.parametrize("piece", [7, 4_000_000])
def test_numbers_agree_with_numpy_however_they_are_read(
    weights: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    monkeypatch.setattr(filters, "PIECE", piece)
    values = load_file(weights)["conv2/5x5.weight"].astype(np.float64)
    summary = summarize(weights, "conv2/5x5")
    assert summary.mean == pytest.approx(values.mean(), abs=1e-7)
    assert summary.std == pytest.approx(values.std(), rel=1e-5)
    assert (summary.min, summary.max) == (values.min(), values.max())
    assert sum(summary.histogram["counts"]) == values.size


def test_a_single_number_is_a_weight_too(weights: Path) -> None:
    summary = summarize(weights, "prelu")
    assert (summary.mean, summary.std, summary.min, summary.max) == (0.25, 0.0, 0.25, 0.25)


def test_a_broken_file_says_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"weights\.safetensors cannot be read"):
        read_shapes(tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="conv1"):
        summarize(tmp_path / "missing.safetensors", "conv1")
