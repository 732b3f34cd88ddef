"""The pages of uploads, as a browser without JavaScript meets them."""

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.db import Database, Status, Upload
from app.storage import Storage
from tests import factories
from tests.app.zips import zip_of
from tests.conftest import Browser, sign_in


def chosen(client: Browser, data: bytes, filename: str = "犬と猫.zip", name: str = "") -> Any:
    """Sends the form with a chosen file, its fields in the order of the page."""
    fields: list[Any] = [
        ("csrf_token", (None, client.csrf)),
        ("name", (None, name)),
        ("file", (filename, data, "application/zip")),
    ]
    return client.post("/uploads", files=fields)


def newest(database: Database) -> Upload:
    with database.read() as session:
        return session.scalars(select(Upload).order_by(Upload.id.desc())).first()  # type: ignore[return-value]


def test_without_uploads_the_page_offers_the_sample(client: Browser, database: Database) -> None:
    page = client.get("/uploads").text
    assert "No uploads yet" in page
    assert 'action="/uploads/sample"' in page
    answer: Any = client.send_form("/uploads/sample")
    shown = client.get(answer.headers["location"]).text
    assert "1,797 images" in shown
    assert newest(database).status == Status.DONE


def test_the_form_s_first_field_is_the_csrf_token(client: Browser) -> None:
    """The gate reads a multipart form no further than that."""
    form = client.get("/uploads").text.split('enctype="multipart/form-data"')[1]
    assert form.index('name="csrf_token"') < form.index('name="name"') < form.index('name="file"')


def test_a_chosen_file_becomes_an_upload_with_its_classes(client: Browser, database: Database) -> None:
    answer = chosen(client, zip_of({"犬": 3, "猫": 2}), name="ペット")
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert ">ペット</h1>" in page
    assert "2 classes, 5 images" in page
    assert "犬と猫.zip" in page
    assert str(newest(database).sha256) in page
    assert f"/datasets/new?upload={newest(database).id}" in page


@pytest.mark.parametrize(("filename", "data"), [("", b""), ("empty.zip", b"")])
def test_no_file_or_an_empty_one_is_said_at_the_form(client: Browser, filename: str, data: bytes) -> None:
    answer = chosen(client, data, filename)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "Choose a file" in answer.text or "empty" in answer.text


def test_what_is_no_archive_shows_why_on_its_page(client: Browser, database: Database) -> None:
    answer = chosen(client, b"<!doctype html>", "page.zip")
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    assert "page.zip" in str(newest(database).error)
    assert "failed" in page.text
    assert "New dataset" not in page.text


def test_the_table_shows_from_to_size_started_and_total_time(client: Browser, database: Database) -> None:
    chosen(client, zip_of({"a": 2, "b": 2}), "写真.zip", "photographs")
    page = client.get("/uploads/_table").text
    for words in ("From", "To", "Size", "Started", "Total time", "写真.zip", "photographs"):
        assert words in page
    assert "<html" not in page


def test_a_running_upload_shows_how_much_is_there(client: Browser, database: Database) -> None:
    upload = factories.upload(
        database, status=Status.RUNNING, size_bytes=1000, received_bytes=430, classes=[], sha256=None, kind=None
    )
    assert "running 43 %" in client.get("/uploads").text
    status = client.get(f"/uploads/{upload.id}/_status")
    assert "430 B of 1.0 kB" in status.text
    assert "x-live" not in status.headers
    with database.write() as session:
        session.get_one(Upload, upload.id).fail("a reason")
    assert client.get(f"/uploads/{upload.id}/_status").headers["x-live"] == "reload"


def test_the_list_is_filtered_in_the_address(client: Browser, database: Database) -> None:
    factories.upload(database, name="犬の写真")
    factories.upload(database, name="cats", status=Status.FAILED, error="no pictures")
    assert "cats" not in client.get("/uploads?q=犬").text
    assert "犬の写真" not in client.get("/uploads?status=failed").text
    assert "No upload fits the filter" in client.get("/uploads?q=nothing").text
    assert client.get("/uploads?status=asleep&after=x").status_code == 200


def test_ten_thousand_classes_are_found_by_part_of_their_name(client: Browser, database: Database) -> None:
    classes = [
        {"name": f"n{number:05d} {'犬' if number % 5000 == 0 else 'cat'}", "count": number} for number in range(10_000)
    ]
    upload = factories.upload(database, classes=classes)
    page = client.get(f"/uploads/{upload.id}").text
    assert page.count("<li>") < 1_100
    assert "9,000 more" in page
    found = client.get(f"/uploads/{upload.id}?q=犬").text
    assert "n05000 犬" in found
    assert "n00001" not in found
    assert "No class name has" in client.get(f"/uploads/{upload.id}?q=horse").text


def test_what_was_passed_over_and_what_to_mind_is_shown(client: Browser, database: Database) -> None:
    upload = factories.upload(database, skipped={"not a picture": 1200}, warnings=["There is only one class."])
    page = client.get(f"/uploads/{upload.id}").text
    assert "not a picture" in page
    assert "1,200" in page
    assert "There is only one class." in page


def test_deleting_is_for_owners_and_waits_for_builds(
    app: FastAPI, client: Browser, database: Database, storage: Storage
) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING, name="pets 28")
    refused: Any = client.send_form(f"/uploads/{dataset.upload_id}/delete")
    assert refused.status_code == 409
    assert "pets 28" in refused.text
    chosen(client, zip_of({"a": 2, "b": 2}))
    upload_id = newest(database).id
    with Browser(app, base_url="http://localhost", follow_redirects=False) as other:
        sign_in(other, database, factories.user(database))
        assert f"/uploads/{upload_id}/delete" not in other.get(f"/uploads/{upload_id}").text
        foreign: Any = other.send_form(f"/uploads/{upload_id}/delete")
        assert foreign.status_code == 403
    deleted: Any = client.send_form(f"/uploads/{upload_id}/delete")
    assert deleted.headers["location"] == "/uploads"
    assert not storage.upload_dir(upload_id).exists()
    assert client.get(f"/uploads/{upload_id}").status_code == 404
