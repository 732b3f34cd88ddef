"""Previews show what a build makes: the same pixels, the same copies, and what would be left out."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets import previews
from app.datasets.lmdb_reader import open_split
from app.datasets.previews import Drawn
from app.imaging.copies import Augmentation
from app.imaging.preprocess import load_picture
from app.preprocessing import Channels, Preprocessing, ResizeMode
from app.uploads.pictures import FoundPicture
from tests.worker.datasets.pictures import file_of, gradient, noise, png_that_claims, two_classes, with_orientation
from tests.worker.datasets.test_build import make, spec_of

COLOR = Preprocessing(Channels.COLOR, 24, 20)
ALTERED = Augmentation(copies=2, rotation_degrees=20, shift_x=0.1, zoom_in=1.2, mirror=True)


def pixels(drawn: Drawn) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(drawn.url.partition(",")[2]))))


def rows(data: bytes, preprocessing: Preprocessing = COLOR) -> previews.PreviewRow:
    (row,) = previews.resized([FoundPicture("cats/1.png", data)], preprocessing)
    return row


@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize("fill_color", [None, (255, 128, 0)])
def test_every_mode_is_drawn_with_the_pixels_of_a_build(
    channels: Channels, fill_color: tuple[int, int, int] | None
) -> None:
    data = with_orientation(gradient(90, 40), 6, "JPEG")
    wanted = replace(COLOR, channels=channels, fill_color=fill_color)
    row = rows(data, wanted)
    assert (row.width, row.height) == (40, 90)
    for mode in (ResizeMode.SQUASH, ResizeMode.CROP, ResizeMode.FILL, ResizeMode.HALF_CROP):
        built = np.asarray(load_picture(data, replace(wanted, resize_mode=mode)).image)
        assert np.array_equal(pixels(row.results[mode]), built)
    assert row.results["none"] == Drawn("", "left out: 40×90")


def test_a_picture_that_needs_no_resizing_is_kept_by_every_mode() -> None:
    row = rows(file_of(noise(1, 24, 20)))
    assert [row.results[mode].problem for mode in ResizeMode] == [""] * 5
    assert np.array_equal(pixels(row.results["none"]), noise(1, 24, 20))


def test_the_original_keeps_its_colours_in_a_grey_dataset() -> None:
    row = rows(file_of(gradient()), replace(COLOR, channels=Channels.GRAY))
    assert pixels(row.original).shape == (30, 40, 3)
    assert pixels(row.results["squash"]).shape == (20, 24)


def test_large_sizes_are_drawn_smaller_in_the_same_shape() -> None:
    wanted = replace(COLOR, width=4096, height=1024)
    assert previews.drawn_size(wanted) == (256, 64)
    row = rows(file_of(gradient(4096, 1024), "JPEG"), wanted)
    assert pixels(row.results["none"]).shape == (64, 256, 3)
    assert pixels(row.results["crop"]).shape == (64, 256, 3)


@pytest.mark.parametrize(("data", "problem"), [
    (b"", "empty file (0 bytes)"),
    (png_that_claims(30000, 30000), "too large: 30000×30000, at most 16 million pixels"),
    (file_of(noise(1, 99, 99))[:9000], "cut off"),
])  # fmt: skip
def test_what_cannot_be_decoded_within_bounds_is_told(data: bytes, problem: str) -> None:
    row = rows(data)
    assert problem in row.original.problem
    assert row.results == {}


def test_a_thread_is_not_blown_up() -> None:
    row = rows(file_of(Image.new("L", (20_000, 2))), replace(COLOR, width=200, height=200))
    assert row.results["crop"].problem == "too long and thin to be drawn here"
    assert row.results["squash"].problem == row.results["fill"].problem == ""


def test_copies_are_those_that_a_build_stores(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip"), augmentation=ALTERED, seed=5)
    make(spec)
    compared = 0
    with open_split(spec.out_dir, "train") as split:
        copies = np.load(spec.out_dir / "train.index.npy")["copy"]
        sources = [split.source(number) for number in range(split.count)]
        for name in sorted(set(sources))[:3]:
            number, row = int(name[5:8]), 0 if name.startswith("cats") else 1000
            picture = FoundPicture(name, file_of(noise(row + number)))
            (drawn,) = previews.copies([picture], spec.preprocessing, ALTERED, seed=5)
            for place in (place for place, source in enumerate(sources) if source == name):
                stored = np.asarray(Image.open(io.BytesIO(split.image(place)[0])))
                assert np.array_equal(pixels(drawn.results[str(copies[place] or "stored")]), stored)
                compared += 1
    assert compared == 9


def test_only_the_first_few_copies_are_drawn() -> None:
    picture = FoundPicture("cats/1.png", file_of(gradient()))
    (row,) = previews.copies([picture], COLOR, replace(ALTERED, copies=20), 1)
    assert list(row.results) == ["stored", "1", "2", "3", "4", "5", "6"]


def test_a_picture_that_is_left_out_has_no_copies() -> None:
    picture = FoundPicture("cats/1.png", file_of(gradient(90, 40)))
    (row,) = previews.copies([picture], replace(COLOR, resize_mode=ResizeMode.NONE), ALTERED, 1)
    assert (row.results, row.original.problem) == ({}, "left out: 90×40")
