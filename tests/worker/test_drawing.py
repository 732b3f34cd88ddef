"""From the form to what a net is fed: the preview of a model's first batch is the first batch of that model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.db import Database, Dataset, FirstBatch, Job, Lane, Status
from app.settings import Settings
from app.storage import Storage
from tests.app import built
from tests.worker.datasets.pictures import two_classes
from tests.worker.engine.drawn import NET
from tests.worker.engine.fed import what_nets_are_fed
from worker.lease import Lease
from worker.tasks import LaneWorker
from worker.training import train

WIDTH, HEIGHT = 12, 10
SHARED = {"batch_size": [6, 3], "batch_accumulation": 2, "seed": 11}
TRANSFORMATIONS: list[dict[str, Any]] = [
    {},
    {"mirror": True, "crop_size": 7, "mean": "pixel"},
    {"flip": "fliplrud", "quad_rotation": "rot180", "rotation_degrees": 30, "zoom": 0.1, "shift": 0.1, "hue": 0.1,
     "saturation": 0.1, "brightness": 0.1, "contrast": 0.5, "noise": 0.02, "cutout": 0.3, "crop_size": 8},
]  # fmt: skip


@pytest.fixture
def dataset(database: Database, storage: Storage, tmp_path: Path) -> Dataset:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    return built.dataset_of(database, storage, upload, channels="color", width=WIDTH, height=HEIGHT)


@pytest.fixture
def worker(settings: Settings, storage: Storage) -> Iterator[LaneWorker]:
    worker = LaneWorker(replace(settings, nice=0), Lane.PREDICT)
    yield worker
    worker.close()
    worker.database.close()


def preview(api: TestClient, worker: LaneWorker, wanted: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    """The images, as somebody who asks for them gets them: (h, w, 3), RGB."""
    made = api.post("/api/v1/first-batches", json=wanted).json()
    worker.work()
    found = api.get(f"/api/v1/first-batches/{made['id']}").json()
    assert (found["status"], found["error"]) == ("done", None)
    return [np.asarray(Image.open(io.BytesIO(api.get(image["image"]).content))) for image in found["images"]]


def feed(settings: Settings, database: Database, storage: Storage) -> np.ndarray[Any, Any]:
    """What the oldest queued model's net is really fed in its first iteration: (N, 3, h, w), BGR."""
    with database.write() as session:
        job = Job.claim_next(session, Lane.TRAIN, "tests", 30)
    assert job is not None
    lease = Lease(database, job.id, job.attempt, lease_s=30, heartbeat_s=5)
    with what_nets_are_fed() as fed:
        train(replace(settings, threads=1), database, storage, lease)
    return np.concatenate([images for images, _ in fed[:2]])


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_the_preview_is_what_the_first_model_of_the_form_is_fed(
    api: TestClient, settings: Settings, database: Database, storage: Storage, dataset: Dataset, worker: LaneWorker,
    transformation: dict[str, Any],
) -> None:  # fmt: skip
    shared = SHARED | transformation | {"dataset_id": dataset.id}
    shown = preview(api, worker, shared)
    model = {"name": "x", "prototxt": NET, "epochs": 1, "val_interval": 0, "precision": "float32"}
    assert api.post("/api/v1/models", json=model | shared).status_code == 201
    fed = feed(settings, database, storage)
    mean = dataset.result["mean"] if transformation.get("mean") else [0.0] * 3
    pixels = np.clip(np.round(fed.transpose(0, 2, 3, 1) * 256 + np.array(mean, np.float32)), 0, 255).astype(np.uint8)
    assert len(shown) == 12
    np.testing.assert_array_equal(np.stack(shown), pixels[:, :, :, ::-1])


def test_what_is_gone_from_the_disk_is_said(
    api: TestClient, database: Database, storage: Storage, dataset: Dataset, worker: LaneWorker
) -> None:
    (storage.dataset_dir(dataset.id) / "train.lmdb" / "data.mdb").unlink()
    made = api.post("/api/v1/first-batches", json={"dataset_id": dataset.id, "batch_size": 4}).json()
    worker.work()
    found = api.get(f"/api/v1/first-batches/{made['id']}").json()
    assert (found["status"], found["images"]) == (Status.FAILED, [])
    assert "the training images cannot be read" in found["error"]
    with database.read() as session:
        row = session.get_one(FirstBatch, made["id"])
    assert not storage.first_batch_dir(dataset.id, row.id).exists()
