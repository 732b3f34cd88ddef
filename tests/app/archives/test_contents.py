"""Class folders, wrappers and what is said when there are none."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from app.archives import ArchiveError, Contents, inspect
from tests.pace import soon


def look(folder: Path, *names: str) -> Contents:
    path = folder / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return inspect(path, "pictures.zip")


def counts(contents: Contents) -> dict[str, int]:
    return {entry.name: entry.count for entry in contents.classes}


def test_folders_at_the_top_are_classes_in_order_of_their_names(tmp_path: Path) -> None:
    contents = look(tmp_path, "b/1.png", "a/1.JPG", "a/2.webp", "10/1.png", "9/1.png", "empty/")
    assert [entry.name for entry in contents.classes] == ["10", "9", "a", "b"]
    assert (contents.image_count, contents.wrapper) == (5, None)


@pytest.mark.parametrize("wrapper", ["data", "data/images", "a/b/c/d/e"])
def test_wrapping_folders_are_seen_through(wrapper: str, tmp_path: Path) -> None:
    contents = look(tmp_path, f"{wrapper}/cats/1.png", f"{wrapper}/dogs/1.png", "__MACOSX/._x.png")
    assert (counts(contents), contents.wrapper) == ({"cats": 1, "dogs": 1}, wrapper)


def test_sub_folders_belong_to_their_class(tmp_path: Path) -> None:
    contents = look(tmp_path, "cats/black/1.png", "cats/white/old/2.png", "dogs/1.png")
    assert counts(contents) == {"cats": 2, "dogs": 1}


def test_a_stray_picture_beside_the_class_folders_is_passed_over(tmp_path: Path) -> None:
    contents = look(tmp_path, "data/preview.png", "data/cats/1.png", "data/cats/2.png", "data/dogs/1.png", "cover.jpg")
    assert counts(contents) == {"cats": 2, "dogs": 1}
    assert contents.skipped == {"outside of every class folder": 2}


def test_one_class_is_told_and_left_to_the_dataset(tmp_path: Path) -> None:
    assert counts(look(tmp_path, "cats/1.png", "cats/2.png")) == {"cats": 2}
    assert counts(look(tmp_path, "data/cats/1.png", "data/cats/2.png")) == {"cats": 2}


def test_folders_named_like_splits_are_seen_through(tmp_path: Path) -> None:
    names = [f"mnist/{split}/{label}/{split}.png" for split in ("training", "testing") for label in "012"]
    contents = look(tmp_path, *names)
    assert counts(contents) == {"0": 2, "1": 2, "2": 2}
    assert contents.split_folders == {"train": "training", "test": "testing"}


def test_classes_that_are_named_like_splits_stay_classes(tmp_path: Path) -> None:
    assert counts(look(tmp_path, "test/1.png", "train/1.png")) == {"test": 1, "train": 1}
    assert counts(look(tmp_path, "train/1.png", "bus/1.png")) == {"bus": 1, "train": 1}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"archive is empty; expected one folder of pictures per class"),
        (["cats/", "dogs/"], r"holds no pictures, only empty folders"),
        (["__MACOSX/cats/._1.png", ".DS_Store"], r"holds no pictures, only empty folders or system files"),
        (["cats/1.txt", "dogs/2.txt", "x.csv"], r"holds no pictures; found 2 × not a picture \(.txt\), 1 × .*csv"),
        (["cats.zip", "dogs.zip"], r"only holds 2 other archives; unpack them"),
    ],
)
def test_archives_without_pictures_say_what_was_found(names: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=message):
        look(tmp_path, *names)


def test_loose_pictures_are_taken_without_classes(tmp_path: Path) -> None:
    contents = look(tmp_path, "1.png", "2.png", "readme.txt")
    assert (contents.classes, contents.image_count, contents.skipped) == ([], 2, {"not a picture (.txt)": 1})
    assert contents.holdings.image_count() == 2
    assert contents.holdings.image_count("photos") == 0


def test_sixty_thousand_pictures_are_listed_in_a_moment() -> None:
    folder = os.environ.get("TRAINYARD_REAL_DATA")
    if not folder:
        if os.environ.get("CI") == "true":
            pytest.fail("TRAINYARD_REAL_DATA is not set")
        pytest.skip("TRAINYARD_REAL_DATA is not set")
    with soon(30):
        contents = inspect(Path(folder) / "mnist-train.zip", "mnist-train.zip")
    assert (contents.image_count, len(contents.classes), contents.skipped) == (60_000, 10, {})
    assert counts(contents)["1"] == 6742
