import hashlib
import os
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import Database, Status, Upload
from app.storage import Storage
from tests import factories
from tests.app.zips import zip_of


def send(api: TestClient, data: bytes, filename: str = "pets.zip", **fields: str) -> Any:
    return api.post("/api/v1/uploads", files={"file": (filename, data, "application/zip")}, data=fields)


def all_in(database: Database) -> list[Upload]:
    with database.read() as session:
        return list(session.scalars(select(Upload)))


def test_a_sent_archive_is_answered_with_its_classes(api: TestClient, storage: Storage) -> None:
    data = zip_of({"犬": 3, "猫": 2})
    answer = send(api, data, "写真 “夏”.zip", name="ペット")
    assert answer.status_code == 201
    told = answer.json()
    assert told["name"] == "ペット"
    assert told["filename"] == "写真 “夏”.zip"
    assert told["status"] == "done"
    assert told["error"] is None
    assert told["size_bytes"] == len(data)
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["classes"] == [{"name": "犬", "count": 3}, {"name": "猫", "count": 2}]
    assert told["skipped"] == {}
    assert told["progress_percent"] == 100
    assert storage.upload_file(told["id"]).read_bytes() == data
    assert [path.name for path in storage.upload_dir(told["id"]).iterdir()] == ["archive"]
    assert api.get(f"/api/v1/uploads/{told['id']}").json() == told


def test_the_name_may_come_after_the_file(api: TestClient) -> None:
    files: list[Any] = [("file", ("pets.zip", zip_of({"a": 2, "b": 2}))), ("name", (None, "after"))]
    assert api.post("/api/v1/uploads", files=files).json()["name"] == "after"


def test_a_big_file_arrives_byte_for_byte(api: TestClient) -> None:
    data = zip_of({"a": 2, "b": 2}, stuffing=os.urandom(20_000_000) + b"\r\n--" * 1000)
    told = send(api, data).json()
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["skipped"]


@pytest.mark.parametrize(
    "data", [b"just text", zip_of({}), b"PK\x03\x04" + b"\0" * 100, zip_of({"a": 2})[:-30], b"\x1f\x8b\x08 not gzip"]
)
def test_what_is_no_archive_of_classes_is_refused_at_the_field(api: TestClient, storage: Storage, data: bytes) -> None:
    answer = send(api, data)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "bad_archive"
    assert error["fields"] == {"file": error["message"]}
    listed = api.get("/api/v1/uploads").json()["items"]
    assert [(item["status"], item["error"]) for item in listed] == [("failed", error["message"])]
    assert list(storage.uploads.iterdir()) == []
    assert send(api, zip_of({"a": 2, "b": 2})).status_code == 201  # and the server goes on


def test_a_form_without_a_file_is_refused(api: TestClient, database: Database) -> None:
    for files in ({"other": ("a.zip", b"x")}, {"file": (None, "text")}, {"file": ("", b"x")}):
        answer = api.post("/api/v1/uploads", files=files)  # type: ignore[arg-type]
        assert answer.status_code == 422
        assert "file" in answer.json()["error"]["fields"]
    assert all_in(database) == []


def test_an_empty_file_is_refused(api: TestClient, storage: Storage) -> None:
    assert "empty" in send(api, b"").json()["error"]["message"]
    assert list(storage.uploads.iterdir()) == []


def test_two_files_in_one_form_are_refused(api: TestClient, database: Database, storage: Storage) -> None:
    files = [("file", ("a.zip", zip_of({"a": 2}))), ("file", ("b.zip", zip_of({"b": 2})))]
    assert api.post("/api/v1/uploads", files=files).status_code == 422
    assert [upload.status for upload in all_in(database)] == [Status.FAILED]
    assert list(storage.uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=XX", b"nothing of the kind"),
        (
            "multipart/form-data; boundary=XX",
            b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\nhalf',
        ),
        ("multipart/form-data; boundary=XX", b""),
    ],
)
def test_a_body_that_is_damaged_is_refused(api: TestClient, storage: Storage, content_type: str, body: bytes) -> None:
    answer = api.post("/api/v1/uploads", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert list(storage.uploads.iterdir()) == []


def test_a_field_without_end_is_refused(api: TestClient) -> None:
    answer = send(api, zip_of({"a": 2, "b": 2}), name="x" * 100_000)
    assert answer.status_code == 413


def test_lists_go_on_after_the_last_one(api: TestClient, database: Database) -> None:
    ids = [factories.upload(database).id for _ in range(5)]
    first = api.get("/api/v1/uploads?limit=3").json()
    second = api.get(f"/api/v1/uploads?limit=3&after={first['next']}").json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None
    assert first["items"][0]["class_count"] == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=many", "status=sleeping", "after=x"])
def test_a_list_that_cannot_be_is_refused(api: TestClient, query: str) -> None:
    answer = api.get(f"/api/v1/uploads?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.json()["error"]["fields"]


def test_deleting_is_the_owner_s(app: FastAPI, api: TestClient, database: Database) -> None:
    told = send(api, zip_of({"a": 2, "b": 2})).json()
    guest = factories.user(database)
    with TestClient(app, base_url="http://localhost") as other:
        other.headers["Authorization"] = f"Bearer {factories.api_token(database, guest)}"
        assert other.get(f"/api/v1/uploads/{told['id']}").status_code == 200
        assert other.delete(f"/api/v1/uploads/{told['id']}").status_code == 403
    assert api.delete(f"/api/v1/uploads/{told['id']}").status_code == 204
    assert api.delete(f"/api/v1/uploads/{told['id']}").status_code == 404
    assert api.get(f"/api/v1/uploads/{told['id']}").status_code == 404


def test_an_upload_that_is_being_built_from_is_kept(api: TestClient, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING)
    answer = api.delete(f"/api/v1/uploads/{dataset.upload_id}")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "in_use"


def test_the_sample_is_made_for_whoever_asks(api: TestClient) -> None:
    told = api.post("/api/v1/uploads/sample").json()
    assert told["status"] == "done"
    assert told["image_count"] == 1797


def test_a_file_larger_than_the_server_takes_is_refused(api: TestClient, app: FastAPI, storage: Storage) -> None:
    from dataclasses import replace

    app.state.settings = replace(app.state.settings, max_upload_gb=0.001)
    answer = send(api, os.urandom(1_050_000))
    assert answer.status_code == 413
    assert "1.0 MB" in answer.json()["error"]["message"]

    def without_length() -> Any:
        yield b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
        for _ in range(30):
            yield os.urandom(50_000)

    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    assert api.post("/api/v1/uploads", content=without_length(), headers=headers).status_code == 413
    assert list(storage.uploads.iterdir()) == []
