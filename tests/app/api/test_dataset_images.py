"""Pictures of a dataset for scripts."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.db import Database, Dataset, Status
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.worker.datasets.pictures import two_classes

OPTIONS = {"train_percent": 80, "val_percent": 0, "test_percent": 20, "resize_mode": "squash", "encoding": "raw",
           "seed": 1, "augmentation": {"copies": 1, "rotation": 9, "shift_x": 0, "shift_y": 0, "zoom_out": 100,
                                       "zoom_in": 100, "mirror": False}}  # fmt: skip


@pytest.fixture
def dataset(database: Database, storage: Storage, tmp_path: Path) -> Dataset:
    archive = two_classes(tmp_path / "pets.zip", **{"cats/空.png": b"", "dogs/page.png": b"<html>"})
    upload = built.upload_of(database, storage, archive)
    return built.dataset_of(database, storage, upload, channels="color", width=6, height=5, options=OPTIONS)


def test_all_pictures_of_a_split_are_listed_page_by_page(api: TestClient, dataset: Dataset) -> None:
    found, after = [], -1
    while after is not None:
        page = api.get(f"/api/v1/datasets/{dataset.id}/images?limit=5&after={after}").json()
        found, after = found + page["items"], page["next"]
        assert page["total"] == 32
    assert [image["number"] for image in found] == list(range(32))
    assert {image["copy_number"] for image in found} == {0, 1}
    assert {(image["width"], image["height"]) for image in found} == {(12, 10)}
    assert len({image["source"] for image in found}) == 16


def test_one_class_of_one_split(api: TestClient, dataset: Dataset) -> None:
    page = api.get(f"/api/v1/datasets/{dataset.id}/images?split=test&class_number=1").json()
    assert [image["source"][:5] for image in page["items"]] == ["dogs/"] * 2
    assert (page["next"], page["total"]) == (None, 2)


def test_original_sizes_do_not_count_copies(api: TestClient, dataset: Dataset) -> None:
    sizes = api.get(f"/api/v1/datasets/{dataset.id}/sizes").json()
    assert (sizes["count"], sizes["common"], sizes["longer_sides"]) == (20, [[12, 10, 20]], [[12, 15, 20]])


def test_files_that_were_left_out_are_listed_once_each(api: TestClient, dataset: Dataset) -> None:
    first = api.get(f"/api/v1/datasets/{dataset.id}/left-out?limit=1").json()
    second = api.get(f"/api/v1/datasets/{dataset.id}/left-out?after={first['next']}").json()
    found = {one["source"]: one["reason"] for one in first["items"] + second["items"]}
    assert found == {"cats/空.png": "empty file (0 bytes)", "dogs/page.png": "not an image: an HTML page"}
    assert second["next"] is None


def test_a_picture_comes_as_a_file(api: TestClient, dataset: Dataset) -> None:
    answer = api.get(f"/api/v1/datasets/{dataset.id}/images/test/0")
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (6, 5)


@pytest.mark.parametrize(("path", "status"), [
    ("images?split=val", 404), ("images?split=x", 422), ("images?limit=0", 422), ("images?class_number=-1", 422),
    ("images/test/4", 404), ("images/test/-1", 404), ("images/none/0", 404), ("images?class_number=9", 200),
])  # fmt: skip
def test_what_there_is_not_is_refused(api: TestClient, dataset: Dataset, path: str, status: int) -> None:
    assert api.get(f"/api/v1/datasets/{dataset.id}/{path}").status_code == status


def test_a_dataset_that_is_not_built_has_none(api: TestClient, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING)
    for path in ("images", "images/train/0", "sizes", "left-out"):
        assert api.get(f"/api/v1/datasets/{dataset.id}/{path}").json()["error"]["code"] == "not_done"
    gone = factories.dataset(database)
    for path in ("images", "sizes"):
        assert api.get(f"/api/v1/datasets/{gone.id}/{path}").json()["error"]["code"] == "files_missing"
