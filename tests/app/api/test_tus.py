"""The tus protocol, request by request. Lines that are really cut are in `tests/app/test_receiving.py`."""

import base64
import hashlib
import os
import time
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import Database, Status, Upload, User
from app.locks import locked
from app.storage import Storage
from tests import factories
from tests.app.zips import zip_of
from tests.conftest import Browser, sign_in

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}


def metadata(**told: str) -> dict[str, str]:
    pairs = [f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in told.items()]
    return {"Upload-Metadata": ",".join(pairs)}


def create(client: TestClient, size: int, **headers: str) -> Any:
    return client.post(
        "/uploads/tus", headers=TUS | metadata(filename="犬と猫.zip") | {"Upload-Length": str(size)} | headers
    )


def begin(client: TestClient, size: int) -> str:
    return str(create(client, size).headers["location"])


def patch(client: TestClient, place: str, offset: int, data: bytes, **headers: str) -> Any:
    return client.patch(place, content=data, headers=PIECE | {"Upload-Offset": str(offset)} | headers)


def offset_of(client: TestClient, place: str) -> int:
    answer = client.head(place, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def upload_in(database: Database) -> Upload:
    with database.read() as session:
        return session.scalars(select(Upload)).one()


def ended(database: Database) -> Upload:
    for _ in range(200):
        upload = upload_in(database)
        if upload.status.has_ended:
            return upload
        time.sleep(0.05)
    raise AssertionError(f"still {upload.status}")


def test_what_the_server_can_do_is_told(api: TestClient) -> None:
    answer = api.options("/uploads/tus")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) >= {"creation", "termination", "checksum"}
    assert int(answer.headers["tus-max-size"]) == 100_000_000_000


def test_a_file_in_pieces_becomes_a_checked_upload(api: TestClient, database: Database, storage: Storage) -> None:
    data = zip_of({"犬": 3, "猫": 2}, stuffing=os.urandom(300_000))
    created = create(api, len(data))
    assert created.status_code == 201
    place = created.headers["location"]
    assert created.headers["upload-page"] == "/uploads/1"
    assert offset_of(api, place) == 0
    for begins_at in range(0, len(data), 100_000):
        piece = data[begins_at : begins_at + 100_000]
        answer = patch(api, place, begins_at, piece)
        assert answer.status_code == 204
        assert int(answer.headers["upload-offset"]) == begins_at + len(piece)
        assert answer.headers["tus-resumable"] == "1.0.0"
    upload = ended(database)
    assert upload.status == Status.DONE
    assert (upload.filename, upload.name) == ("犬と猫.zip", "犬と猫")
    assert upload.sha256 == hashlib.sha256(data).hexdigest()
    assert storage.upload_file(upload.id).read_bytes() == data
    assert offset_of(api, place) == len(data)
    assert api.get("/api/v1/uploads/1").json()["image_count"] == 5


def test_a_file_goes_on_where_it_stopped(api: TestClient, database: Database) -> None:
    data = zip_of({"a": 2, "b": 2})
    place = begin(api, len(data))
    patch(api, place, 0, data[:50])
    offset = offset_of(api, place)
    assert offset == 50
    assert patch(api, place, offset, data[offset:]).status_code == 204
    assert ended(database).status == Status.DONE


def test_a_piece_that_begins_elsewhere_is_refused_and_told_where_to_begin(api: TestClient) -> None:
    place = begin(api, 100)
    patch(api, place, 0, b"x" * 40)
    for offset in (0, 39, 41, 100):
        answer = patch(api, place, offset, b"y" * 10)
        assert answer.status_code == 409
        assert answer.headers["upload-offset"] == "40"
    assert offset_of(api, place) == 40


def test_a_second_tab_has_to_wait(api: TestClient, storage: Storage) -> None:
    place = begin(api, 100)
    with locked(storage.upload_file(1)):
        answer = patch(api, place, 0, b"x" * 10)
        assert answer.status_code == 423
        assert answer.json()["error"]["code"] == "locked"
        assert offset_of(api, place) == 0
    assert patch(api, place, 0, b"x" * 10).status_code == 204


def test_more_bytes_than_announced_are_refused(api: TestClient) -> None:
    place = begin(api, 100)
    assert patch(api, place, 0, b"x" * 101).status_code == 413
    assert offset_of(api, place) == 0

    def without_length() -> Any:
        yield b"x" * 60
        yield b"x" * 60

    answer = api.patch(place, content=without_length(), headers=PIECE | {"Upload-Offset": "0"})
    assert answer.status_code == 413
    assert offset_of(api, place) in (0, 60)  # whole chunks only


