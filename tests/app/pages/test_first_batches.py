"""The preview of the first batch in the model form, with JavaScript and without."""

from __future__ import annotations

import re

import pytest

from app.db import Database, Dataset, FirstBatch, Status
from app.storage import Storage
from tests import factories
from tests.app.api.test_first_batches import drawn
from tests.app.predicted import png_of
from tests.conftest import Browser

FORM = {"batch_size": "4, 8", "batch_accumulation": "1", "seed": "1", "scale": "0.5", "mean": "none", "name": "kept",
        "crop_size": "", "flip": "none", "topology": "lenet"}  # fmt: skip


@pytest.fixture
def form(database: Database, client: Browser) -> dict[str, str]:
    dataset: Dataset = factories.dataset(database)
    return FORM | {"dataset_id": str(dataset.id), "csrf_token": client.csrf}


def test_without_javascript_the_form_comes_back_with_it(
    client: Browser, database: Database, storage: Storage, form: dict[str, str]
) -> None:
    pressed = form | {"first_batch": "1"}
    waiting = client.post("/models", data=pressed).text
    assert "Press the button again in a moment" in waiting
    assert 'value="kept"' in waiting
    drawn(database, storage, 1)
    page = client.post("/models", data=pressed).text
    assert re.findall(r'src="/first-batches/1/(\d+).png"', page) == ["0", "1"]
    assert "The first 2 of 4 images" in page
    picture = client.get("/first-batches/1/1.png")
    assert (picture.content, picture.headers["content-type"]) == (png_of(seed=1), "image/png")


def test_what_stands_against_it_is_at_its_field(client: Browser, form: dict[str, str]) -> None:
    answer = client.post("/models", data=form | {"first_batch": "1", "crop_size": "99", "name": ""})
    assert answer.status_code == 422
    assert re.findall(r'<p class="error" id="(\w+)-error"', answer.text) == ["crop_size"]


def test_the_part_alone_says_what_stands_against_it(client: Browser, database: Database) -> None:
    building = factories.dataset(database, status=Status.RUNNING, name="in the making")
    sent = FORM | {"dataset_id": str(building.id)}
    answer = client.post("/first-batches/_ask", data=sent, headers={"X-CSRF-Token": client.csrf})
    assert answer.status_code == 200
    assert "“in the making” is still being built. Ask again once it is done." in answer.text
    assert 'href="#dataset_id"' in answer.text


def test_the_part_is_live_until_it_is_drawn(
    client: Browser, database: Database, storage: Storage, form: dict[str, str]
) -> None:
    asked = client.post("/first-batches/_ask", data=form).text
    assert 'data-url="/first-batches/1/_state"' in asked
    state = client.get("/first-batches/1/_state")
    assert ("queued" in state.text, "x-live" in state.headers) == (True, False)
    drawn(database, storage, 1)
    state = client.get("/first-batches/1/_state")
    assert (state.headers["x-live"], "live-fragment" in state.text) == ("end", False)
    assert state.text.count("<img") == 2


def test_a_failure_is_told(client: Browser, database: Database, form: dict[str, str]) -> None:
    client.post("/first-batches/_ask", data=form)
    with database.write() as session:
        job = session.get_one(FirstBatch, 1).job
        job.status, job.error = Status.FAILED, "the training images cannot be read"
    assert "the training images cannot be read" in client.get("/first-batches/1/_state").text
    assert client.get("/first-batches/1/0.png").status_code == 404
    assert client.get("/first-batches/9/_state").status_code == 404
