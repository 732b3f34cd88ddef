"""Datasets as a script meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.db import Database, Dataset, Status, Upload
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.worker.datasets.pictures import two_classes

PATH = "/api/v1/datasets"


@pytest.fixture
def upload(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    return built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))


def count_in(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Dataset)) or 0


def test_what_is_left_out_is_as_in_the_wizard(api: TestClient, upload: Upload) -> None:
    answer = api.post(PATH, json={"name": "犬と猫", "upload_id": upload.id})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["status"], made["channels"], made["width"], made["height"]) == (
        "犬と猫",
        "queued",
        "color",
        12,
        10,
    )
    assert made["options"] == {
        "train_percent": 70.0,
        "val_percent": 10.0,
        "test_percent": 20.0,
        "resize_mode": "squash",
        "fill": "noise",
        "fill_color": "#000000",
        "encoding": "png",
        "jpeg_quality": 90,
        "min_per_class": 1,
        "max_per_class": None,
        "augmentation": None,
        "seed": 1,
    }
    assert made["owner"] == "admin"


def test_a_built_dataset_tells_everything_that_was_found(
    api: TestClient, upload: Upload, database: Database, storage: Storage
) -> None:
    options = {
        "name": "pets",
        "upload_id": upload.id,
        "train_percent": 50,
        "val_percent": 30,
        "test_percent": 20,
        "channels": "gray",
        "width": 8,
        "height": 6,
        "seed": 3,
    }
    dataset_id = api.post(PATH, json=options).json()["id"]
    built.make(database, storage, dataset_id)
    told = api.get(f"{PATH}/{dataset_id}").json()
    assert (told["status"], told["progress_percent"], told["error"]) == ("done", 100.0, None)
    assert told["classes"] == ["cats", "dogs"]
    assert told["splits"] == {
        "train": {"count": 10, "per_class": [5, 5]},
        "val": {"count": 6, "per_class": [3, 3]},
        "test": {"count": 4, "per_class": [2, 2]},
    }
    assert (told["skipped_count"], told["image_count"], told["model_count"]) == (0, 20, 0)
    assert len(told["content_hash"]) == 64
    assert len(told["mean"]) == 1
    assert told["size_bytes"] > 0


@pytest.mark.parametrize(("changes", "field", "message"), [
    ({"val_percent": 15}, "test_percent", "add up to 105 %"),
    ({"width": 0}, "width", "found 0"),
    ({"height": -5}, "height", "found -5"),
    ({"width": 10_000_000}, "width", "found 10000000"),
    ({"width": 28.5}, "width", "found 28.5"),
    ({"width": True}, "width", "found True"),
    ({"channels": "rgb"}, "channels", "'gray' or 'color'"),
    ({"resize_mode": "stretch"}, "resize_mode", "found “stretch”"),
    ({"encoding": "bmp"}, "encoding", "found “bmp”"),
    ({"upload_id": 999}, "upload_id", "does not exist"),
    ({"upload_id": None}, "upload_id", "Choose an upload."),
    ({"name": ""}, "name", "found nothing"),
    ({"name": 5}, "name", "found 5"),
    ({"seed": 2**40}, "seed", "whole number"),
    ({"jpeg_quality": 0}, "jpeg_quality", "found 0"),
    ({"max_per_class": 0}, "max_per_class", "found 0"),
    ({"augmentation": {"copies": 1}}, "augmentation", "at least one alteration"),
    ({"augmentation": {"copies": 99}}, "augmentation", "found 99"),
    ({"colour": "gray"}, "colour", "There is no such field."),
])  # fmt: skip
def test_a_bad_value_is_refused_with_its_field(
    api: TestClient, upload: Upload, database: Database, changes: dict[str, Any], field: str, message: str
) -> None:
    answer = api.post(PATH, json={"name": "pets", "upload_id": upload.id} | changes)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert message in error["fields"][field]
    assert count_in(database) == 0


def test_what_is_required_is_said(api: TestClient) -> None:
    fields = api.post(PATH, json={}).json()["error"]["fields"]
    assert fields == {"upload_id": "Choose an upload.", "name": "This is required."}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"'])
def test_a_body_that_is_no_object_is_refused(api: TestClient, body: bytes) -> None:
    answer = api.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_a_mark_that_was_sent_before_answers_with_the_first_dataset(
    api: TestClient, upload: Upload, database: Database
) -> None:
    body = {"name": "pets", "upload_id": upload.id, "submission": "my-own-mark"}
    assert api.post(PATH, json=body).json()["id"] == api.post(PATH, json=body).json()["id"]
    assert count_in(database) == 1


def test_the_list_is_paged(api: TestClient, database: Database) -> None:
    ids = [factories.dataset(database, name=f"set {number}").id for number in range(5)]
    first = api.get(f"{PATH}?limit=3").json()
    second = api.get(f"{PATH}?limit=3&after={first['next']}").json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None
    assert [item["name"] for item in api.get(f"{PATH}?q=SET 3").json()["items"]] == ["set 3"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1000", "limit=x", "status=broken", "sort=size"])
def test_a_bad_question_to_the_list_is_refused(api: TestClient, query: str) -> None:
    assert api.get(f"{PATH}?{query}").status_code == 422


def test_stop_is_taken_while_it_is_queued_or_running_only(api: TestClient, database: Database) -> None:
    queued, done = factories.dataset(database, status=Status.QUEUED), factories.dataset(database)
    answer = api.post(f"{PATH}/{queued.id}/stop-request")
    assert (answer.status_code, answer.json()["status"]) == (202, "stopped")
    assert api.post(f"{PATH}/{done.id}/stop-request").status_code == 409


def test_a_stopped_build_can_be_asked_for_again(api: TestClient, database: Database) -> None:
    stopped, done = factories.dataset(database, status=Status.STOPPED), factories.dataset(database)
    answer = api.post(f"{PATH}/{stopped.id}/build-again")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert api.post(f"{PATH}/{done.id}/build-again").status_code == 409


def test_name_and_description_may_be_changed_and_nothing_else(api: TestClient, database: Database) -> None:
    dataset = factories.dataset(database)
    changed = api.patch(f"{PATH}/{dataset.id}", json={"name": "new", "description": "why"}).json()
    assert (changed["name"], changed["description"]) == ("new", "why")
    assert api.patch(f"{PATH}/{dataset.id}", json={"description": "only"}).json()["name"] == "new"
    assert api.patch(f"{PATH}/{dataset.id}", json={"width": 3}).status_code == 422
    assert api.patch(f"{PATH}/{dataset.id}", json={"name": ""}).status_code == 422


def test_delete_is_refused_with_the_models_that_need_it(api: TestClient, database: Database) -> None:
    dataset = factories.dataset(database)
    model = factories.model(database, dataset_id=dataset.id, name="LeNet 1")
    error = api.delete(f"{PATH}/{dataset.id}").json()["error"]
    assert error["code"] == "in_use"
    assert f"LeNet 1 (model {model.id})" in error["message"]
    assert api.get(f"{PATH}/{dataset.id}").json()["model_count"] == 1


def test_delete_leaves_nothing(api: TestClient, database: Database) -> None:
    dataset = factories.dataset(database)
    assert api.delete(f"{PATH}/{dataset.id}").status_code == 204
    assert api.get(f"{PATH}/{dataset.id}").status_code == 404
    assert api.delete(f"{PATH}/{dataset.id}").status_code == 404


@pytest.mark.parametrize("key", ["999", "x", "-1", "9" * 30])
def test_a_dataset_that_there_is_not_is_not_found(api: TestClient, key: str) -> None:
    answer = api.get(f"{PATH}/{key}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_only_its_owner_or_an_administrator_changes_a_dataset(app: FastAPI, database: Database) -> None:
    owner, other = factories.user(database), factories.user(database)
    dataset = factories.dataset(database, user_id=owner.id)
    with TestClient(app, base_url="http://localhost") as script:
        script.headers["Authorization"] = f"Bearer {factories.api_token(database, other)}"
        assert script.get(f"{PATH}/{dataset.id}").status_code == 200
        assert script.delete(f"{PATH}/{dataset.id}").status_code == 403
        assert script.patch(f"{PATH}/{dataset.id}", json={"name": "mine"}).status_code == 403
        assert script.post(f"{PATH}/{dataset.id}/stop-request").status_code == 403
