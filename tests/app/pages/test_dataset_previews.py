"""Previews beside the dataset form, for a browser with and without JavaScript."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.db import Database, Status, Upload
from app.settings import Settings
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.dataset_form import sent
from tests.conftest import Browser
from tests.worker.datasets.pictures import file_of, gradient, zip_of

FIELDS = {"channels": "color", "width": "24", "height": "20", "resize_mode": "crop", "fill": "noise"}


@pytest.fixture
def upload(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    shapes = [(40, 30), (30, 40), (100, 20), (24, 20)]
    files = {f"{name}/{n}.png": file_of(gradient(*shape)) for name in ("a", "b") for n, shape in enumerate(shapes)}
    return built.upload_of(database, storage, zip_of(tmp_path / "pets.zip", files), sha256=str(tmp_path))


def test_pictures_of_the_upload_are_shown_in_each_resize_mode(client: Browser, upload: Upload) -> None:
    page = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": upload.id}).text
    rows = page.split("<tr>")[2:]
    assert len(rows) == 5
    for size in ("40 × 30", "30 × 40", "100 × 20", "24 × 20"):
        (row, *_) = [row for row in rows if size in row]
        fits = size == "24 × 20"
        assert len(re.findall(r'<td data-mode="\w+"><img class="pixelated" src="data:image/png;', row)) == (
            5 if fits else 4
        )
        assert (f"left out: {size.replace(' ', '')}" in row) is not fits


def test_the_colour_of_the_borders_changes_the_preview(client: Browser, upload: Upload) -> None:
    noise, red, blue = (
        client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": upload.id} | fill).text
        for fill in ({}, {"fill": "color", "fill_color": "#ff0000"}, {"fill": "color", "fill_color": "#0000ff"})
    )
    assert len({noise, red, blue}) == 3


@pytest.mark.parametrize(("changes", "told"), [
    ({"width": "much"}, "Expected a whole number from 1 to 4,096, found “much”."),
    ({"height": ""}, "found nothing"),
    ({"fill": "color", "fill_color": "red"}, "Expected a colour like #ff8000"),
])  # fmt: skip
def test_a_preview_says_what_it_waits_for(client: Browser, upload: Upload, changes: dict[str, str], told: str) -> None:
    answer = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": upload.id} | changes)
    assert answer.status_code == 200
    assert told in answer.text


def test_copies_are_shown_once_they_are_asked_for(client: Browser, upload: Upload) -> None:
    wanted = FIELDS | {"upload_id": upload.id, "seed": "3", "copies": "2", "rotation": "20", "mirror": "true"}
    page = client.get("/datasets/new/_copies", params=wanted).text
    assert (page.count("data:image/png"), "Copy 2" in page, "Copy 3" in page) == (9, True, False)
    assert page != client.get("/datasets/new/_copies", params=wanted | {"seed": "4"}).text
    assert "data:" not in client.get("/datasets/new/_copies", params=wanted | {"copies": "0"}).text
    unaltered = {"rotation": "0", "mirror": ""}
    assert "Choose at least one alteration" in client.get("/datasets/new/_copies", params=wanted | unaltered).text


def test_without_a_ready_upload_there_is_no_preview(client: Browser, database: Database) -> None:
    running = factories.upload(database, status=Status.RUNNING)
    gone = factories.upload(database, sha256="e" * 64)
    for upload_id in ("", "x", "99", "9" * 30, running.id):
        for name in ("_resized", "_copies"):
            answer = client.get(f"/datasets/new/{name}", params=FIELDS | {"upload_id": upload_id, "copies": "1"})
            assert (answer.status_code, answer.text.strip()) == (200, "")
    page = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": gone.id})
    assert "No image of this upload can be shown here." in page.text


def test_the_form_shows_previews_without_javascript(client: Browser, upload: Upload) -> None:
    assert "data:image" not in client.get(f"/datasets/new?upload={upload.id}").text  # drawn after the page
    page = sent(client, upload, preview="1", copies="2", rotation="10", resize_mode="fill").text
    assert page.count("Copy 2") > 0
    assert page.count("data:image") > 20


def test_only_what_lies_below_the_chosen_folder_is_shown(client: Browser, upload: Upload) -> None:
    shown = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": upload.id, "within": "b"}).text
    assert 'title="b/' in shown
    assert 'title="a/' not in shown
    for within, told in (("../b", "Expected a path without"), ("c", "No image of this upload can be shown")):
        answer = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": upload.id, "within": within})
        assert (answer.status_code, told in answer.text) == (200, True)


def test_another_source_is_part_of_what_copies_are_drawn_from(
    client: Browser, upload: Upload, database: Database, storage: Storage, tmp_path: Path
) -> None:
    """As in the lists, whose paths then begin with the name of the archive."""
    files = {f"{name}/1.png": file_of(gradient()) for name in ("a", "b")}
    more = built.upload_of(database, storage, zip_of(tmp_path / "more.zip", files))
    wanted = FIELDS | {"upload_id": upload.id, "copies": "1", "rotation": "20"}
    alone = client.get("/datasets/new/_copies", params=wanted).text
    both = client.get("/datasets/new/_copies", params=wanted | {"more_1_upload_id": more.id}).text
    assert 'title="pets.zip/a/' in both
    assert 'title="a/' in alone
    assert client.get("/datasets/new/_copies", params=wanted | {"test_upload_id": "same"}).text == alone


def test_a_folder_on_the_server_is_shown_when_it_may_be_used(
    client: Browser, app: FastAPI, settings: Settings, tmp_path: Path
) -> None:
    for path in (tmp_path / "inside" / "a" / "1.png", tmp_path / "outside" / "a" / "1.png"):
        path.parent.mkdir(parents=True)
        path.write_bytes(file_of(gradient()))
    app.state.settings = replace(settings, data_roots=(tmp_path / "inside",))
    for folder, is_shown in (("inside", True), ("outside", False), ("inside/../outside", False)):
        page = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": f"{tmp_path}/{folder}"}).text
        assert ('title="a/1.png"' in page) is is_shown


def test_a_very_large_archive_is_not_searched_for_pictures(client: Browser, upload: Upload, database: Database) -> None:
    with database.write() as session:
        session.get_one(Upload, upload.id).classes = [{"name": "a", "count": 1_000_000}]
    page = client.get("/datasets/new/_resized", params=FIELDS | {"upload_id": upload.id}).text
    assert "No image of this upload can be shown here." in page
