"""Altered copies: what each alteration does, and how they join a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.checkup import read_checkup
from app.datasets.lmdb_reader import open_split
from app.imaging.copies import Augmentation, altered
from tests.worker.datasets.pictures import gradient, noise, two_classes
from tests.worker.datasets.test_build import caffe_pixels, make, spec_of, stored
from worker.datasets.build import DatasetError

ALL = Augmentation(copies=2, rotation_degrees=20, shift_x=0.1, shift_y=0.1, zoom_out=0.9, zoom_in=1.2, mirror=True)


def middle(image: Image.Image, share: float = 0.5) -> np.ndarray:
    width, height = image.size
    left, top = round(width * (1 - share) / 2), round(height * (1 - share) / 2)
    return np.asarray(image.crop((left, top, width - left, height - top))).astype(int)


def dot(x: int, y: int, size: tuple[int, int] = (81, 61)) -> Image.Image:
    """A blurred white dot on black."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return Image.fromarray((255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 8)).astype(np.uint8))


def found(image: Image.Image) -> tuple[float, float]:
    """The dot's place."""
    pixels = np.asarray(image).astype(float)
    across, down = np.meshgrid(np.arange(image.width), np.arange(image.height))
    return float((across * pixels).sum() / pixels.sum()), float((down * pixels).sum() / pixels.sum())


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_copy_has_the_size_and_mode_of_its_picture(mode: str) -> None:
    for seed in range(20):
        copy = altered(gradient(30, 20).convert(mode), ALL, seed)
        assert (copy.size, copy.mode) == ((30, 20), mode)


def test_the_seed_decides_the_copy() -> None:
    one, same, other = (np.asarray(altered(gradient(), ALL, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_mirroring_alone_flips_about_half_of_the_copies_and_nothing_else() -> None:
    picture = Image.fromarray(noise(1, 20, 10))
    flipped = 0
    for seed in range(100):
        copy = np.asarray(altered(picture, Augmentation(mirror=True), seed))
        is_flipped = np.array_equal(copy, noise(1, 20, 10)[:, ::-1])
        assert is_flipped or np.array_equal(copy, noise(1, 20, 10))
        flipped += is_flipped
    assert 30 < flipped < 70


def test_shifts_stay_within_their_range_and_reach_it() -> None:
    places = [found(altered(dot(40, 30), Augmentation(shift_x=0.25, shift_y=0.1), seed)) for seed in range(60)]
    across, down = np.array(places).T - [[40], [30]]
    assert 0.7 * 20.25 < np.abs(across).max() <= 20.5
    assert 0.7 * 6.1 < np.abs(down).max() <= 6.5
    assert across.min() < 0 < across.max()


def test_rotation_turns_about_the_middle_by_at_most_its_angle() -> None:
    angles = []
    for seed in range(60):
        x, y = found(altered(dot(60, 30), Augmentation(rotation_degrees=30), seed))
        assert np.hypot(x - 40, y - 30) == pytest.approx(20, abs=0.7)
        angles.append(np.degrees(np.arctan2(y - 30, x - 40)))
    assert 20 < np.abs(angles).max() <= 31
    assert min(angles) < 0 < max(angles)


def test_zoom_moves_things_away_from_the_middle_or_towards_it() -> None:
    zooms = [
        (found(altered(dot(60, 30), Augmentation(zoom_out=0.8, zoom_in=1.5), seed))[0] - 40) / 20 for seed in range(60)
    ]
    assert 0.78 <= min(zooms) < 0.9
    assert 1.35 < max(zooms) <= 1.53


def test_no_black_border_comes_in() -> None:
    white = Image.new("RGB", (40, 30), "white")
    for seed in range(30):
        assert np.asarray(altered(white, ALL, seed)).min() == 255


def test_copies_multiply_training_only_and_leave_originals_alone(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=20)
    plain, more = spec_of(archive), spec_of(archive, augmentation=ALL, out_dir=tmp_path / "more")
    before, after = make(plain), make(more)
    assert after.splits["train"].per_class == [3 * count for count in before.splits["train"].per_class]
    assert (after.splits["val"], after.splits["test"]) == (before.splits["val"], before.splits["test"])
    index = np.load(more.out_dir / "train.index.npy")
    assert np.bincount(index["copy"]).tolist() == [28, 28, 28]
    assert (np.diff(index["copy"].astype(int)) != 0).sum() > 20  # mixed among the others
    originals = {
        (line, caffe_pixels(datum).tobytes())
        for (_, datum), line, copy in zip(
            stored(more.out_dir, "train"),
            (more.out_dir / "train.txt").read_text().splitlines(),
            index["copy"],
            strict=True,
        )
        if copy == 0
    }
    expected = {
        (line, caffe_pixels(datum).tobytes())
        for (_, datum), line in zip(
            stored(plain.out_dir, "train"), (plain.out_dir / "train.txt").read_text().splitlines(), strict=True
        )
    }
    assert originals == expected
    with open_split(more.out_dir, "train") as split:
        assert split.count == 84


def test_copies_are_the_same_with_any_number_of_processes_and_are_no_duplicates(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=100)
    one, two = (make(spec_of(archive, augmentation=ALL, processes=processes)) for processes in (1, 2))
    assert one.content_hash == two.content_hash
    checkup = read_checkup(tmp_path / "dataset")
    assert checkup is not None
    assert checkup.groups == ()
    assert json.loads((tmp_path / "dataset" / "manifest.json").read_text())["augmentation"]["copies"] == 2


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (Augmentation(copies=0, mirror=True), r"copies must be 1 to 20; found 0"),
        (Augmentation(rotation_degrees=200), r"rotation must be 0 to 180; found 200"),
        (Augmentation(shift_x=float("nan")), r"horizontal shift must be 0 to 0.5; found nan"),
        (Augmentation(zoom_out=0), r"zoom out must be 0.5 to 1; found 0"),
        (Augmentation(), r"choose at least one alteration"),
    ],
)
def test_values_out_of_range_are_told(augmentation: Augmentation, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        make(spec_of(two_classes(tmp_path / "pets.zip"), augmentation=augmentation))


def test_the_middle_of_a_picture_stays_recognisable() -> None:
    picture = gradient(60, 60)
    for seed in range(20):
        copy = altered(picture, Augmentation(rotation_degrees=10, shift_x=0.05, shift_y=0.05), seed)
        assert np.abs(middle(copy) - middle(picture)).mean() < 30
