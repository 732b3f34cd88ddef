"""The mean picture of each class is that of its training pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.class_means import class_mean
from app.preprocessing import Channels
from tests.worker.datasets.pictures import file_of, gradient, two_classes, zip_of
from tests.worker.datasets.test_build import caffe_pixels, make, spec_of, stored
from worker.datasets.class_means import ClassMeans, shrunk, small_side, sums_by_class


def shown(folder: Path, label: int) -> np.ndarray:
    data = class_mean(folder, label)
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


@pytest.mark.parametrize("channels", list(Channels))
def test_class_means_are_those_of_the_stored_training_pictures(channels: Channels, tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=30), channels=channels, processes=2)
    make(spec)
    for label in (0, 1):
        pictures = [caffe_pixels(d) for _, d in stored(spec.out_dir, "train") if d.get(5, [0]) == [label]]
        expected = np.mean(pictures, axis=0)[:, :, ::-1].squeeze()
        assert np.abs(shown(spec.out_dir, label) - expected).max() <= 0.51


def test_large_pictures_are_shown_small_and_keep_their_shape(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": file_of(gradient(200, 100)) for name in "ab" for n in range(3)}
    spec = spec_of(zip_of(tmp_path / "a.zip", files), width=200, height=100)
    make(spec)
    assert shown(spec.out_dir, 0).shape == (32, 64, 3)
    assert class_mean(spec.out_dir, 2) is None
    assert class_mean(spec.out_dir, -1) is None
    assert class_mean(tmp_path, 0) is None


def test_many_classes_get_smaller_pictures_and_too_many_none(tmp_path: Path) -> None:
    assert [small_side(count) for count in (2, 100, 101, 2000, 2001)] == [64, 64, 32, 32, 0]
    means = ClassMeans(3000)
    means.add({})
    means.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_class_without_training_pictures_is_black(tmp_path: Path) -> None:
    means = ClassMeans(2)
    means.add(shrunk(sums_by_class([np.full((2, 2), 200, np.uint8)] * 3, [1, 1, 1]), 64))
    means.write(tmp_path)
    assert (shown(tmp_path, 0) == 0).all()
    assert (shown(tmp_path, 1) == 200).all()


@pytest.mark.parametrize("count", [1, 257, 600])
def test_sums_are_exact_however_many_there_are(count: int) -> None:
    pictures = [np.full((2, 3, 3), 255, np.uint8)] * count
    (total, number), (other, _) = sums_by_class([*pictures, np.ones((2, 3, 3), np.uint8)], [4] * count + [7]).values()
    assert (total == 255 * count).all()
    assert number == count
    assert (other == 1).all()
