"""First batches as a script asks for them. That they are what training feeds is tested in the engine and the worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.db import Database, Dataset, FirstBatch, Job, Lane, Status
from app.db.base import now
from app.storage import Storage
from tests import factories
from tests.app.predicted import png_of
from worker.tidying import forget_outdated

PATH = "/api/v1/first-batches"


@pytest.fixture
def dataset(database: Database) -> Dataset:
    return factories.dataset(database, name="pets 手")


def ask(api: TestClient, dataset: Dataset, **fields: Any) -> Any:
    return api.post(PATH, json={"dataset_id": dataset.id, "batch_size": 4} | fields)


def drawn(database: Database, storage: Storage, first_batch_id: int) -> FirstBatch:
    """As the worker leaves it."""
    with database.write() as session:
        row = session.get_one(FirstBatch, first_batch_id)
        row.images = [{"index": 5, "label": 1}, {"index": 0, "label": 0}]
        row.job.status = Status.DONE
    folder = storage.first_batch_dir(row.dataset_id, row.id)
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number:03d}.png").write_bytes(png_of(seed=number))
    return row


def count_of(database: Database, record: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(record)) or 0


def test_it_is_queued_where_no_training_is(api: TestClient, database: Database, dataset: Dataset) -> None:
    answer = ask(api, dataset, rotation_degrees=10, batch_accumulation=3, seed=8, crop_size=20, flip="fliplr")
    made = answer.json()
    assert (answer.status_code, made["status"], made["images"], made["image_count"]) == (201, "queued", [], 12)
    assert api.get(answer.headers["Location"]).json() == made
    with database.read() as session:
        row = session.get_one(FirstBatch, made["id"])
    assert (row.job.lane, row.job.title) == (Lane.PREDICT, "First batch of pets 手")
    assert row.settings["preprocessing"]["mirror"] is True
    assert (row.settings["seed"], row.settings["augmentation"]["rotation_degrees"]) == (8, 10)


def test_the_same_settings_are_drawn_once(api: TestClient, database: Database, dataset: Dataset) -> None:
    first = ask(api, dataset).json()
    assert ask(api, dataset, batch_size=[4, 8], mirror=False).json() == first  # the first run's batch is the same
    assert ask(api, dataset, seed=2).json()["id"] != first["id"]
    with database.write() as session:
        session.get_one(FirstBatch, first["id"]).job.status = Status.FAILED
    assert ask(api, dataset).json()["id"] > first["id"]


def test_its_images_are_there_when_it_is_done(
    api: TestClient, database: Database, storage: Storage, dataset: Dataset
) -> None:
    row = drawn(database, storage, ask(api, dataset).json()["id"])
    found = api.get(f"{PATH}/{row.id}").json()
    assert [(image["index"], image["label"]) for image in found["images"]] == [(5, "dog"), (0, "cat")]
    assert [api.get(image["image"]).content for image in found["images"]] == [png_of(seed=0), png_of(seed=1)]
    for number in (2, 999, "x"):
        assert api.get(f"{PATH}/{row.id}/images/{number}.png").status_code == 404
    for other in (999, "9" * 30, "x"):
        assert api.get(f"{PATH}/{other}").status_code == 404


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"dataset_id": 999}, "dataset_id", "does not exist"),
        ({"dataset_id": None}, "dataset_id", "Choose a dataset."),
        ({"batch_size": 15}, "batch_size", "Expected at most 14, the number of training images, found 15."),
        ({"batch_accumulation": 4}, "batch_accumulation", "4 batches of 4 are 16 images"),
        ({"crop_size": 29}, "crop_size", "28 × 28"),
        ({"noise": 2}, "noise", "found 2"),
        ({"epochs": 3}, "epochs", "There is no such field."),
    ],
)
def test_what_does_not_fit_is_said_by_field(
    api: TestClient, database: Database, dataset: Dataset, values: dict[str, Any], field: str, words: str
) -> None:
    answer = ask(api, dataset, **values)
    assert answer.status_code == 422
    assert words in answer.json()["error"]["fields"][field]
    assert count_of(database, FirstBatch) == 0


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.FAILED])
def test_there_is_none_of_a_dataset_that_is_not_built(api: TestClient, database: Database, status: Status) -> None:
    answer = ask(api, factories.dataset(database, status=status, name="in the making"))
    expected = "has failed" if status == Status.FAILED else "“in the making” is still being built."
    assert expected in answer.json()["error"]["fields"]["dataset_id"]


def test_a_batch_that_would_fill_the_memory_is_not_drawn(api: TestClient, database: Database) -> None:
    splits = {"train": {"count": 9000, "per_class": [4500, 4500]}}
    result = {"classes": ["cat", "dog"], "splits": splits, "content_hash": "b", "mean": [1.0]}
    large = factories.dataset(database, width=512, height=512, result=result)
    assert "expected at most 512 images of this size" in ask(api, large, batch_size=513).text
    assert ask(api, large, batch_size=512).status_code == 201


def test_it_is_forgotten_after_an_hour(api: TestClient, database: Database, storage: Storage, dataset: Dataset) -> None:
    old, new = ask(api, dataset).json()["id"], ask(api, dataset, seed=2).json()["id"]
    folder = storage.first_batch_dir(dataset.id, drawn(database, storage, old).id)
    waiting = ask(api, dataset, seed=3).json()["id"]
    drawn(database, storage, new)
    with database.write() as session:
        for made in (old, waiting):
            session.get_one(FirstBatch, made).created_at = now() - timedelta(minutes=61)
    jobs = count_of(database, Job)
    forget_outdated(database, storage)
    assert [api.get(f"{PATH}/{made}").status_code for made in (old, new, waiting)] == [404, 200, 200]
    assert (count_of(database, Job), folder.exists()) == (jobs - 1, False)
    assert storage.first_batch_dir(dataset.id, new).exists()


def test_it_goes_with_its_dataset(api: TestClient, database: Database, storage: Storage, dataset: Dataset) -> None:
    drawn(database, storage, ask(api, dataset).json()["id"])
    assert api.delete(f"/api/v1/datasets/{dataset.id}").status_code == 204
    assert (count_of(database, FirstBatch), count_of(database, Job)) == (0, 0)
    assert not storage.dataset_dir(dataset.id).exists()
