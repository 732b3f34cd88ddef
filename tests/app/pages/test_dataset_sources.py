"""The first step of the dataset form, without JavaScript: every source chosen, built, shown, cloned, and refused."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.db import Database, Dataset, Upload
from app.drafts import forget_old_drafts
from app.schemas.datasets import sources_out
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.dataset_form import FORM, datasets_in, errors_in, values_in
from tests.app.source_archives import folders_zip, list_of, lists_zip, lmdb_zip
from tests.app.source_form import chosen_in, only_dataset, per_class, sent, uploaded
from tests.conftest import Browser

SPLIT_FOLDERS = {"in/train/cats": 4, "in/train/dogs": 4, "in/val/cats": 1, "in/val/dogs": 2, "in/val/zebras": 3}
LISTS = {"kind": "lists", "list_train": "train.txt", "list_val": "val.txt", "list_test": "test.txt",
         "list_labels": "labels.txt"}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def app(app: FastAPI, root: Path) -> FastAPI:
    app.state.settings = replace(app.state.settings, data_roots=(root,))
    return app


@pytest.fixture
def listed(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    return uploaded(database, storage, lists_zip(tmp_path / "listed.zip"))


def test_other_folders_and_more_uploads(client: Browser, database: Database, storage: Storage, tmp_path: Path) -> None:
    first = uploaded(database, storage, folders_zip(tmp_path / "分割.zip", SPLIT_FOLDERS))
    second = uploaded(database, storage, folders_zip(tmp_path / "more.zip", {"x/dogs": 2}, 50))
    choices = {"within": "in/train", "more_2_upload_id": str(second.id), "more_2_within": "x",
               "val_upload_id": "same", "val_within": "in/val", "train_percent": "80"}  # fmt: skip
    preview = sent(client, first, preview="1", **choices).text
    assert "left out of validation: zebras (3)." in preview
    assert chosen_in(preview)["more_2_upload_id"] == str(second.id)
    assert 'id="more_1_upload_id"' in preview  # a row for another one
    assert sent(client, first, **choices).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert per_class(dataset) == {"train": [3, 5], "val": [1, 2], "test": [1, 1]}
    page = client.get(f"/datasets/{dataset.id}").text
    assert "Not among the training classes: zebras (3 images)." in page
    for text in ("分割", "more", "Also from", "Validation from", "in/val"):
        assert text in page
    assert f'href="/datasets/{dataset.id}"' in client.get(f"/uploads/{second.id}").text
    clone = client.get(f"/datasets/new?clone={dataset.id}").text
    again = chosen_in(clone)
    assert (again["kind"], again["val_upload_id"], again["more_1_upload_id"]) == ("folders", "same", str(second.id))
    assert re.search(r'name="val_within"[^>]*value="in/val"', clone)


def test_the_division_of_an_archive_can_be_kept(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, folders_zip(tmp_path / "a.zip", SPLIT_FOLDERS))
    offer = client.get(f"/datasets/new?upload={upload.id}").text
    assert f'href="/datasets/new?upload={upload.id}&amp;keep=1"' in offer
    kept = client.get(f"/datasets/new?upload={upload.id}&keep=1").text
    assert chosen_in(kept)["val_upload_id"] == "same"
    for name, value in (
        ("within", "in/train"),
        ("val_within", "in/val"),
        ("train_percent", "80"),
        ("val_percent", "0"),
    ):
        assert re.search(rf'name="{name}"[^>]*value="{value}"', kept), name


def test_lists_of_an_archive_are_found_and_chosen(
    client: Browser, database: Database, storage: Storage, listed: Upload
) -> None:
    page = client.get(f"/datasets/new?upload={listed.id}").text
    assert {name: value for name, value in chosen_in(page).items() if name in LISTS} == LISTS
    assert re.search(r'name="train_percent"[^>]*value="100"', page)
    assert sent(client, listed, **LISTS).status_code == 303  # percentages do not count
    dataset = built.make(database, storage, only_dataset(database).id)
    assert (dataset.classes, per_class(dataset)) == (["cat", "dog"], {"train": [4, 4], "val": [1, 1], "test": [1, 1]})
    again = chosen_in(client.get(f"/datasets/new?clone={dataset.id}").text)
    assert {name: value for name, value in again.items() if name in LISTS} == LISTS


def test_lists_of_a_compressed_archive_are_offered_by_their_names(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    shutil.unpack_archive(lists_zip(tmp_path / "listed.zip"), tmp_path / "in")
    upload = uploaded(database, storage, Path(shutil.make_archive(str(tmp_path / "listed"), "gztar", tmp_path / "in")))
    page = client.get(f"/datasets/new?upload={upload.id}").text
    assert {name: value for name, value in chosen_in(page).items() if name in LISTS} == LISTS
    assert "is known once the dataset is built" in page
    assert "–" in client.get(f"/uploads/{upload.id}").text
    assert sent(client, upload, **LISTS).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert per_class(dataset) == {"train": [4, 4], "val": [1, 1], "test": [1, 1]}


def test_lists_beside_the_archive_survive_a_refusal_and_a_clone(
    client: Browser, database: Database, storage: Storage, listed: Upload
) -> None:
    files = {
        "file_train": ("私の.txt", list_of(range(12), ("dog", "cat"))),
        "file_labels": ("names.txt", b"cat\ndog\n"),
    }
    wrong = sent(client, listed, files=files, kind="lists", width="wide")
    assert (wrong.status_code, list(errors_in(wrong.text))) == (422, ["width"])
    kept = dict(re.findall(r'<input type="hidden" name="(kept_\w+)" value="([^"]*)"', wrong.text))
    assert kept["kept_train_name"] == "私の.txt"
    assert re.search(r'title="cat">cat</th>\s*<td class="number">6</td>', wrong.text)
    again = {name: value for name, value in chosen_in(wrong.text).items() if name.startswith("list_")}
    assert sent(client, listed, kind="lists", **again, **kept).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert (dataset.classes, dataset.image_count) == (["cat", "dog"], 12)
    assert sources_out(dataset)[0].list == "私の.txt"

    clone = client.get(f"/datasets/new?clone={dataset.id}").text
    kept = dict(re.findall(r'<input type="hidden" name="(kept_\w+)" value="([^"]*)"', clone))
    again = {name: value for name, value in chosen_in(clone).items() if name.startswith("list_")}
    assert kept["kept_train"] == f"dataset:{dataset.id}"
    assert sent(client, listed, kind="lists", submission="second", **again, **kept).status_code == 303
    copy = built.make(database, storage, datasets_in(database)[1].id)
    assert copy.result["content_hash"] == dataset.result["content_hash"]


@pytest.mark.parametrize(
    "reference", ["draft:" + "0" * 64, "draft:../../etc/passwd", "dataset:999", "dataset:../1", "x"]
)
def test_a_kept_file_that_is_gone_is_asked_for_again(
    client: Browser, listed: Upload, database: Database, reference: str
) -> None:
    answer = sent(client, listed, kind="lists", list_train="//kept", kept_train=reference)
    assert answer.status_code == 422
    assert "Choose it again" in errors_in(answer.text)["list_train"]
    assert datasets_in(database) == []


def test_old_drafts_are_forgotten(client: Browser, listed: Upload, storage: Storage, monkeypatch: Any) -> None:
    sent(client, listed, files={"file_train": ("a.txt", b"x.png 1\n")}, kind="lists", preview="1")
    assert len(list(storage.drafts.iterdir())) == 1
    forget_old_drafts(storage)
    assert len(list(storage.drafts.iterdir())) == 1
    monkeypatch.setattr("app.drafts.KEPT_S", -1)
    forget_old_drafts(storage)
    assert list(storage.drafts.iterdir()) == []


def test_a_new_version_keeps_the_lists_beside_the_archive(
    client: Browser, database: Database, storage: Storage, listed: Upload
) -> None:
    lines = list_of(range(12)) + b"images/00.png 1\n"  # one picture, two labels
    sent(client, listed, files={"file_train": ("a.txt", lines)}, kind="lists", train_percent="100", val_percent="0",
         test_percent="0")  # fmt: skip
    dataset = built.make(database, storage, only_dataset(database).id)
    form = {"drop_two_labels": "true", "keep": "one", "submission": "v2"}
    answer = client.send_form(f"/datasets/{dataset.id}/versions", **form)
    assert answer.status_code == 303, answer.text
    version = built.make(database, storage, datasets_in(database)[1].id)
    assert version.image_count == 11


def test_lmdbs_of_an_archive_are_found_and_chosen(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, lmdb_zip(tmp_path))
    page = client.get(f"/datasets/new?upload={upload.id}").text
    found = chosen_in(page)
    wanted = {"kind": "databases", "database_train": "digits_train_lmdb", "database_val": "digits_val_lmdb",
              "list_labels": "labels.txt"}  # fmt: skip
    assert {name: value for name, value in found.items() if name in wanted} == wanted
    assert (values_in(page)["width"], values_in(page)["height"]) == ("12", "10")
    assert "is known once the dataset is built" in page
    assert sent(client, upload, **wanted, train_percent="100", test_percent="0").status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id)
    assert (dataset.classes, per_class(dataset)) == (["cat", "dog"], {"train": [4, 4], "val": [1, 1]})
    assert "digits_val_lmdb" in client.get(f"/datasets/{dataset.id}").text
    assert chosen_in(client.get(f"/datasets/new?clone={dataset.id}").text)["database_val"] == "digits_val_lmdb"
    shown = client.get(f"/uploads/{upload.id}").text
    assert "2 folders with a data.mdb" in shown
    assert "No class name" not in shown


def test_a_folder_on_the_server(
    client: Browser, database: Database, storage: Storage, root: Path, tmp_path: Path
) -> None:
    shutil.unpack_archive(folders_zip(tmp_path / "a.zip", SPLIT_FOLDERS), root / "pets")
    page = client.get("/datasets/new").text  # there is no upload at all
    assert f'<option value="{root}/pets">' in page
    page = client.get(f"/datasets/new?upload={root}/pets").text
    assert (chosen_in(page)["upload_id"], chosen_in(page)["kind"]) == (f"{root}/pets", "folders")
    assert f'<option value="{root}/pets/in">' in page  # opened
    assert re.search(r'name="name"[^>]*value="pets"', page)
    choices = {"within": "in/train", "val_upload_id": f"{root}/pets/in/val", "train_percent": "80"}
    assert sent(client, f"{root}/pets", **choices).status_code == 303
    dataset = built.make(database, storage, only_dataset(database).id, [root])
    assert per_class(dataset)["val"] == [1, 2]
    assert f"{root}/pets" in client.get(f"/datasets/{dataset.id}").text
    assert chosen_in(client.get(f"/datasets/new?clone={dataset.id}").text)["upload_id"] == f"{root}/pets"


def test_without_roots_no_folder_is_offered_or_taken(client: Browser, app: FastAPI, listed: Upload, root: Path) -> None:
    app.state.settings = replace(app.state.settings, data_roots=())
    page = client.get("/datasets/new").text
    assert "on the server" not in page
    answer = sent(client, str(root))
    assert "switched off" in errors_in(answer.text)["upload_id"]


@pytest.mark.parametrize(("changes", "field", "message"), [
    ({"within": "nowhere"}, "within", "There is no folder “nowhere” with class folders in it; there are: in, in/train"),
    ({"more_3_upload_id": "999"}, "more_3_upload_id", "deleted meanwhile"),
    ({"more_3_upload_id": "same"}, "more_3_within", "taken twice"),
    ({"more_3_upload_id": "x"}, "more_3_upload_id", "Expected a whole number"),
    ({"val_upload_id": "same", "val_within": "in/val", "train_percent": "80"}, "val_within", "taken twice"),
    ({"within": "in/train", "val_upload_id": "same", "val_within": "in/gone", "train_percent": "80"}, "val_within",
     "There is no folder “in/gone”"),
    ({"within": "in/train", "val_upload_id": "same", "val_within": "in/val"}, "test_percent",
     "add up to 90 %, expected 100 % of what is divided; validation images have a source of their own."),
    ({"test_upload_id": "/etc", "train_percent": "90"}, "test_upload_id", "does not lie below"),
    ({"upload_id": "/etc"}, "upload_id", "does not lie below"),
    ({"upload_id": "{root}/../"}, "upload_id", "does not lie below"),
    ({"upload_id": ""}, "upload_id", "Choose an upload."),
    ({"kind": "lists"}, "list_train", "Choose the training list"),
    ({"kind": "lists", "list_train": "no.txt"}, "list_train", "There is no text file “no.txt” in the archive"),
    ({"kind": "lists", "list_train": "a.txt", "list_val": "a.txt", "train_percent": "80"}, "list_val", "chosen twice"),
    ({"kind": "databases"}, "database_train", "Choose the LMDB of the training images."),
    ({"kind": "databases", "database_train": "in"}, "database_train", "There is no LMDB (data.mdb) in the folder “in”"),
    ({"kind": "databases", "database_train": "in", "list_labels": "x.txt"}, "list_labels", "no text file “x.txt”"),
])  # fmt: skip
def test_what_does_not_fit_comes_back_at_its_field(
    client: Browser, database: Database, storage: Storage, tmp_path: Path, root: Path, changes: dict[str, str],
    field: str, message: str,
) -> None:  # fmt: skip
    archive = folders_zip(tmp_path / "a.zip", SPLIT_FOLDERS, **{"a.txt": b"in/train/cats/0.png 1\nin/x.png 2\n"})
    upload = uploaded(database, storage, archive)
    changes = {name: value.format(root=root) for name, value in changes.items()}
    answer = sent(client, upload, **changes)
    assert answer.status_code == 422
    assert message in errors_in(answer.text)[field]
    kept = chosen_in(answer.text)
    assert {name: kept[name] for name in changes if name in ("kind", "val_upload_id")} == {
        name: value for name, value in changes.items() if name in ("kind", "val_upload_id")
    }
    assert datasets_in(database) == []
    assert client.get("/datasets/new/_sources", params=FORM | changes).status_code == 200
    assert client.get("/datasets/new/_split", params=FORM | changes).status_code == 200


def test_a_deleted_upload_is_named_on_the_page_and_stops_what_needs_it(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    first = uploaded(database, storage, folders_zip(tmp_path / "a.zip", {"cats": 4, "dogs": 4}))
    second = uploaded(database, storage, folders_zip(tmp_path / "b.zip", {"cats": 1, "dogs": 1}, 50))
    sent(client, first, val_upload_id=str(second.id), train_percent="80")
    dataset = only_dataset(database)
    assert client.send_form(f"/uploads/{second.id}/delete").status_code == 409
    built.make(database, storage, dataset.id)
    assert client.send_form(f"/uploads/{second.id}/delete").status_code == 303
    assert "b (deleted)" in client.get(f"/datasets/{dataset.id}").text
    with database.read() as session:
        assert "has been deleted: “b”" in session.get_one(Dataset, dataset.id).missing_uploads
    clone = client.get(f"/datasets/new?clone={dataset.id}")
    assert clone.status_code == 200
    assert "deleted meanwhile" in clone.text
    assert chosen_in(clone.text)["val_upload_id"] == str(second.id)


def test_an_upload_that_is_not_among_the_newest_stays_chosen(
    client: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pages.dataset_wizard.MAX_UPLOADS_SHOWN", 1)
    old, main, _ = (factories.upload(database) for _ in range(3))
    page = sent(client, main, preview="1", val_upload_id=str(old.id), train_percent="80").text
    assert (chosen_in(page)["upload_id"], chosen_in(page)["val_upload_id"]) == (str(main.id), str(old.id))
    assert "(not there)" not in page


def test_an_upload_from_before_its_contents_were_kept_can_be_chosen(client: Browser, database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "a", "count": 5}, {"name": "b", "count": 5}])
    assert client.get(f"/datasets/new?upload={upload.id}").status_code == 200
    assert client.get(f"/uploads/{upload.id}").status_code == 200
