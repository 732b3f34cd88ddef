from __future__ import annotations

from pathlib import Path

import pytest

from app.storage import Storage


def test_prepare_makes_every_folder_and_may_be_repeated(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "new" / "home")
    storage.prepare()
    storage.prepare()
    made = {path.name for path in storage.home.iterdir()}
    assert made == {"uploads", "datasets", "models", "drafts", "pretrained", "logs", "broker"}


def test_a_path_survives_the_way_into_a_row_and_back_also_in_a_moved_home(tmp_path: Path) -> None:
    old, new = Storage(tmp_path / "old"), Storage(tmp_path / "new")
    relative = old.relative(old.snapshots_dir(3) / "epoch-0001")
    assert relative == "models/3/snapshots/epoch-0001"
    assert new.absolute(relative) == new.home / "models" / "3" / "snapshots" / "epoch-0001"


@pytest.mark.parametrize("relative", ["../secret", "models/../../secret", "/etc/passwd", "models/1/../../../x"])
def test_a_path_that_leaves_the_home_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(ValueError, match="leaves"):
        Storage(tmp_path / "home").absolute(relative)


def test_a_link_that_leaves_the_home_is_refused(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "home")
    storage.prepare()
    (storage.models / "1").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leaves"):
        storage.absolute("models/1/secret")


def test_what_things_have_in_common_is_only_the_home(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    places = [
        storage.upload_dir(1),
        storage.upload_file(1),
        storage.dataset_dir(1),
        storage.model_dir(1),
        storage.model_log(1),
        storage.snapshots_dir(1),
        storage.prediction_dir("models", 1, 1),
    ]
    assert len(set(places)) == len(places)
    assert all(path.is_relative_to(tmp_path) for path in places)


def test_delete_removes_a_folder_and_only_that(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    for number in (1, 11):
        storage.dataset_dir(number).mkdir(parents=True)
        (storage.dataset_dir(number) / "labels.txt").write_text("cat\n")
    storage.delete(storage.dataset_dir(1))
    storage.delete(storage.dataset_dir(1))
    assert [path.name for path in storage.datasets.iterdir()] == ["11"]


def test_delete_also_removes_what_an_interrupted_one_left(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    left_over = storage.datasets / ".deleted-1"
    left_over.mkdir(parents=True)
    (left_over / "old").write_text("old")
    storage.dataset_dir(1).mkdir()
    storage.delete(storage.dataset_dir(1))
    assert list(storage.datasets.iterdir()) == []
