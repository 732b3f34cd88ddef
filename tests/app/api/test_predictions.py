"""Predictions as a script meets them. That the numbers are right is tested where they are made, in the engine."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.db import Database, Job, Lane, Model, Prediction, Status
from app.storage import Storage
from tests import factories
from tests.app.predicted import SHAPES, TOP, model_with_snapshots, output, png_of, predicted


@pytest.fixture
def model(database: Database, storage: Storage) -> Model:
    return model_with_snapshots(database, storage)


def send(api: TestClient, model: Model, data: bytes = b"", name: str = "three.png", **fields: str) -> Any:
    files = {"image": (name, data or png_of(), "image/png")}
    return api.post(f"/api/v1/models/{model.id}/predictions", files=files, data=fields)


def count_of(database: Database, record: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(record)) or 0


def test_a_picture_is_kept_and_queued_where_no_training_is(
    api: TestClient, database: Database, storage: Storage, model: Model
) -> None:
    answer = send(api, model)
    made = answer.json()
    assert answer.status_code == 201
    assert (made["status"], made["top"], made["layers"], made["snapshot"]) == ("queued", [], [], "2")
    assert answer.headers["Location"] == f"/api/v1/models/{model.id}/predictions/{made['id']}"
    assert (storage.prediction_dir("models", model.id, made["id"]) / "image").read_bytes() == png_of()
    with database.read() as session:
        job = session.get_one(Prediction, made["id"]).job
    assert (job.lane, job.status) == (Lane.PREDICT, Status.QUEUED)
    assert job.path == f"/models/{model.id}/predictions/{made['id']}"
    assert api.get(answer.headers["Location"]).json() == made


@pytest.mark.parametrize(("wanted", "epoch"), [("last", "2"), ("", "2"), ("best", "1"), ("1", "1")])
def test_the_snapshot_can_be_chosen(api: TestClient, model: Model, wanted: str, epoch: str) -> None:
    assert send(api, model, snapshot=wanted).json()["snapshot"] == epoch


def test_an_unknown_snapshot_is_named(api: TestClient, model: Model) -> None:
    answer = send(api, model, snapshot="99")
    assert answer.status_code == 422
    assert "“99”" in answer.json()["error"]["fields"]["snapshot"]


def test_a_model_without_a_snapshot_says_when_there_will_be_one(api: TestClient, database: Database) -> None:
    answer = send(api, factories.model(database, status=Status.RUNNING))
    assert answer.status_code == 422
    assert "end of its first epoch" in answer.json()["error"]["fields"]["snapshot"]


@pytest.mark.parametrize("data", [b"<html>404</html>", png_of(64, 64)[:500], b"\0"])
def test_what_is_no_picture_leaves_nothing_behind(
    api: TestClient, database: Database, storage: Storage, model: Model, data: bytes
) -> None:
    jobs = count_of(database, Job)
    answer = send(api, model, data, name="cat.jpg")
    assert answer.status_code == 422
    assert "Expected a PNG" in answer.json()["error"]["fields"]["image"]
    assert (count_of(database, Prediction), count_of(database, Job)) == (0, jobs)
    assert not list((storage.model_dir(model.id)).glob("predictions/*"))


def test_a_refused_snapshot_leaves_no_file_behind(api: TestClient, storage: Storage, model: Model) -> None:
    send(api, model, snapshot="99")
    assert not list((storage.model_dir(model.id) / "predictions").iterdir())


def test_the_picture_must_be_there(api: TestClient, model: Model) -> None:
    answer = api.post(f"/api/v1/models/{model.id}/predictions", data={"snapshot": "last"})
    assert answer.status_code == 422
    assert "image" in answer.json()["error"]["fields"]


@pytest.mark.parametrize(("word", "is_wanted"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_layers_are_made_if_they_are_wanted(
    api: TestClient, database: Database, model: Model, word: str, is_wanted: bool
) -> None:
    made = send(api, model, layers=word).json()
    with database.read() as session:
        assert session.get_one(Prediction, made["id"]).with_layers is is_wanted


def test_a_word_that_is_neither_true_nor_false_is_refused(api: TestClient, model: Model) -> None:
    answer = send(api, model, layers="perhaps")
    assert answer.status_code == 422
    assert "“perhaps”" in answer.json()["error"]["fields"]["layers"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../../etc/passwd", "passwd"),
        ("C:\\Bilder\\drei.png", "drei.png"),
        ("手書き数字.png", "手書き数字.png"),
        ("a" * 300 + ".png", "a" * 255),
    ],
)
def test_names_are_shown_and_never_used_as_paths(
    api: TestClient, storage: Storage, model: Model, sent: str, kept: str
) -> None:
    made = send(api, model, name=sent).json()
    assert made["filename"] == kept
    assert [path.name for path in storage.prediction_dir("models", model.id, made["id"]).iterdir()] == ["image"]


def test_what_came_out_is_there_when_it_is_done(api: TestClient, database: Database, storage: Storage) -> None:
    found = predicted(database, storage)
    answer = api.get(f"/api/v1{found.path}").json()
    assert (answer["status"], answer["top"]) == ("done", TOP)
    assert [layer["name"] for layer in answer["layers"]] == list(SHAPES)
    conv1 = answer["layers"][1]
    assert (conv1["type"], conv1["shape"]) == ("Convolution", [4, 24, 24])
    assert sum(conv1["histogram"]["counts"]) == 4 * 24 * 24
    values = np.load(io.BytesIO(api.get(conv1["activation"]).content), allow_pickle=False)
    assert np.array_equal(values, output(1, (4, 24, 24)))


def test_a_failed_one_says_why(api: TestClient, database: Database, storage: Storage) -> None:
    found = predicted(database, storage, status=Status.FAILED)
    with database.write() as session:
        session.get_one(Job, found.prediction.job_id).error = "the picture cannot be used: cut off"
    answer = api.get(f"/api/v1{found.path}").json()
    assert (answer["status"], answer["error"]) == ("failed", "the picture cannot be used: cut off")


def test_a_list_goes_on_where_the_page_before_ended(api: TestClient, model: Model) -> None:
    made = [send(api, model).json()["id"] for _ in range(3)]
    path = f"/api/v1/models/{model.id}/predictions"
    first = api.get(path, params={"limit": 2}).json()
    rest = api.get(path, params={"limit": 2, "after": first["next"]}).json()
    assert [entry["id"] for entry in first["items"] + rest["items"]] == made[::-1]
    assert rest["next"] is None
    assert "layers" not in first["items"][0]


def test_a_prediction_belongs_to_its_model(api: TestClient, database: Database, storage: Storage) -> None:
    found = predicted(database, storage)
    other = model_with_snapshots(database, storage)
    assert api.get(f"/api/v1/models/{other.id}/predictions/{found.prediction.id}").status_code == 404
    assert api.get(f"/api/v1/models/999/predictions/{found.prediction.id}").status_code == 404
    assert api.get(f"/api/v1/models/{other.id}/predictions").json() == {"items": [], "next": None}
    assert api.get("/api/v1/models/999/predictions").status_code == 404
    assert api.post("/api/v1/models/999/predictions", files={"image": ("a.png", png_of())}).status_code == 404


def test_a_layer_that_is_not_there_is_not_found(api: TestClient, database: Database, storage: Storage) -> None:
    found = predicted(database, storage)
    for number in (len(SHAPES), -1, 10**30):
        assert api.get(f"/api/v1{found.path}/activations/{number}.npy").status_code == 404


def test_a_row_cannot_lead_out_of_the_predictions_folder(api: TestClient, database: Database, storage: Storage) -> None:
    outside = {"name": "x", "type": "ReLU", "shape": [1], "file": "../../../../../trainyard.sqlite3"}
    found = predicted(database, storage, layers=[outside])
    assert api.get(f"/api/v1{found.path}/activations/0.npy").status_code == 404


def test_deleting_takes_row_job_and_files(api: TestClient, database: Database, storage: Storage) -> None:
    found = predicted(database, storage)
    assert api.delete(f"/api/v1{found.path}").status_code == 204
    assert api.get(f"/api/v1{found.path}").status_code == 404
    assert not found.folder.exists()
    with database.read() as session:
        assert session.get(Job, found.prediction.job_id) is None


def test_only_the_owner_and_an_admin_may_delete(
    app: FastAPI, database: Database, storage: Storage, admin: object
) -> None:
    found = predicted(database, storage)  # nobody's
    with TestClient(app, base_url="http://localhost") as stranger:
        token = factories.api_token(database, factories.user(database))
        stranger.headers["Authorization"] = f"Bearer {token}"
        assert stranger.get(f"/api/v1{found.path}").status_code == 200
        assert stranger.delete(f"/api/v1{found.path}").status_code == 403
    assert found.folder.exists()


def test_layers_that_were_deleted_are_made_anew(api: TestClient, database: Database, storage: Storage) -> None:
    found = predicted(database, storage)
    path = f"/api/v1{found.path}"
    assert api.get(path).json()["has_activations"] is True
    assert api.post(f"{path}/look-again").json()["status"] == "done"  # they are there
    with database.write() as session:
        session.get_one(Prediction, found.prediction.id).arrays_made_at = None
    assert api.get(path).json()["has_activations"] is False
    answer = api.post(f"{path}/look-again")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    storage.delete(storage.absolute(found.snapshot.path))
    with database.write() as session:
        session.get_one(Job, found.prediction.job_id).status = Status.FAILED
    refused = api.post(f"{path}/look-again")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "gone")
