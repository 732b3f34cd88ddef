"""Folders on the server: only below the roots, with the rules of archives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.archives import ArchiveError, inspect
from app.archives.server_folder import LINK, allowed_folder


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_class_folders_are_listed_as_in_an_archive(tmp_path: Path) -> None:
    fill(tmp_path, "data/cats/1.png", "data/cats/old/2.jpg", "data/犬/1.png", "data/.DS_Store", "data/cats/notes.txt")
    contents = inspect(tmp_path, "data")
    assert [(entry.name, entry.count) for entry in contents.classes] == [("cats", 2), ("犬", 1)]
    assert (contents.kind, contents.wrapper) == ("folder", "data")
    assert contents.skipped == {"system file": 1, "not a picture (.txt)": 1}


def test_links_out_of_the_folder_are_passed_over(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "cats/1.png", "dogs/1.png")
    fill(tmp_path, "secret/1.png")
    (root / "cats" / "out.png").symlink_to(tmp_path / "secret" / "1.png")
    (root / "cats" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "secrets").symlink_to(tmp_path / "secret")
    (root / "cats" / "inside.png").symlink_to(root / "dogs" / "1.png")
    (root / "again").symlink_to(root / "cats")
    os.mkfifo(root / "cats" / "pipe.png")
    contents = inspect(root, "root")
    assert [(entry.name, entry.count) for entry in contents.classes] == [("cats", 2), ("dogs", 1)]
    assert contents.skipped == {LINK: 3, "a link to a folder": 1, "a device or a pipe": 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{root}/../secret", r"does not lie below"),
        ("{root}/link", r"does not lie below"),
        ("/etc", r"does not lie below"),
        ("{root}/nowhere", r"There is no folder"),
        ("{root}/file", r"There is no folder"),
        ("relative", r"Expected the full path"),
        ("", r"Expected the full path"),
        ("/x\0y", r"Expected the full path"),
    ],
)
def test_other_folders_are_refused(given: str, message: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "file")
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ArchiveError, match=message):
        allowed_folder(given.format(root=root), [root])


def test_a_folder_below_a_root_is_allowed(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "a/b/c.png")
    assert allowed_folder(f"{root}/a/../a/b", [Path("/nowhere"), root]) == root / "a" / "b"
    with pytest.raises(ArchiveError, match=r"switched off"):
        allowed_folder(str(root), [])
