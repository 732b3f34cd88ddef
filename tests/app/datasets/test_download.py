"""What a downloaded dataset holds."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.archives import inspect
from app.datasets.download import class_folders, stream_dataset
from app.datasets.lmdb_reader import open_split
from app.db import Database
from app.storage import Storage
from tests.app import built
from tests.conftest import Browser
from tests.worker.datasets.pictures import two_classes


@pytest.mark.parametrize("encoding", ["png", "jpeg", "raw"])
def test_a_download_holds_every_picture_in_its_split_and_class(
    database: Database, storage: Storage, tmp_path: Path, encoding: str
) -> None:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    options = {"train_percent": 70, "val_percent": 10, "test_percent": 20, "resize_mode": "squash", "seed": 1}
    dataset = built.dataset_of(
        database, storage, upload, channels="color", width=12, height=10, options=options | {"encoding": encoding}
    )
    data = b"".join(stream_dataset(storage, dataset))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        for split in ("train", "val", "test"):
            lines = archive.read(f"{split}.txt").decode().splitlines()
            assert len(lines) == dataset.count(split)
            with open_split(storage.dataset_dir(dataset.id), split) as reader:
                for number, line in enumerate(lines):
                    path, _, label = line.rpartition(" ")
                    assert path.split("/")[:2] == [split, dataset.classes[int(label)]]
                    inside = np.asarray(Image.open(io.BytesIO(archive.read(path))))
                    stored = np.asarray(Image.open(io.BytesIO(reader.image(number)[0])))
                    np.testing.assert_array_equal(inside, stored)
        assert archive.read("labels.txt") == b"cats\ndogs\n"
        assert json.loads(archive.read("manifest.json"))["content_hash"] == dataset.result["content_hash"]
        assert {"mean.npy", "mean.png", "mean.binaryproto", "skipped.csv"} <= set(names)


def test_a_download_can_be_uploaded_again(database: Database, storage: Storage, tmp_path: Path) -> None:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    dataset = built.dataset_of(database, storage, upload, channels="color", width=12, height=10)
    path = tmp_path / "again.zip"
    path.write_bytes(b"".join(stream_dataset(storage, dataset)))
    contents = inspect(path, path.name)
    assert [(entry.name, entry.count) for entry in contents.classes] == [("cats", 10), ("dogs", 10)]
    assert set(contents.split_folders) == {"train", "val", "test"}


def test_the_page_and_the_api_send_it(client: Browser, database: Database, storage: Storage, tmp_path: Path) -> None:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    dataset = built.dataset_of(database, storage, upload, name="犬と猫", channels="color", width=12, height=10)
    for path in (f"/datasets/{dataset.id}/download", f"/api/v1/datasets/{dataset.id}/download"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/zip"
        assert "filename*=UTF-8''%E7%8A%AC" in answer.headers["content-disposition"]
        assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None


def test_folders_are_named_like_classes_as_far_as_every_system_allows() -> None:
    names = ["cats", "Cats", "a/b", "..", "", "犬", "x" * 300, "con:", "dot."]
    folders = class_folders(names)
    assert folders == ["cats", "Cats-1", "a_b", "3", "4", "犬", "x" * 100, "con_", "dot"]
    assert len({folder.casefold() for folder in folders}) == len(names)
