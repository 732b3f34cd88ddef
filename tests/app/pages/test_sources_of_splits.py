"""Lists and LMDBs of other uploads and folders in the dataset form, and images that wait for a list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.db import Database, Upload
from app.storage import Storage
from tests.app import built
from tests.app.dataset_form import FORM, errors_in, values_in
from tests.app.source_archives import folders_zip, list_of, lists_zip, lmdb_zip, loose_zip
from tests.app.source_form import chosen_in, only_dataset, per_class, sent, uploaded
from tests.conftest import Browser
from tests.worker.datasets.test_lmdb_source import caffe_lmdb, packed


@pytest.fixture
def listed(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    return uploaded(database, storage, lists_zip(tmp_path / "listed.zip"))


def test_loose_images_wait_for_a_list(client: Browser, database: Database, storage: Storage, tmp_path: Path) -> None:
    upload = uploaded(database, storage, loose_zip(tmp_path / "loose.zip"))
    shown = client.get(f"/uploads/{upload.id}").text
    assert "12 images, " in shown
    assert "No class name" not in shown
    page = client.get(f"/datasets/new?upload={upload.id}").text
    assert "loose · 12 images, no classes" in page
    assert chosen_in(page)["kind"] == "lists"
    files = {"file_train": ("mine.txt", list_of(range(12), ("cat", "dog")))}
    assert sent(client, upload, kind="lists", files=files).status_code == 303
    assert built.make(database, storage, only_dataset(database).id).image_count == 12
    as_folders = errors_in(sent(client, upload, submission="2").text)["upload_id"]
    assert "12 images lie in no class folder. If a list says" in as_folders


def test_one_folder_of_images_is_told_of_lists(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, folders_zip(tmp_path / "a.zip", {"photos": 5}))
    told = errors_in(sent(client, upload).text)["upload_id"]
    assert told.startswith("A dataset needs at least two classes; found one class, “photos”. If a list says")


def test_lmdbs_beside_lists_of_files_elsewhere_are_chosen(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    """As the folder of a DIGITS job."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "train.txt").write_bytes(list_of(range(8)))
    (tmp_path / "in" / "mean.binaryproto").write_bytes(b"x")
    upload = uploaded(database, storage, lmdb_zip(tmp_path))
    assert upload.skipped == {"not a picture": 1}  # the mean, and neither lock.mdb nor labels.txt
    assert chosen_in(client.get(f"/datasets/new?upload={upload.id}").text)["kind"] == "databases"