def test_the_first_bytes_may_come_with_the_announcement(api: TestClient, database: Database) -> None:
    data = zip_of({"a": 2, "b": 2})
    headers = PIECE | metadata(filename="pets.zip", name="my pets") | {"Upload-Length": str(len(data))}
    answer = api.post("/uploads/tus", content=data, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["upload-offset"] == str(len(data))
    assert ended(database).name == "my pets"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_that_arrived_differently_is_not_kept(api: TestClient, algorithm: str) -> None:
    place = begin(api, 100)
    patch(api, place, 0, b"first")
    right = base64.b64encode(hashlib.new(algorithm, b"second").digest()).decode()
    wrong = patch(api, place, 5, b"damage", **{"Upload-Checksum": f"{algorithm} {right}"})
    assert wrong.status_code == 460
    assert offset_of(api, place) == 5
    assert patch(api, place, 5, b"second", **{"Upload-Checksum": f"{algorithm} {right}"}).status_code == 204
    assert offset_of(api, place) == 11


@pytest.mark.parametrize("header", ["crc32 AAAA", "sha256", "sha256 ###"])
def test_a_checksum_that_cannot_be_read_is_refused(api: TestClient, header: str) -> None:
    place = begin(api, 100)
    answer = patch(api, place, 0, b"x", **{"Upload-Checksum": header})
    assert answer.status_code in (400, 460)
    assert offset_of(api, place) == 0


def test_a_terminated_upload_is_gone(api: TestClient, database: Database, storage: Storage) -> None:
    place = begin(api, 100)
    patch(api, place, 0, b"x" * 10)
    assert api.delete(place, headers=TUS).status_code == 204
    assert upload_in(database).status == Status.STOPPED
    assert not storage.upload_dir(1).exists()
    assert api.head(place, headers=TUS).status_code == 410
    assert patch(api, place, 10, b"x").status_code == 410
    assert api.delete(place, headers=TUS).status_code == 410


def test_a_complete_upload_is_not_terminated_by_an_old_tab(api: TestClient, database: Database) -> None:
    data = zip_of({"a": 2, "b": 2})
    place = begin(api, len(data))
    patch(api, place, 0, data)
    ended(database)
    assert api.delete(place, headers=TUS).status_code == 409
    assert patch(api, place, len(data), b"").status_code == 409


def test_what_is_no_archive_says_so_on_its_page(api: TestClient, database: Database) -> None:
    place = begin(api, 9)
    assert patch(api, place, 0, b"not a zip").status_code == 204
    assert ended(database).status == Status.FAILED
    assert api.head(place, headers=TUS).status_code == 410


@pytest.mark.parametrize(
    ("headers", "status_code"),
    [
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "many"}, 400),
        ({"Upload-Length": "١٢"}, 400),
        ({"Upload-Length": "1" + "0" * 30}, 400),
        ({"Upload-Length": str(10**15)}, 413),
        ({"Upload-Defer-Length": "1"}, 400),
        ({"Upload-Metadata": "filename ###"}, 400),
        ({"Tus-Resumable": "0.2.2"}, 412),
    ],
)
def test_an_announcement_that_makes_no_sense_is_refused(
    api: TestClient, database: Database, headers: dict[str, str], status_code: int
) -> None:
    answer = api.post(
        "/uploads/tus",
        headers=[(name.encode(), value.encode()) for name, value in (TUS | {"Upload-Length": "5"} | headers).items()],
    )
    assert answer.status_code == status_code
    assert answer.json()["error"]["message"]
    with database.read() as session:
        assert session.scalars(select(Upload)).all() == []


def test_another_content_type_is_refused(api: TestClient) -> None:
    place = begin(api, 10)
    answer = api.patch(place, content=b"x", headers=TUS | {"Upload-Offset": "0", "Content-Type": "application/zip"})
    assert answer.status_code == 415


def test_an_unknown_upload_is_not_found(api: TestClient) -> None:
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = api.request(method, "/uploads/tus/none", headers=PIECE | {"Upload-Offset": "0"})
        assert answer.status_code == 404
        assert answer.headers["tus-resumable"] == "1.0.0"


def test_somebody_else_s_upload_is_left_alone(app: FastAPI, api: TestClient, database: Database) -> None:
    place = begin(api, 100)
    guest = factories.user(database)
    with TestClient(app, base_url="http://localhost") as other:
        other.headers["Authorization"] = f"Bearer {factories.api_token(database, guest)}"
        assert patch(other, place, 0, b"x").status_code == 403
        assert other.delete(place, headers=TUS).status_code == 403
        assert other.head(place, headers=TUS).status_code == 403


def test_a_browser_sends_pieces_with_its_csrf_token(
    client: Browser, database: Database, admin: User, app: FastAPI
) -> None:
    assert create(client, 100).status_code == 403
    place = str(create(client, 100, **{"X-CSRF-Token": client.csrf}).headers["location"])
    assert patch(client, place, 0, b"x" * 10).status_code == 403
    assert patch(client, place, 0, b"x" * 10, **{"X-CSRF-Token": client.csrf}).status_code == 204
    sign_in(client, database, admin)  # signed in anew, perhaps after the session had run out: the upload goes on
    assert patch(client, place, 10, b"x" * 10, **{"X-CSRF-Token": client.csrf}).status_code == 204
