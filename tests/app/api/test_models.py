"""Models as JSON, as scripts use them."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database, Dataset, Job, Model, Status, User
from tests import factories

SPLITS = {
    "train": {"count": 7000, "per_class": [3500, 3500]},
    "val": {"count": 1000, "per_class": [500, 500]},
    "test": {"count": 2000, "per_class": [1000, 1000]},
}
RESULT = {"classes": ["cat", "dog"], "splits": SPLITS, "skipped_count": 0, "content_hash": "a" * 64, "mean": [33.0]}
PATH = "/api/v1/models"


@pytest.fixture
def dataset(database: Database) -> Dataset:
    return factories.dataset(database, name="pets", result=RESULT)


@pytest.fixture
def stranger(app: FastAPI, database: Database) -> TestClient:
    client = TestClient(app, base_url="http://localhost")
    client.headers["Authorization"] = f"Bearer {factories.api_token(database, factories.user(database))}"
    return client


def error_of(answer: Any) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) >= {"code", "message", "fields"}
    return error


def test_one_model_is_made_with_the_defaults(api: TestClient, dataset: Dataset) -> None:
    answer = api.post(PATH, json={"name": "first", "dataset_id": dataset.id, "topology": "lenet"})
    assert answer.status_code == 201
    (model,) = answer.json()["models"]
    expected = {
        "name": "first", "status": "queued", "epochs": 15, "batch_size": 64, "base_lr": 0.01, "epoch": 0.0,
        "dataset": "pets", "dataset_id": dataset.id, "topology": "lenet", "owner": "admin", "error": None,
        "accuracy": {"train": None, "val": None, "test": None}, "sweep_id": answer.json()["sweep_id"],
    }  # fmt: skip
    assert expected.items() <= model.items()


def test_variations_of_the_images_are_kept_with_the_model(api: TestClient, dataset: Dataset) -> None:
    chosen = {"rotation_degrees": 10, "zoom": 0.07, "noise": 0.03, "quad_rotation": "rot90"}
    wanted = {"name": "x", "dataset_id": dataset.id, "topology": "lenet", "flip": "fliplrud"} | chosen
    (model,) = api.post(PATH, json=wanted).json()["models"]
    found = api.get(f"{PATH}/{model['id']}").json()
    assert found["preprocessing"]["mirror"] is True  # its part of the flips, drawn together with the crop
    assert chosen.items() <= found["augmentation"].items()
    assert (found["augmentation"]["flip"], found["augmentation"]["hue"]) == ("flipud", 0.0)


def test_turns_that_change_the_shape_of_images_are_refused(api: TestClient, database: Database) -> None:
    wide = factories.dataset(database, result=RESULT, width=40)
    wanted = {"name": "x", "dataset_id": wide.id, "topology": "lenet", "quad_rotation": "rotall"}
    answer = api.post(PATH, json=wanted)
    assert answer.status_code == 422
    assert "square images, found this dataset's images (40 × 28)" in error_of(answer)["fields"]["quad_rotation"]


def test_lists_make_a_sweep(api: TestClient, dataset: Dataset) -> None:
    wanted = {
        "name": "s",
        "dataset_id": dataset.id,
        "topology": "lenet",
        "base_lr": [0.1, 0.01],
        "batch_size": [64, 128],
    }
    made = api.post(PATH, json=wanted).json()
    assert [(model["base_lr"], model["batch_size"]) for model in made["models"]] == [
        (0.1, 64), (0.01, 64), (0.1, 128), (0.01, 128),
    ]  # fmt: skip
    sweep = api.get(f"/api/v1/sweeps/{made['sweep_id']}").json()
    assert (sweep["name"], sweep["counts"]) == ("s", {"all": 4, "queued": 4})
    assert [model["id"] for model in sweep["models"]] == [model["id"] for model in made["models"]]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"base_lr": 1e15}, "base_lr", "Expected a number from 1e-12 to 10, found 1000000000000000.0."),
        ({"base_lr": []}, "base_lr", "found nothing"),
        ({"base_lr": ["fast"]}, "base_lr", "found “fast”"),
        ({"batch_size": 64.5}, "batch_size", "found 64.5"),
        ({"batch_size": 7001}, "batch_size", "Expected at most 7,000"),
        ({"batch_size": list(range(1, 102))}, "batch_size", "Expected at most 100 values, found 101."),
        ({"epochs": None}, "epochs", "found nothing"),
        ({"epochs": True}, "epochs", "found True"),
        ({"topology": "nothing"}, "topology", "There is no topology “nothing”"),
        ({"topology": None}, "topology", "Expected text, found nothing."),
        ({"prototxt": "layer {"}, "prototxt", "Line 1, column"),
        ({"crop_size": 99}, "crop_size", "28 × 28"),
        ({"mirror": "perhaps"}, "mirror", "true or false"),
        ({"mean": "median"}, "mean", "found “median”"),
        ({"zoom": 1.5}, "zoom", "Expected a number from 0 to 1, found 1.5."),
        ({"flip": 3}, "flip", "Expected one of none, fliplr"),
        ({"learning_rate": 0.1}, "learning_rate", "There is no such field."),
        ({"dataset_id": 999}, "dataset_id", "does not exist"),
        ({"dataset_id": None}, "dataset_id", "Choose a dataset."),
        ({"name": ""}, "name", "Expected a name"),
        ({"name": 5}, "name", "found 5"),
    ],
)
def test_what_does_not_fit_is_said_by_field(
    api: TestClient, dataset: Dataset, values: dict[str, Any], field: str, words: str
) -> None:
    answer = api.post(PATH, json={"name": "x", "dataset_id": dataset.id, "topology": "lenet"} | values)
    assert answer.status_code == 422
    assert words in error_of(answer)["fields"][field]
    assert api.get(PATH).json()["items"] == []


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"text"', '{"name": "\\ud800"}'])
def test_a_body_that_is_no_form_is_refused(api: TestClient, body: str) -> None:
    answer = api.post(PATH, content=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    error_of(answer)


def test_the_same_submission_makes_one_sweep(api: TestClient, dataset: Dataset) -> None:
    wanted = {"name": "x", "dataset_id": dataset.id, "topology": "lenet", "submission": "mine"}
    assert api.post(PATH, json=wanted).json() == api.post(PATH, json=wanted).json()


def test_a_model_shows_everything_that_was_decided(api: TestClient, database: Database) -> None:
    model = factories.model(database, accuracy={"test": 0.9}, run_info={"device": "cpu", "precision": "float32"})
    factories.snapshot(database, model, epoch=1, iteration=100)
    factories.snapshot(database, model, epoch=2, iteration=200)
    found = api.get(f"{PATH}/{model.id}").json()
    assert [snapshot["epoch"] for snapshot in found["snapshots"]] == [2.0, 1.0]
    assert (found["device"], found["precision"], found["accuracy"]["test"]) == ("cpu", "float32", 0.9)
    assert found["solver"]["lr_policy"] == "inv"
    assert found["preprocessing"]["width"] == 28


def test_a_running_model_says_how_far_it_is(api: TestClient, database: Database) -> None:
    model = factories.model(database, status=Status.RUNNING)
    with database.write() as session:
        job = session.get_one(Job, model.job_id)
        job.detail, job.eta_s, job.progress_percent = {"epoch": 1.5, "iteration": 7, "images_per_s": 9.0}, 3.5, 10.0
    found = api.get(f"{PATH}/{model.id}").json()
    assert (found["epoch"], found["iteration"], found["images_per_s"]) == (1.5, 7, 9.0)
    assert (found["eta_s"], found["progress_percent"]) == (3.5, 10.0)


def test_a_waiting_model_names_its_dataset(api: TestClient, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING, name="in the making")
    model = factories.model(database, status=Status.QUEUED, dataset_id=dataset.id)
    assert api.get(f"{PATH}/{model.id}").json()["waits_for"] == "in the making"


def test_the_list_is_filtered_sorted_and_paged(api: TestClient, database: Database) -> None:
    for name, rate in (("a", 0.1), ("b", 0.01), ("c", 1.0)):
        factories.model(database, name=name, base_lr=rate)
    first = api.get(PATH, params={"sort": "base_lr", "limit": 2}).json()
    second = api.get(PATH, params={"sort": "base_lr", "limit": 2, "after": first["next"]}).json()
    assert [model["name"] for model in first["items"] + second["items"]] == ["b", "a", "c"]
    assert second["next"] is None
    assert [model["name"] for model in api.get(PATH, params={"q": "B"}).json()["items"]] == ["b"]


@pytest.mark.parametrize(
    "query", ["sort=magic", "status=magic", "limit=0", "limit=9999", "after=x", "after=" + "9" * 30]
)
def test_an_odd_query_is_refused_in_words(api: TestClient, query: str) -> None:
    answer = api.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert error_of(answer)["fields"].keys() == {query.partition("=")[0]}


def test_metrics_are_read_piece_by_piece(api: TestClient, database: Database) -> None:
    model = factories.model(database, status=Status.RUNNING)
    for number in range(5):
        factories.metric(database, model, "train/loss", number / 2, iteration=number)
    seen: list[int] = []
    since = 0
    while points := (page := api.get(f"{PATH}/{model.id}/metrics", params={"since": since, "limit": 2}).json())[
        "points"
    ]:
        assert set(points[0]) == {"id", "epoch", "iteration", "name", "value"}
        seen += [point["iteration"] for point in points]
        since = page["next"]
    assert seen == list(range(5))
    assert (page["next"], page["status"]) == (since, "running")


def test_a_stop_is_taken_and_a_second_one_too_until_it_has_ended(api: TestClient, database: Database) -> None:
    model = factories.model(database, status=Status.RUNNING)
    for _ in range(2):
        answer = api.post(f"{PATH}/{model.id}/stop-request")
        assert (answer.status_code, answer.json()["is_stopping"]) == (202, True)
    with database.write() as session:
        assert Job.end_stopped(session, model.job_id, 0)
    assert api.post(f"{PATH}/{model.id}/stop-request").status_code == 409


def test_a_stopped_model_is_resumed(api: TestClient, database: Database) -> None:
    model = factories.model(database, status=Status.STOPPED)
    answer = api.post(f"{PATH}/{model.id}/resume-request")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    refused = api.post(f"{PATH}/{model.id}/resume-request")
    assert (refused.status_code, "queued" in error_of(refused)["message"]) == (409, True)


def test_name_and_notes_are_changed(api: TestClient, database: Database) -> None:
    model = factories.model(database)
    assert api.patch(f"{PATH}/{model.id}", json={"notes": "new"}).json()["notes"] == "new"
    assert api.patch(f"{PATH}/{model.id}", json={"name": "名"}).json()["name"] == "名"
    for body, field in (({}, ""), ({"status": "done"}, "status"), ({"name": ""}, "name")):
        answer = api.patch(f"{PATH}/{model.id}", json=body)
        assert answer.status_code == 422, body
        assert not field or field in error_of(answer)["fields"]


def test_delete_needs_an_ended_model(api: TestClient, database: Database) -> None:
    running = factories.model(database, status=Status.RUNNING)
    assert api.delete(f"{PATH}/{running.id}").status_code == 409
    done = factories.model(database)
    assert api.delete(f"{PATH}/{done.id}").status_code == 204
    assert api.get(f"{PATH}/{done.id}").status_code == 404


def test_strangers_may_look_but_change_nothing(database: Database, stranger: TestClient, admin: User) -> None:
    model: Model = factories.model(database, status=Status.RUNNING, user_id=admin.id)
    sweep = factories.sweep(database, user_id=admin.id)
    assert stranger.get(f"{PATH}/{model.id}").status_code == 200
    refused = [
        stranger.post(f"{PATH}/{model.id}/stop-request"),
        stranger.post(f"{PATH}/{model.id}/resume-request"),
        stranger.patch(f"{PATH}/{model.id}", json={"name": "mine"}),
        stranger.delete(f"{PATH}/{model.id}"),
        stranger.post(f"/api/v1/sweeps/{sweep.id}/stop-request"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5


@pytest.mark.parametrize("model_id", ["999", "9" * 30, "x", "-1"])
@pytest.mark.parametrize("path", ["", "/metrics", "/download", "/events"])
def test_what_does_not_exist_is_not_found(api: TestClient, model_id: str, path: str) -> None:
    answer = api.get(f"{PATH}/{model_id}{path}")
    assert answer.status_code == 404
    error_of(answer)


def test_the_openapi_says_that_rates_may_be_one_or_several(app: FastAPI) -> None:
    fields = app.openapi()["components"]["schemas"]["NewModel"]["properties"]
    for name, kind in (("base_lr", "number"), ("batch_size", "integer")):
        assert [option["type"] for option in fields[name]["anyOf"]] == [kind, "array"]
