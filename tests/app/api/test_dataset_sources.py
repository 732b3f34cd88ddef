"""Datasets from every kind of source, as a script makes them: asked for, built for real, and told again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database, Dataset, Upload
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.source_archives import folders_zip, list_of, lists_zip, lmdb_zip, loose_zip
from tests.worker.datasets.pictures import zip_of
from tests.worker.datasets.test_lmdb_source import caffe_lmdb, packed

PATH = "/api/v1/datasets"
ALL = {"train_percent": 100, "val_percent": 0, "test_percent": 0}
SPLIT_FOLDERS = {"train/cats": 4, "train/dogs": 4, "val/cats": 1, "val/dogs": 2, "val/zebras": 3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def app(app: FastAPI, root: Path) -> FastAPI:
    app.state.settings = replace(app.state.settings, data_roots=(root,))
    return app


def uploaded(database: Database, storage: Storage, path: Path, **values: Any) -> Upload:
    return built.upload_of(database, storage, path, **({"name": path.stem} | values))


class Maker:
    """Asks for datasets and builds them."""

    def __init__(self, api: TestClient, database: Database, storage: Storage, root: Path) -> None:
        self.api, self.database, self.storage, self.root = api, database, storage, root

    def asked(self, **wanted: Any) -> Any:
        return self.api.post(PATH, json={"name": "pets", "width": 12, "height": 10, "channels": "color"} | wanted)

    def made(self, **wanted: Any) -> dict[str, Any]:
        answer = self.asked(**wanted)
        assert answer.status_code == 201, answer.text
        return self.built(answer.json()["id"])

    def built(self, dataset_id: int) -> dict[str, Any]:
        built.make(self.database, self.storage, dataset_id, [self.root])
        return dict(self.api.get(f"{PATH}/{dataset_id}").json())

    def refused(self, **wanted: Any) -> dict[str, str]:
        answer = self.asked(**wanted)
        assert answer.status_code == 422, answer.text
        with self.database.read() as session:
            assert session.query(Dataset).count() == 0
        return dict(answer.json()["error"]["fields"])


@pytest.fixture
def maker(api: TestClient, database: Database, storage: Storage, root: Path) -> Maker:
    return Maker(api, database, storage, root)


def counts(told: dict[str, Any]) -> dict[str, list[int]]:
    return {split: found["per_class"] for split, found in told["splits"].items()}


def sources(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["use"], one["name"], one["within"]) for one in told["sources"]]


def test_several_uploads_become_one_dataset(maker: Maker, database: Database, storage: Storage, tmp_path: Path) -> None:
    first = uploaded(database, storage, folders_zip(tmp_path / "a.zip", {"cats": 3, "dogs": 3}))
    second = uploaded(database, storage, folders_zip(tmp_path / "b.zip", {"x/dogs": 2, "x/owls": 4, "y/owls": 9}, 99))
    told = maker.made(upload_id=first.id, more=[{"upload_id": second.id, "within": "x"}], **ALL)
    assert (told["classes"], counts(told)) == (["cats", "dogs", "owls"], {"train": [3, 5, 4]})
    assert sources(told) == [("train", "a", ""), ("train", "b", "x")]


def test_a_subfolder_and_other_folders_of_the_same_upload(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, folders_zip(tmp_path / "a.zip", SPLIT_FOLDERS))
    told = maker.made(upload_id=upload.id, within="train", val={"within": "val"})
    assert (told["classes"], counts(told)) == (["cats", "dogs"], {"train": [3, 3], "val": [1, 2], "test": [1, 1]})
    assert (told["options"]["train_percent"], told["options"]["val_percent"]) == (80, 0)
    assert told["unknown_classes"] == {"zebras": 3}
    assert sources(told) == [("train", "a", "train"), ("val", "a", "val")]


def test_another_upload_for_validation_and_for_testing(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    first, second, third = (
        uploaded(database, storage, folders_zip(tmp_path / f"{name}.zip", {"cats": count, "dogs": count}, 100 * count))
        for name, count in (("a", 4), ("b", 1), ("c", 2))
    )
    told = maker.made(upload_id=first.id, val={"upload_id": second.id}, test={"upload_id": third.id})
    assert counts(told) == {"train": [4, 4], "val": [1, 1], "test": [2, 2]}
    assert told["options"]["train_percent"] == 100


def test_lists_in_the_archive(maker: Maker, database: Database, storage: Storage, tmp_path: Path) -> None:
    upload = uploaded(database, storage, lists_zip(tmp_path / "a.zip"))
    lists = {"train": "train.txt", "val": "val.txt", "test": {"path": "test.txt"}, "labels": "labels.txt"}
    told = maker.made(upload_id=upload.id, lists=lists)
    assert (told["classes"], counts(told)) == (["cat", "dog"], {"train": [4, 4], "val": [1, 1], "test": [1, 1]})
    assert [(one["use"], one["list"]) for one in told["sources"]] == [
        ("train", "train.txt"),
        ("val", "val.txt"),
        ("test", "test.txt"),
    ]


def test_lists_beside_the_archive_are_kept_with_the_dataset(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, lists_zip(tmp_path / "a.zip"))
    lists = {
        "train": {"text": list_of(range(12), ("犬", "cat")).decode(), "name": "mine.txt"},
        "labels": {"text": "cat\n犬\n"},
    }
    told = maker.made(upload_id=upload.id, lists=lists, train_percent=50, val_percent=50, test_percent=0)
    assert (told["classes"], counts(told)) == (["cat", "犬"], {"train": [3, 3], "val": [3, 3]})
    shutil.rmtree(storage.dataset_dir(told["id"]) / "train.lmdb")
    again = factories.dataset(database, upload_id=upload.id, options=told["options"], width=12, height=10,
                              channels="color", status="queued")  # fmt: skip
    shutil.copytree(storage.dataset_dir(told["id"]) / "lists", storage.dataset_dir(again.id) / "lists")
    assert maker.built(again.id)["content_hash"] == told["content_hash"]


def test_loose_images_with_lists_of_ones_own(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    with loose_zip(tmp_path / "loose.zip").open("rb") as file:
        upload = maker.api.post("/api/v1/uploads", files={"file": ("loose.zip", file)}).json()
    assert (upload["status"], upload["classes"], upload["image_count"]) == ("done", [], 12)
    assert "no class folder" in upload["warnings"][0]
    wanted = {"upload_id": upload["id"], "name": "pets"}
    refused = maker.refused(upload_id=upload["id"])["upload_id"]
    assert refused.startswith("A dataset needs at least two classes; found no class. 12 images lie in no class folder.")
    preview = maker.api.post(f"{PATH}/preview", json=wanted).json()
    assert (preview["width"], preview["height"], len(preview["items"])) == (12, 10, 5)
    lists = {"train": {"text": list_of(range(8)).decode()}, "test": {"text": list_of(range(8, 12)).decode()},
             "labels": {"text": "cat\ndog\n"}}  # fmt: skip
    answer = maker.api.post(PATH, json=wanted | {"lists": lists})
    assert answer.status_code == 201, answer.text
    told = maker.built(answer.json()["id"])
    assert (told["classes"], told["width"]) == (["cat", "dog"], 12)
    assert counts(told) == {"train": [3, 3], "val": [1, 1], "test": [2, 2]}


def test_a_caffe_lmdb(maker: Maker, database: Database, storage: Storage, tmp_path: Path) -> None:
    upload = uploaded(database, storage, lmdb_zip(tmp_path))
    databases = {"train": "digits_train_lmdb", "val": "digits_val_lmdb", "labels": "labels.txt"}
    told = maker.made(upload_id=upload.id, databases=databases, **ALL)
    assert (told["classes"], counts(told)) == (["cat", "dog"], {"train": [4, 4], "val": [1, 1]})


@pytest.mark.parametrize("is_on_server", [False, True])
def test_caffe_lmdbs_of_two_places(
    maker: Maker, database: Database, storage: Storage, root: Path, tmp_path: Path, is_on_server: bool
) -> None:
    """As train_lmdb.zip and val_lmdb.zip: each a folder, or its files at the top."""
    caffe_lmdb(tmp_path / "train" / "train_lmdb", [0, 1, 2] * 3)
    caffe_lmdb(root / "val_lmdb", [0, 1, 3], seed=50)
    (root / "labels.txt").write_text("cat\ndog\ncow\nowl\n")
    first = uploaded(database, storage, packed(tmp_path / "train", tmp_path / "train_lmdb.zip"))
    second = uploaded(database, storage, packed(root / "val_lmdb", tmp_path / "val_lmdb.zip"))
    assert second.holdings.databases == ["."]
    labels = {"text": "cat\ndog\ncow\nowl\n"}
    if is_on_server:
        place, val, labels = {"folder": str(root)}, "val_lmdb", "labels.txt"
    else:
        place, val = {"upload_id": second.id}, "."
    databases = {"train": "train_lmdb", "val": val, "labels": labels}
    told = maker.made(upload_id=first.id, databases=databases, val=place)
    assert (told["classes"], counts(told)) == (
        ["cat", "dog", "cow"],
        {"train": [2, 2, 2], "val": [1, 1, 0], "test": [1, 1, 1]},
    )
    assert told["unknown_classes"] == {"owl": 1}
    assert (told["options"]["train_percent"], told["options"]["val_percent"]) == (80, 0)
    assert [(one["use"], one["name"], one["list"]) for one in told["sources"]] == [
        ("train", "train_lmdb", "train_lmdb"),
        ("val", str(root) if is_on_server else "val_lmdb", val),
    ]
    manifest = json.loads((storage.dataset_dir(told["id"]) / "manifest.json").read_text())
    assert [(one["split"], one["within"]) for one in manifest["sources"]] == [(None, "train_lmdb"), ("val", val)]


@pytest.mark.parametrize(("databases", "message"), [
    ({"train": ".", "val": "."}, None),
    ({"train": ".", "val": "val_lmdb"}, "no LMDB (data.mdb) in the folder “val_lmdb”; LMDBs there: . (its top)."),
    ({"train": ".", "val": ".", "test": "."}, "This LMDB is chosen twice"),
    ({"train": ".", "val": ".", "labels": {"text": "a\na"}}, "The names of the classes hold “a” twice"),
])  # fmt: skip
def test_lmdbs_are_looked_for_in_the_place_of_their_split(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path, databases: dict[str, Any], message: str | None
) -> None:
    first, second = (
        uploaded(database, storage, packed(caffe_lmdb(tmp_path / name, [0, 1]), tmp_path / f"{name}.zip"))
        for name in ("one", "two")
    )
    wanted = {"upload_id": first.id, "databases": databases, "val": {"upload_id": second.id}, **ALL}
    if message:
        assert message in maker.refused(**wanted)["databases"]
    else:
        assert counts(maker.made(**wanted)) == {"train": [1, 1], "val": [1, 1]}


def test_lists_over_two_uploads(maker: Maker, database: Database, storage: Storage, tmp_path: Path) -> None:
    """Both have the same file names; one labels.txt, by number in one list, by name in the other."""
    labels = {"labels.txt": b"cat\ndog\ncow\nowl\n"}
    first = uploaded(database, storage, lists_zip(tmp_path / "a.zip", **labels))
    val = b"00.png dog\n01.png cat\n02.png cow\n03.png dog\n04.png whale\n"
    second = uploaded(database, storage, loose_zip(tmp_path / "b.zip", 6, 50, **{"mine.txt": val}))
    lists = {"train": "train.txt", "val": "mine.txt", "test": "test.txt", "labels": "labels.txt"}
    told = maker.made(upload_id=first.id, lists=lists, val={"upload_id": second.id})
    assert (told["classes"], counts(told)) == (["cat", "dog"], {"train": [4, 4], "val": [1, 2], "test": [1, 1]})
    assert told["unknown_classes"] == {"cow": 1}
    assert told["skipped_count"] == 1  # whale, which has no name
    assert [(one["use"], one["name"], one["list"]) for one in told["sources"]] == [
        ("train", "a", "train.txt"), ("val", "b", "mine.txt"), ("test", "a", "test.txt")]  # fmt: skip
    lines = (storage.dataset_dir(told["id"]) / "val.txt").read_text().splitlines()
    assert sorted(lines) == ["b.zip/00.png 1", "b.zip/01.png 0", "b.zip/03.png 1"]
    manifest = json.loads((storage.dataset_dir(told["id"]) / "manifest.json").read_text())
    assert [one["filename"] for one in manifest["sources"]] == ["a.zip", "b.zip"]


def test_lists_that_begin_at_folders_of_one_upload(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    """The same names in two folders: each list means its own."""
    upload = uploaded(database, storage, folders_zip(tmp_path / "a.zip", {"train/images": 4, "val/images": 2}))
    text = {"text": "0.png a\n1.png b\n2.png a\n9.png a\n"}
    lists = {"train": text, "val": {"text": "images/0.png b\n/data/val/images/1.png a\n"}}
    told = maker.made(upload_id=upload.id, lists=lists, within="train", val={"within": "val"}, **ALL)
    assert counts(told) == {"train": [2, 1], "val": [1, 1]}
    folder = storage.dataset_dir(told["id"])
    assert sorted((folder / "val.txt").read_text().splitlines()) == ["val/images/0.png 1", "val/images/1.png 0"]
    assert '9.png,"listed in train.txt (line 4), but not in the folder train of the archive' in (
        (folder / "skipped.csv").read_text().replace("9.png,listed", '9.png,"listed')
    )


def test_folders_on_the_server(maker: Maker, root: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(folders_zip(tmp_path / "a.zip", SPLIT_FOLDERS), root / "pets")
    told = maker.made(folder=str(root / "pets" / "train"), val={"folder": str(root / "pets"), "within": "val"}, **ALL)
    assert counts(told) == {"train": [4, 4], "val": [1, 2]}
    assert told["upload_id"] is None
    assert sources(told) == [("train", str(root / "pets/train"), ""), ("val", str(root / "pets"), "val")]
    guessed = maker.api.post(PATH, json={"name": "pets", "folder": str(root / "pets"), "within": "train"}).json()
    assert (guessed["width"], guessed["height"], guessed["channels"]) == (12, 10, "color")


def test_a_folder_that_is_no_longer_allowed_is_not_built(
    maker: Maker, database: Database, storage: Storage, root: Path, tmp_path: Path
) -> None:
    shutil.unpack_archive(folders_zip(tmp_path / "a.zip", {"cats": 3, "dogs": 3}), root / "pets")
    dataset_id = maker.asked(folder=str(root / "pets")).json()["id"]
    secret = tmp_path / "secret"
    (root / "pets").rename(secret)
    (root / "pets").symlink_to(secret)
    with pytest.raises(Exception, match="does not lie below"):
        built.make(database, storage, dataset_id, [root])


@pytest.mark.parametrize(("wanted", "field", "message"), [
    ({"within": "nowhere"}, "within", "no folder “nowhere” with class folders in it; there are: odd, train, val."),
    ({"within": "../x"}, "within", "without “..”"),
    ({"more": [{"upload_id": 999}]}, "more", "does not exist"),
    ({"more": [{"within": "train"}]}, "more", "taken twice"),
    ({"val": {"within": "val"}}, "val", "taken twice"),
    ({"within": "train", "val": {"within": "bad"}}, "val", "There is no folder “bad”"),
    ({"within": "train", "val": {"upload_id": 0}}, "val", "Expected a whole number"),
    ({"within": "train", "val": {"within": "odd"}}, "val",
     "for validation has no images of the training classes (cats, dogs); its classes are: birds, fish."),
    ({"within": "train", "val": {"within": "val"}, **ALL, "val_percent": 10}, None, ""),
    ({"folder": "/etc"}, "upload_id", "not both"),
    ({"upload_id": None, "folder": "/etc"}, "folder", "does not lie below"),
    ({"upload_id": None, "folder": "etc"}, "folder", "full path"),
    ({"upload_id": None}, "upload_id", "Choose an upload."),
    ({"lists": {"train": "no.txt"}}, "lists", "There is no text file “no.txt” in the archive"),
    ({"lists": {"train": {"text": "nothing at all\n"}}}, "lists", "No line of this list names a picture"),
    ({"lists": {"train": {"text": " "}}}, "lists", "found nothing"),
    ({"lists": {"train": 5}}, "lists", "found 5"),
    ({"lists": {"train": {"text": "a.png 0\nb.png 0\n"}}}, "lists", "at least two classes; found one class, “0”"),
    ({"lists": {}}, "lists", "required"),
    ({"lists": {"train": "a"}, "more": [{"within": "odd"}]}, "lists", "leave out more"),
    ({"lists": {"train": {"text": "a.png a\nb.png b\n"}}, "within": "no"}, "within",
     "no folder “no” with images in it; there are: odd, train, val, odd/birds, odd/fish, …"),
    ({"lists": {"train": {"text": "a.png a\nb.png b\n"}, "val": {"text": "a.png c\n"}}, **ALL}, "lists",
     "The list chosen for validation has no images of the training classes (a, b); its classes are: c."),
    ({"lists": {"train": {"text": "a.png 0\nb.png 1\n"}, "val": {"text": "a.png 5\n"}, "labels": {"text": "x\ny"}},
      **ALL}, "lists", "of the training classes (x, y); labels.txt has no name for: 5."),
    ({"lists": {"train": {"text": "a.png 0\nb.png 1\n"}, "labels": {"text": "x\ny\nx"}}}, "lists",
     "The names of the classes hold “x” twice, the second time as number 3; expected it once."),
    ({"lists": {"train": {"text": "a.png 0\nb.png 1\n"}, "val": "no.txt"}, "val": {"within": "odd"}}, "lists",
     "There is no text file “no.txt” in these archives; their text files: none."),
    ({"databases": {"train": "train"}}, "databases", "There is no LMDB (data.mdb) in the folder “train”"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_at_its_field(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path, wanted: dict[str, Any], field: str | None,
    message: str,
) -> None:  # fmt: skip
    folders = SPLIT_FOLDERS | {"odd/fish": 2, "odd/birds": 2}
    upload = uploaded(database, storage, folders_zip(tmp_path / "a.zip", folders))
    if field is None:
        assert maker.asked(**({"upload_id": upload.id} | wanted)).status_code == 201
        return
    fields = maker.refused(**({"upload_id": upload.id} | wanted))
    assert message in fields[field], fields


def test_an_upload_is_kept_while_a_queued_build_needs_it(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    first, second = (
        uploaded(database, storage, folders_zip(tmp_path / f"{name}.zip", {"cats": 3, "dogs": 3}, seed))
        for name, seed in (("a", 0), ("b", 50))
    )
    dataset_id = maker.asked(upload_id=first.id, val={"upload_id": second.id}).json()["id"]
    refusal = maker.api.delete(f"/api/v1/uploads/{second.id}")
    assert (refusal.status_code, "“pets” still needs this upload" in refusal.text) == (409, True)
    maker.api.post(f"{PATH}/{dataset_id}/stop-request")
    assert maker.api.delete(f"/api/v1/uploads/{second.id}").status_code == 204
    told = maker.api.get(f"{PATH}/{dataset_id}").json()
    assert [(one["name"], one["is_there"]) for one in told["sources"]] == [("a", True), ("b", False)]


def test_an_archive_without_pictures_of_lists_is_told_by_the_build(
    maker: Maker, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = uploaded(database, storage, lists_zip(tmp_path / "a.zip"))
    text = "".join(f"other/{number}.png {number % 2}\n" for number in range(6))
    lists = {"train": {"text": text, "name": "mine.txt"}}
    dataset_id = maker.asked(upload_id=upload.id, lists=lists).json()["id"]
    with pytest.raises(Exception, match=r"The list mine.txt names no picture that is in the archive"):
        built.make(database, storage, dataset_id)


def test_an_upload_tells_what_it_holds(api: TestClient, database: Database, storage: Storage, tmp_path: Path) -> None:
    for path in (lists_zip(tmp_path / "a.zip"), lmdb_zip(tmp_path / "b"), zip_of(tmp_path / "c.zip", {})):
        with path.open("rb") as file:
            answer = api.post("/api/v1/uploads", files={"file": (path.name, file)})
        if path.name == "c.zip":
            assert answer.status_code == 422
            continue
        told = api.get(f"/api/v1/uploads/{answer.json()['id']}").json()
        assert told["warnings"] == []
        found = (told["lists"], told["texts"], told["databases"])
        assert found == (
            ([{"path": "train.txt", "count": 8}, {"path": "val.txt", "count": 2}, {"path": "test.txt", "count": 2}],
             ["labels.txt"], [])
            if path.name == "a.zip"
            else ([], ["labels.txt"], ["digits_train_lmdb", "digits_val_lmdb"])
        )  # fmt: skip