def test_the_lmdb_of_another_upload_is_found_and_chosen(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    both = uploaded(database, storage, lmdb_zip(tmp_path / "both"))
    one = uploaded(database, storage, packed(caffe_lmdb(tmp_path / "x" / "val_db", [0, 1]), tmp_path / "val.zip"))
    chosen = {"kind": "databases", "database_train": "digits_train_lmdb", "list_labels": "labels.txt"}
    assert (
        chosen_in(client.get(f"/datasets/new?upload={one.id}").text)["database_train"] == "."
    )  # and not for validation
    page = sent(client, both, preview="1", database_val_upload_id=str(one.id), **chosen).text
    found = chosen_in(page)
    assert (found["database_val"], found["database_val_upload_id"]) == (".", str(one.id))
    assert found["list_labels"] == "labels.txt"
    params = FORM | {"upload_id": str(both.id), "database_val_upload_id": "", "database_val": "."} | chosen
    assert chosen_in(client.get("/datasets/new/_sources", params=params).text)["database_val"] == ""
    wanted = chosen | {"database_val_upload_id": str(one.id), "train_percent": "80"}
    refused = sent(client, both, **wanted)
    assert errors_in(refused.text)["database_val"] == (
        "Choose the LMDB of the validation images, or “The same as for training”."
    )
    refused = errors_in(sent(client, both, database_val="digits_val_lmdb", **wanted).text)
    assert (
        refused["database_val"]
        == "There is no LMDB (data.mdb) in the folder “digits_val_lmdb”; LMDBs there: . (its top)."
    )
    assert sent(client, both, database_val=".", **wanted).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert per_class(dataset) == {"train": [3, 3], "val": [1, 1], "test": [1, 1]}
    shown = client.get(f"/datasets/{dataset.id}").text
    assert re.search(r"Validation from</dt><dd[^>]*><a [^>]*>val</a>, LMDB", shown)
    again = chosen_in(client.get(f"/datasets/new?clone={dataset.id}").text)
    assert {name: again[name] for name in ("kind", "database_val_upload_id", "database_val")} == {
        "kind": "databases", "database_val_upload_id": str(one.id), "database_val": "."}  # fmt: skip


def test_a_list_over_another_upload(
    client: Browser, database: Database, storage: Storage, tmp_path: Path, listed: Upload
) -> None:
    other = uploaded(database, storage, loose_zip(tmp_path / "more.zip", 4, 50, **{"mine.txt": list_of(range(4))}))
    wanted = {"kind": "lists", "list_train": "train.txt", "list_labels": "labels.txt", "train_percent": "80",
              "list_val_upload_id": str(other.id)}  # fmt: skip
    page = sent(client, listed, preview="1", **wanted).text
    assert chosen_in(page)["list_val"] == "mine.txt"
    for text in ("Lists there", "Lists with the training images"):
        assert text in page
    refused = sent(client, listed, **wanted).text
    assert "Choose the list of the validation images" in errors_in(refused)["list_val"]
    assert '<a href="#list_val">Validation list</a>: Choose' in refused
    files = {"file_val": ("desk.txt", b"02.png 1\n03.png 0\n")}
    assert sent(client, listed, files=files, **wanted).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert per_class(dataset)["val"] == [1, 1]
    shown = client.get(f"/datasets/{dataset.id}").text
    assert re.search(r"Validation from</dt><dd[^>]*><a [^>]*>more</a>, list", shown)
    again = chosen_in(client.get(f"/datasets/new?clone={dataset.id}").text)
    assert (again["list_val_upload_id"], again["list_val"]) == (str(other.id), "//kept")


def test_a_folder_for_the_images_of_a_list_is_kept_by_a_clone(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, folders_zip(tmp_path / "a.zip", {"in/train": 4, "in/val": 2}))
    files = {"file_train": ("t.txt", b"0.png a\n1.png b\n"), "file_val": ("v.txt", b"0.png a\n1.png b\n")}
    wrong = {"kind": "lists", "list_within": "in/x", "list_val_upload_id": "same", "list_val_within": "in/y",
             "train_percent": "100", "test_percent": "0"}  # fmt: skip
    errors = errors_in(sent(client, upload, files=files, **wrong).text)
    assert [errors[name][:31] for name in ("list_within", "list_val_within")] == [
        "There is no folder “in/x” with ", "There is no folder “in/y” with "]  # fmt: skip
    right = wrong | {"list_within": "in/train", "list_val_within": "in/val"}
    assert sent(client, upload, files=files, **right).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert per_class(dataset) == {"train": [1, 1], "val": [1, 1]}
    clone = client.get(f"/datasets/new?clone={dataset.id}").text
    assert chosen_in(clone)["list_val_upload_id"] == "same"
    assert {name: values_in(clone)[name] for name in ("list_within", "list_val_within", "within")} == {
        "list_within": "in/train", "list_val_within": "in/val", "within": ""}  # fmt: skip


def test_labels_of_a_list_without_a_name_are_told_beforehand(client: Browser, listed: Upload) -> None:
    files = {"file_train": ("t.txt", b"images/00.png 0\nimages/01.png 1\nimages/02.png 7\n"),
             "file_val": ("v.txt", b"images/03.png 0\nimages/04.png 8\n")}  # fmt: skip
    page = sent(client, listed, files=files, kind="lists", list_labels="labels.txt", preview="1", train_percent="100",
                test_percent="0").text  # fmt: skip
    assert "Labels that labels.txt has no name for, so left out of training: 7 (1)." in page
    assert "so left out of validation: 8 (1)." in page
