"""The list of models and a model's page, as a browser without JavaScript meets them."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from fastapi import FastAPI

from app.db import Database, Job, Model, Status, User
from app.storage import Storage
from tests import factories
from tests.conftest import Browser, sign_in

LONG = "手" * 100 + "x" * 100


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<main")[2])))


PARTS = ("_status", "_snapshots", "_summary", "_uses", "_test", "_origin")


@pytest.fixture
def model(database: Database, admin: User) -> Model:
    job = {"epoch": 2.4, "iteration": 264, "images_per_s": 1234.5, "phase": "training"}
    model = factories.model(
        database, name="LeNet 手", status=Status.RUNNING, user_id=admin.id, parameters=431_080,
        run_info={"device": "cuda:0", "precision": "bfloat16", "max_iter": 1650},
    )  # fmt: skip
    with database.write() as session:
        row = session.get_one(Job, model.job_id)
        row.detail, row.eta_s, row.progress_percent = job, 125.0, 16.0
    return model


def test_an_empty_list_offers_the_step_that_comes_first(client: Browser, database: Database) -> None:
    assert 'href="/uploads"' in client.get("/models").text.partition("<main")[2]
    factories.dataset(database)
    assert "No models yet" in client.get("/models").text


def test_the_list_shows_what_people_compare(client: Browser, database: Database) -> None:
    factories.model(database, name="done one", accuracy={"val": 0.98765, "test": 0.9}, base_lr=0.0001, batch_size=128)
    factories.model(database, name="bad one", status=Status.FAILED)
    text = text_of(client.get("/models").text)
    assert "2 models, 1 failed" in text
    assert "98.77 90.00" in text
    assert "0.0001" in text


def test_the_list_is_filtered_and_sorted_by_its_address(client: Browser, database: Database) -> None:
    for name, rate in (("first", 0.1), ("second", 0.01), ("other", 1.0)):
        factories.model(database, name=name, base_lr=rate)
    page = client.get("/models", params={"sort": "base_lr", "q": "s"}).text
    assert re.findall(r'row-link"[^>]*>([^<]+)<', page) == ["second", "first"]


@pytest.mark.parametrize("query", ["sort=magic", "status=magic", "dataset=x", "after=x", "after=999999999999999999999"])
def test_an_address_with_unknown_words_still_opens(client: Browser, model: Model, query: str) -> None:
    answer = client.get(f"/models?{query}")
    assert answer.status_code == 200
    assert "LeNet 手" in answer.text


def test_a_full_list_is_paged(client: Browser, database: Database) -> None:
    dataset_id = factories.dataset(database).id
    for number in range(52):
        factories.model(database, name=f"model {number}", dataset_id=dataset_id)
    page = client.get("/models").text
    following = re.findall(r'rel="next" href="\?([^"]+)"', page)[0]
    rest = client.get(f"/models?{html.unescape(following)}").text
    assert re.findall(r'row-link"[^>]*>([^<]+)<', rest) == ["model 1", "model 0"]


def test_the_table_alone_ends_when_nothing_is_active(client: Browser, database: Database) -> None:
    factories.model(database, status=Status.DONE)
    assert client.get("/models/_table").headers["X-Live"] == "end"
    factories.model(database, status=Status.QUEUED)
    assert "X-Live" not in client.get("/models/_table").headers


def test_a_running_model_shows_how_far_it_is(client: Browser, model: Model) -> None:
    text = text_of(client.get(f"/models/{model.id}").text)
    for words in ("running 16 %", "2.4/15", "2 min 05 s", "1,234", "cuda:0", "bfloat16", "431,080 parameters"):
        assert words in text
    assert "Stop" in text
    assert "Resume" not in text


def test_the_status_alone_ends_when_the_model_has_ended(client: Browser, database: Database, model: Model) -> None:
    path = f"/models/{model.id}/_status"
    assert "X-Live" not in client.get(path).headers
    with database.write() as session:
        session.get_one(Job, model.job_id).status = Status.DONE
    for part in PARTS:
        assert client.get(f"/models/{model.id}/{part}").headers["X-Live"] == "end"


def test_download_and_fine_tuning_appear_with_the_first_snapshot(client: Browser, database: Database) -> None:
    model = factories.model(database, status=Status.RUNNING)
    assert f'data-url="/models/{model.id}/_uses"' in client.get(f"/models/{model.id}").text
    assert "Download" not in client.get(f"/models/{model.id}/_uses").text
    factories.snapshot(database, model, epoch=1)
    uses = client.get(f"/models/{model.id}/_uses")
    assert uses.headers["X-Live"] == "end"
    assert "Download" in uses.text
    assert "Fine-tune" in uses.text


def test_a_model_waiting_for_its_dataset_says_so(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING, name="big one")
    model = factories.model(database, status=Status.QUEUED, dataset_id=dataset.id)
    assert "waits for dataset “big one”" in text_of(client.get(f"/models/{model.id}").text)


def test_a_failed_model_shows_its_reason_and_what_to_do(client: Browser, database: Database, admin: User) -> None:
    model = factories.model(database, status=Status.FAILED, user_id=admin.id)
    factories.snapshot(database, model, epoch=3)
    with database.write() as session:
        session.get_one(Job, model.job_id).error = "The loss is not a number. Lower the learning rate."
    text = text_of(client.get(f"/models/{model.id}").text)
    assert "The loss is not a number. Lower the learning rate." in text
    assert "Resume goes on from the snapshot of epoch 3" in text


def test_a_done_model_shows_its_accuracies_and_snapshots(client: Browser, database: Database) -> None:
    model = factories.model(database, accuracy={"train": 1.0, "val": 0.9907, "test": 0.9855})
    with database.write() as session:
        session.get_one(Job, model.job_id).detail = {"epoch": 15.0}
    factories.snapshot(database, model, epoch=15, metrics={"val/loss": 0.031, "val/accuracy": 0.9907})
    factories.metric(database, model, "val/accuracy", 0.9907, epoch=15)
    page = client.get(f"/models/{model.id}").text
    for words in ("100.00 %", "99.07 %", "98.55 %", "15/15", "0.0310", "best on validation", "99.07 % at epoch 15"):
        assert words in text_of(page)
    assert f'href="/models/{model.id}/download?snapshot=last"' in page
    for rest in ("", "&amp;format=caffe", "&amp;format=onnx", "&amp;format=pytorch"):
        assert f'href="/models/{model.id}/download?snapshot=15{rest}"' in page
    assert "data-events" not in page


def test_a_running_model_follows_its_events_from_where_the_page_was_drawn(
    client: Browser, model: Model, storage: Storage
) -> None:
    storage.model_dir(model.id).mkdir(parents=True)
    storage.model_log(model.id).write_text("first line\nsecond line\nhalf")
    page = client.get(f"/models/{model.id}").text
    assert f"/api/v1/models/{model.id}/events?only=points,state,log&amp;log=23" in page
    assert "second line\n</pre>" in page


def test_names_of_people_are_text_and_no_html(client: Browser, database: Database, admin: User) -> None:
    name = "<script>alert(1)</script>"
    dataset = factories.dataset(database, name=name)
    model = factories.model(
        database, name=name, notes=name, dataset_id=dataset.id, topology_name=name, prototxt=name, user_id=admin.id
    )
    factories.sweep(database, name=name)
    for path in ("/models", f"/models/{model.id}", "/models/new", f"/models/new?clone={model.id}", "/sweeps"):
        assert "<script>alert" not in client.get(path).text


def test_names_of_two_hundred_characters_are_shown_whole(client: Browser, database: Database) -> None:
    model = factories.model(database, name=LONG)
    for path in ("/models", f"/models/{model.id}"):
        assert LONG in client.get(path).text


def test_stop_resume_and_delete_by_forms(client: Browser, database: Database, model: Model) -> None:
    assert client.send_form(f"/models/{model.id}/delete").status_code == 409
    assert client.send_form(f"/models/{model.id}/stop").status_code == 303
    assert "stopping after this iteration" in client.get(f"/models/{model.id}").text
    with database.write() as session:
        Job.end_stopped(session, model.job_id, 0)
    assert "Resume begins from the start" in client.get(f"/models/{model.id}").text
    assert client.send_form(f"/models/{model.id}/resume").status_code == 303
    assert client.send_form(f"/models/{model.id}/resume").status_code == 409
    answer = client.send_form(f"/models/{model.id}/delete")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models")
    assert client.get(f"/models/{model.id}").status_code == 404


def test_a_form_without_its_token_changes_nothing(client: Browser, model: Model) -> None:
    assert client.post(f"/models/{model.id}/stop", data={}).status_code == 403


def test_rename_and_notes(client: Browser, model: Model) -> None:
    assert client.send_form(f"/models/{model.id}/edit", name="new 名", notes="a\nb").status_code == 303
    assert "new 名" in client.get(f"/models/{model.id}").text
    refused = client.send_form(f"/models/{model.id}/edit", name="", notes="kept notes")
    assert refused.status_code == 422
    assert "Expected a name, found nothing." in refused.text
    assert "kept notes" in refused.text


def test_somebody_elses_model_is_shown_without_its_buttons(
    app: FastAPI, database: Database, client: Browser, model: Model
) -> None:
    with Browser(app, base_url="http://localhost", follow_redirects=False) as other:
        sign_in(other, database, factories.user(database))
        page = other.get(f"/models/{model.id}").text.partition("<main")[2]
        assert f"/models/{model.id}/stop" not in page
        assert f"/models/{model.id}/delete" not in page
        for verb in ("stop", "resume", "delete", "edit"):
            assert other.send_form(f"/models/{model.id}/{verb}", name="mine").status_code == 403


def test_the_numbers_come_as_json_and_csv(client: Browser, database: Database, model: Model) -> None:
    factories.metric(database, model, "train/loss", 0.5, iteration=3)
    chart = client.get(f"/models/{model.id}/chart.json").json()
    assert chart["figures"]["loss"]["data"][0]["y"] == [0.5]
    answer = client.get(f"/models/{model.id}/metrics.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines() == ["epoch,iteration,name,value", "0.1,3,train/loss,0.5"]


def test_the_whole_log_is_plain_text(client: Browser, model: Model, storage: Storage) -> None:
    assert client.get(f"/models/{model.id}/log").status_code == 404
    storage.model_dir(model.id).mkdir(parents=True)
    storage.model_log(model.id).write_text("<b>line</b>\n")
    answer = client.get(f"/models/{model.id}/log")
    assert (answer.text, answer.headers["content-type"]) == ("<b>line</b>\n", "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    "path", ["", *(f"/{part}" for part in PARTS), "/chart.json", "/metrics.csv", "/log", "/download"]
)
def test_what_does_not_exist_is_not_found(client: Browser, path: str) -> None:
    assert client.get(f"/models/999{path}").status_code == 404


def test_nothing_is_shown_without_a_session(anonymous: Any, model: Model) -> None:
    for path in ("/models", "/models/new", f"/models/{model.id}", f"/models/{model.id}/download", "/sweeps"):
        assert anonymous.get(path).status_code in (303, 401), path


def test_a_page_that_was_opened_early_learns_what_the_model_is_made_with(client: Browser, database: Database) -> None:
    model = factories.model(database, status=Status.RUNNING)
    page = client.get(f"/models/{model.id}").text
    assert f'data-url="/models/{model.id}/_origin"' in page
    assert f'href="/models/{model.id}/log"' in page
    assert "PyTorch" not in client.get(f"/models/{model.id}/_origin").text
    with database.write() as session:
        session.get_one(Model, model.id).run_info = {"torch": "2.14.1", "trainyard": "0.1.0"}
    part = client.get(f"/models/{model.id}/_origin")
    assert "2.14.1" in part.text
    assert part.headers["X-Live"] == "end"
