"""Folders on the server: only those below the roots, whatever is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.archives import ArchiveError
from app.datasets.server_folders import folder_choices, look_into
from tests.worker.datasets.pictures import file_of, noise


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """roots/pets with two classes; secret beside it, with links to it."""
    for name in ("roots/pets/cats", "roots/pets/dogs", "roots/empty", "roots/.hidden", "secret/x"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("roots/pets/cats/1.png", "roots/pets/dogs/1.png", "roots/pets/dogs/2.png", "secret/x/1.png"):
        (tmp_path / name).write_bytes(file_of(noise(len(name))))
    (tmp_path / "roots" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "roots" / "pets" / "birds").symlink_to(tmp_path / "secret" / "x")
    return tmp_path / "roots"


def test_the_list_shows_what_lies_below_the_roots_and_opens_what_is_chosen(root: Path) -> None:
    assert folder_choices([root]) == [str(root), f"{root}/empty", f"{root}/pets"]
    opened = folder_choices([root], [f"{root}/pets"])
    assert opened == [str(root), f"{root}/empty", f"{root}/pets", f"{root}/pets/cats", f"{root}/pets/dogs"]
    assert folder_choices([]) == []
    assert folder_choices([root / "gone"]) == [str(root / "gone")]


@pytest.mark.parametrize("asked", ["/etc", "/", "relative", "{root}/../secret", "{root}/pets/../../secret", "{root}x"])
def test_the_list_never_opens_anything_else(asked: str, root: Path) -> None:
    assert folder_choices([root], [asked.format(root=root)]) == folder_choices([root])


def test_a_folder_tells_its_classes_without_following_links_out(root: Path) -> None:
    assert look_into(str(root / "pets"), [root]).classes() == {"cats": 1, "dogs": 2}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("/etc", "does not lie below"),
        ("{root}/link", "does not lie below"),
        ("{root}/../secret", "does not lie below"),
        ("{root}/pets/birds", "does not lie below"),
        ("{root}/pets/cats/1.png", "There is no folder"),
        ("{root}/gone", "There is no folder"),
        ("pets", "full path"),
    ],
)
def test_what_leads_out_of_the_roots_is_refused(asked: str, message: str, root: Path) -> None:
    with pytest.raises(ArchiveError, match=message):
        look_into(asked.format(root=root), [root])


def test_nothing_is_taken_without_roots(root: Path) -> None:
    with pytest.raises(ArchiveError, match="TRAINYARD_DATA_ROOTS"):
        look_into(str(root), [])


def test_a_large_folder_is_left_to_the_build(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archives.server_folder.MAX_LOOK_FILES", 2)
    large = root / "large"
    for number in range(4):
        (large / str(number)).mkdir(parents=True)
        (large / str(number) / "1.png").write_bytes(b"x")
    assert look_into(str(large), [root]).classes() is None
