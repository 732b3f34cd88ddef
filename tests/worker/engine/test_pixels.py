from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.preprocessing import Channels, MeanMode, Preprocessing
from tests.worker.engine.oracle import DEVICE
from worker.engine.errors import EngineError
from worker.engine.pixels import PixelTransform, Windows
from worker.engine.stores import HostStore

COLOR = Preprocessing(Channels.COLOR, width=6, height=5)


def pixels(count: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    np.save(tmp_path / "mean.npy", np.random.default_rng(9).random((3, 5, 6), dtype=np.float32) * 200)
    return tmp_path


def caffe(
    image: np.ndarray, mean: np.ndarray, scale: float, top: int, left: int, size: int, mirror: bool
) -> np.ndarray:
    """One image (H, W, C) as Caffe's data_transformer.cpp makes it, pixel by pixel: (C, size, size)."""
    result = np.empty((image.shape[2], size, size), np.float32)
    for channel in range(image.shape[2]):
        for y in range(size):
            for x in range(size):
                value = np.float32(image[top + y, left + x, channel]) - mean[channel, top + y, left + x]
                result[channel, y, size - 1 - x if mirror else x] = value * np.float32(scale)
    return result


def central(preprocessing: Preprocessing, dataset: Path, images: np.ndarray) -> np.ndarray:
    transform = PixelTransform(preprocessing, dataset, DEVICE)
    return transform.central(torch.from_numpy(images).to(DEVICE)).cpu().numpy()


def test_without_options_pixels_become_floats_channels_first() -> None:
    found = central(COLOR, Path("nowhere"), pixels())
    assert found.dtype == np.float32
    assert np.array_equal(found, pixels().transpose(0, 3, 1, 2))


def test_the_mean_image_is_subtracted_before_the_scale(dataset: Path) -> None:
    mean = np.load(dataset / "mean.npy")
    found = central(replace(COLOR, mean=MeanMode.IMAGE, scale=0.25), dataset, pixels())
    assert np.allclose(found, (pixels().transpose(0, 3, 1, 2) - mean) * 0.25)


def test_mean_values_are_subtracted_per_channel(dataset: Path) -> None:
    found = central(replace(COLOR, mean=MeanMode.PIXEL, mean_values=(1, 20, 300)), dataset, pixels())
    assert np.allclose(found, pixels().transpose(0, 3, 1, 2) - np.array([1, 20, 300])[:, None, None])


def test_without_mean_values_they_come_from_the_mean_image(dataset: Path) -> None:
    mean = np.load(dataset / "mean.npy").mean(axis=(1, 2))
    found = central(replace(COLOR, mean=MeanMode.PIXEL), dataset, pixels())
    assert np.allclose(found, pixels().transpose(0, 3, 1, 2) - mean[:, None, None], atol=1e-4)


def test_the_centre_is_cropped_from_image_and_mean_alike(dataset: Path) -> None:
    mean = np.load(dataset / "mean.npy")
    found = central(replace(COLOR, mean=MeanMode.IMAGE, crop_size=4, scale=2), dataset, pixels())
    expected = [caffe(image, mean, 2, top=0, left=1, size=4, mirror=False) for image in pixels()]
    assert np.allclose(found, expected)


def test_drawn_windows_give_caffes_pixels(dataset: Path) -> None:
    mean = np.load(dataset / "mean.npy")
    preprocessing = replace(COLOR, mean=MeanMode.IMAGE, crop_size=3, mirror=True, scale=0.5)
    transform = PixelTransform(preprocessing, dataset, DEVICE)
    windows = transform.draw_windows(3, np.random.default_rng(4))
    windows = replace(windows, mirrored=np.array([True, False, True]))
    cut = HostStore(pixels()).take(np.array([2, 0, 1]), windows).to(DEVICE)
    found = transform.windowed(cut, windows).cpu().numpy()
    for place, index in enumerate([2, 0, 1]):
        top, left, mirrored = windows.tops[place], windows.lefts[place], windows.mirrored[place]
        assert np.allclose(found[place], caffe(pixels()[index], mean, 0.5, top, left, 3, mirrored))


def test_windows_reach_every_place_and_both_sides() -> None:
    transform = PixelTransform(replace(COLOR, crop_size=4, mirror=True), Path("nowhere"), DEVICE)
    windows = transform.draw_windows(500, np.random.default_rng(1))
    assert set(windows.tops.tolist()) == {0, 1}
    assert set(windows.lefts.tolist()) == {0, 1, 2}
    assert 200 < windows.mirrored.sum() < 300


def test_windows_are_drawn_only_where_they_change_something() -> None:
    assert not PixelTransform(COLOR, Path("nowhere"), DEVICE).draws_windows
    assert not PixelTransform(replace(COLOR, width=5, crop_size=5), Path("nowhere"), DEVICE).draws_windows
    assert PixelTransform(replace(COLOR, mirror=True), Path("nowhere"), DEVICE).draws_windows


def test_indices_of_a_window_run_backwards_where_it_is_mirrored() -> None:
    windows = Windows(np.array([1, 0]), np.array([2, 0]), np.array([True, False]), 2, 3)
    rows, columns = windows.rows_and_columns(DEVICE)
    assert rows[:, :, 0].tolist() == [[1, 2], [0, 1]]
    assert columns[:, 0].tolist() == [[4, 3, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"crop_size": 7}, "expected a crop size up to the images' 6×5, found 7"),
        ({"mean": MeanMode.PIXEL, "mean_values": (1, 2)}, "expected 1 or 3 mean values, found 2"),
        ({"mean": MeanMode.IMAGE, "width": 8}, "expected a mean image of shape (3, 5, 8), found (3, 5, 6)"),
    ],
)
def test_what_cannot_be_prepared_is_named(dataset: Path, options: dict[str, object], expected: str) -> None:
    with pytest.raises(EngineError) as error:
        PixelTransform(replace(COLOR, **options), dataset, DEVICE)  # type: ignore[arg-type]
    assert expected in str(error.value)


def test_a_missing_mean_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="expected the mean image of the dataset in"):
        PixelTransform(replace(COLOR, mean=MeanMode.IMAGE), tmp_path, DEVICE)
