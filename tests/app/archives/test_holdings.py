"""What else an archive holds: folders with counts, lists with labels, names of classes, LMDBs."""

from __future__ import annotations

import tarfile
from pathlib import Path

from app.archives import inspect
from app.archives.holdings import Holdings, count_labels
from tests.worker.datasets.pictures import file_of, noise, zip_of

PICTURE = file_of(noise(1))
FILES = {
    "digits/train/0/a.png": PICTURE,
    "digits/train/0/b.png": PICTURE,
    "digits/train/1/c.png": PICTURE,
    "digits/test/1/d.png": PICTURE,
    "digits/train.txt": b"train/0/a.png 0\ntrain/0/b.png 0\ntrain/1/c.png 1\n",
    "digits/labels.txt": "zéro\n一\n".encode(),
    "digits/readme.md": b"# digits",
    "db/train_lmdb/data.mdb": b"x",
}


def holdings(path: Path) -> Holdings:
    found = inspect(path, path.name).holdings
    assert Holdings.of_dict(found.to_dict()) == found
    return found


def test_folders_lists_names_and_databases_are_found(tmp_path: Path) -> None:
    found = holdings(zip_of(tmp_path / "a.zip", FILES))
    assert found.classes() == {"0": 2, "1": 2}
    assert found.classes("digits/train") == {"0": 2, "1": 1}
    assert found.classes("/digits/test/") == {"1": 1}
    assert found.classes("digits/tests") == {}
    assert found.split_folders() == {"train": "digits/train", "test": "digits/test"}
    assert found.within_choices() == ["digits", "digits/test", "digits/train"]
    assert [(one.path, one.labels, one.count) for one in found.lists] == [("digits/train.txt", {"0": 2, "1": 1}, 3)]
    assert found.names("digits/labels.txt") == ["zéro", "一"]
    assert found.databases == ["db/train_lmdb"]
    assert found.text_paths() == ["digits/train.txt", "digits/labels.txt"]


def test_lists_and_databases_are_not_passed_over(tmp_path: Path) -> None:
    contents = inspect(zip_of(tmp_path / "a.zip", FILES), "a.zip")
    assert contents.skipped == {"not a picture (.md)": 1}  # readme.md, and not labels.txt


def test_of_a_compressed_archive_only_the_paths_of_texts_are_known(tmp_path: Path) -> None:
    zip_of(tmp_path / "a.zip", FILES)
    for name, data in FILES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in", ".")
    found = holdings(tmp_path / "a.tar.gz")
    assert found.classes("digits/train") == {"0": 2, "1": 1}
    assert [(one.path, one.labels) for one in found.lists] == [("digits/train.txt", None)]
    assert [(one.path, one.names) for one in found.texts] == [("digits/labels.txt", None)]
    assert found.databases == ["db/train_lmdb"]


def test_what_is_too_large_to_keep_is_not_known() -> None:
    assert count_labels(b"".join(b"a.png %d\n" % number for number in range(3_000))) is None
    assert Holdings().classes() is None
    assert Holdings.of_dict({}) == Holdings()
