"""Lists of `path label`: every form that people have, and archives that come with them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from app.archives import ArchiveError, inspect
from app.archives.lists import Line, looks_like_list, read_list, read_names


@pytest.mark.parametrize(
    ("text", "path", "label"),
    [
        ("cats/1.png 0", "cats/1.png", "0"),
        ("my cats/1 2.png   12  ", "my cats/1 2.png", "12"),
        ("cats/1.png\tbig cat", "cats/1.png", "big cat"),
        ("cats/1.png,cat", "cats/1.png", "cat"),
        ('"a,b.png",cat', "a,b.png", "cat"),
        ("cats\\1.JPG 3", "cats/1.JPG", "3"),
        ("/home/me/data/1.jpeg 犬", "/home/me/data/1.jpeg", "犬"),
        ("a.png.bmp 1", "a.png.bmp", "1"),
    ],
)
def test_a_line_gives_its_path_and_label(text: str, path: str, label: str) -> None:
    assert list(read_list(text.encode())) == [Line(1, path, label)]


def test_headings_comments_and_empty_lines_are_passed_over_and_bad_lines_are_numbered() -> None:
    data = b"path,label\n\n# made by hand\na.png 0\nno label here\nb.png\nnotes.txt 1\nc.png 1\n"
    assert list(read_list(data)) == [Line(4, "a.png", "0"), 5, 6, 7, Line(8, "c.png", "1")]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
def test_lists_come_in_many_encodings(codec: str) -> None:
    data = "写真/ねこ.png 猫\r\n写真/いぬ.png 犬\r\n".encode(codec)
    assert [line.label for line in read_list(data) if isinstance(line, Line)] == ["猫", "犬"]


def test_names_of_classes_are_read_line_by_line() -> None:
    assert read_names("big cat\r\n犬\n\n".encode()) == ["big cat", "犬"]


def test_prose_is_no_list() -> None:
    assert looks_like_list(b"a.png 0\nb.png 1\n" * 5000)
    assert not looks_like_list(b"This archive holds pictures of cats.\nSee cats/1.png for one.\n")
    assert not looks_like_list(b"cat\ndog\n")
    assert not looks_like_list(b"")


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "pictures.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_an_archive_without_class_folders_is_taken_when_it_holds_a_list(tmp_path: Path) -> None:
    files = {"images/1.png": b"x", "images/2.png": b"x", "train.txt": b"1.png 0\n2.png 1\n", "README.txt": b"Hello\n"}
    contents = inspect(packed(tmp_path, {"1.png": b"x", "2.png": b"x"} | files), "pictures.zip")
    assert contents.lists == ("train.txt",)
    flat = {name: data for name, data in files.items() if "/" not in name} | {"1.png": b"x", "2.png": b"x"}
    contents = inspect(packed(tmp_path, flat), "pictures.zip")
    assert (contents.lists, contents.classes, contents.image_count) == (("train.txt",), [], 2)


def test_a_list_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"holds no pictures; found 1 × not a picture \(.txt\)"):
        inspect(packed(tmp_path, {"train.txt": b"1.png 0\n2.png 1\n"}), "pictures.zip")
