"""The sizes of DIGITS' resize modes, drawn by hand, and what lies where."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from app.imaging.resize import ResizeError, resize, scaled_size
from app.preprocessing import ResizeMode
from tests.worker.datasets.pictures import gradient, noise


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        # 400×300 to 100×100: ratios 4 and 3
        (ResizeMode.CROP, (400, 300), (133, 100)),
        (ResizeMode.FILL, (400, 300), (100, 76)),  # 75 leaves an odd gap of 25
        (ResizeMode.HALF_CROP, (400, 300), (114, 86)),
        # 300×400
        (ResizeMode.CROP, (300, 400), (100, 133)),
        (ResizeMode.FILL, (300, 400), (76, 100)),
        (ResizeMode.HALF_CROP, (300, 400), (86, 114)),
        # a line
        (ResizeMode.FILL, (1000, 1), (100, 2)),
        (ResizeMode.CROP, (1000, 10), (10000, 100)),
        # smaller than the target
        (ResizeMode.FILL, (10, 5), (100, 50)),
    ],
)
def test_scaled_sizes_are_those_of_digits(mode: ResizeMode, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scaled_size(size, 100, 100, mode) == expected


@pytest.mark.parametrize("mode", [mode for mode in ResizeMode if mode is not ResizeMode.NONE])
@pytest.mark.parametrize("color", ["L", "RGB"])
@pytest.mark.parametrize("size", [(400, 300), (300, 400), (33, 57), (1, 500), (500, 1), (7, 7), (101, 100)])
@pytest.mark.parametrize("target", [(100, 100), (28, 28), (20, 10), (10, 21), (1, 1)])
def test_every_mode_gives_the_wanted_size(
    mode: ResizeMode, color: str, size: tuple[int, int], target: tuple[int, int]
) -> None:
    resized = resize(gradient(*size).convert(color), *target, mode)
    assert (resized.size, resized.mode) == (target, color)


@pytest.mark.parametrize("mode", list(ResizeMode))
def test_a_picture_of_the_right_size_is_left_untouched(mode: ResizeMode) -> None:
    picture = Image.fromarray(noise(1, 20, 10))
    assert np.array_equal(np.asarray(resize(picture, 20, 10, mode)), noise(1, 20, 10))


def test_crop_keeps_the_middle() -> None:
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 255
    assert (np.asarray(resize(Image.fromarray(picture), 10, 10, ResizeMode.CROP)) == 255).all()


def test_fill_centres_the_picture_between_equal_borders() -> None:
    picture = Image.new("RGB", (20, 10), (200, 200, 200))
    filled = np.asarray(resize(picture, 20, 20, ResizeMode.FILL, (1, 2, 3)))
    assert (filled[:5] == (1, 2, 3)).all()
    assert (filled[15:] == (1, 2, 3)).all()
    assert (filled[5:15] == 200).all()


def test_noise_at_the_borders_is_the_same_for_the_same_picture() -> None:
    picture = Image.fromarray(noise(1, 20, 10))
    first, second = (np.asarray(resize(picture, 20, 20, ResizeMode.FILL)) for _ in range(2))
    other = np.asarray(resize(Image.fromarray(noise(2, 20, 10)), 20, 20, ResizeMode.FILL))
    assert np.array_equal(first, second)
    assert not np.array_equal(first[:5], other[:5])
    assert first[:5].std() > 50


def test_shrinking_averages_and_does_not_pick_pixels() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 128))  # one pixel wide
    squashed = np.asarray(resize(Image.fromarray(stripes), 16, 16, ResizeMode.SQUASH)).astype(int)
    assert np.abs(squashed - 127).max() <= 3


def test_without_resizing_another_size_is_refused() -> None:
    with pytest.raises(ResizeError, match=r"is 40×30, not 28×28, and resizing is off"):
        resize(gradient(), 28, 28, ResizeMode.NONE)
