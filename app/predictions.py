"""What pages and API do with predictions alike: make, find, list, delete. The forward pass itself is the worker's."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database, Job, JobKind, Prediction, Snapshot, User
from app.models import get_model
from app.pictures import PictureError, check_picture
from app.queue import Queue
from app.schemas.predictions import NewPrediction
from app.storage import Storage
from app.web import PageNotFound, require_owner

IMAGE = "image"  # the picture as it was sent, in the prediction's folder
INPUT = "input.png"  # as the net sees it; the worker makes it


class InvalidPrediction(Exception):
    """The picture or the choices cannot be used; one message per field."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(self.fields.values()))


@dataclass(frozen=True)
class PictureTest:
    """A picture that somebody sent, and what is asked about it."""

    model_id: int
    filename: str
    data: bytes
    form: NewPrediction


@dataclass(frozen=True)
class PredictionPage:
    predictions: list[Prediction]
    next: str | None


def create_prediction(database: Database, storage: Storage, queue: Queue, user: User, test: PictureTest) -> int:
    """The id of a new prediction, queued; raises InvalidPrediction."""
    model_id = test.model_id
    with database.read() as session:
        preprocessing = get_model(session, model_id).preprocessing_value
    try:
        check_picture(test.data, preprocessing)
    except PictureError as error:
        raise InvalidPrediction({"image": str(error)}) from error
    arrived = _write_arrived(storage.model_dir(model_id) / "predictions", test.data)
    try:
        with database.write() as session:
            prediction = _insert(session, user, test)
            folder = storage.prediction_dir(model_id, prediction.id)
            storage.delete(folder)  # of an earlier one whose id was given again
            folder.mkdir(parents=True)
            arrived.rename(folder / IMAGE)
            job_id, prediction_id = prediction.job_id, prediction.id
    finally:
        arrived.unlink(missing_ok=True)
    queue.enqueue(job_id)
    return prediction_id


def get_prediction(session: Session, model_id: int, prediction_id: int) -> Prediction:
    prediction = session.get(Prediction, prediction_id)
    if prediction is None or prediction.model_id != model_id:
        raise PageNotFound("prediction")
    return prediction


def list_predictions(session: Session, model_id: int, after: int | None = None, limit: int = 50) -> PredictionPage:
    """The predictions of a model, the newest first."""
    statement = select(Prediction).where(Prediction.model_id == get_model(session, model_id).id)
    if after is not None:
        statement = statement.where(Prediction.id < after)
    rows = list(session.scalars(statement.order_by(Prediction.id.desc()).limit(limit + 1)))
    page = rows[:limit]
    return PredictionPage(page, str(page[-1].id) if len(rows) > limit else None)


def delete_prediction(database: Database, storage: Storage, user: User, model_id: int, prediction_id: int) -> None:
    """Deletes row, job and files. A run that is under way finds its row gone and writes nothing."""
    with database.write() as session:
        prediction = get_prediction(session, model_id, prediction_id)
        require_owner(user, prediction.user_id)
        job = prediction.job
        session.delete(prediction)
        session.flush()
        session.delete(job)
    storage.delete(storage.prediction_dir(model_id, prediction_id))


def activation_file(storage: Storage, prediction: Prediction, number: int) -> tuple[dict[str, Any], Path]:
    """A layer's numbers and the file of its output; raises PageNotFound."""
    if not 0 <= number < len(prediction.layers):
        raise PageNotFound("layer")
    layer: dict[str, Any] = prediction.layers[number]
    folder = storage.prediction_dir(prediction.model_id, prediction.id).resolve()
    path = (folder / str(layer.get("file", ""))).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise PageNotFound("activation")
    return layer, path


def _insert(session: Session, user: User, test: PictureTest) -> Prediction:
    model, form = get_model(session, test.model_id), test.form
    snapshot = Snapshot.find(session, model.id, form.snapshot)
    if snapshot is None:
        raise InvalidPrediction({"snapshot": _missing_snapshot(session, model.id, form.snapshot)})
    name = _clean(test.filename)
    job = Job.of(JobKind.PREDICT, title=f"{name} on {model.name}", user_id=user.id)
    session.add(job)
    session.flush()
    prediction = Prediction(model_id=model.id, snapshot_id=snapshot.id, user_id=user.id, job_id=job.id, filename=name,
                            with_layers=form.layers, top=[], layers=[])  # fmt: skip
    session.add(prediction)
    session.flush()
    job.path = f"/models/{model.id}/predictions/{prediction.id}"
    session.flush()
    return prediction


def _missing_snapshot(session: Session, model_id: int, wanted: str) -> str:
    snapshots = Snapshot.of_model(session, model_id)
    if not snapshots:
        return "This model has no snapshot yet; the first one comes at the end of its first epoch."
    return f"Expected last, best or the epoch of a snapshot (up to {snapshots[0].epoch_label}), found “{wanted}”."


def _clean(filename: str) -> str:
    """The name as it is shown: without folders and control characters; never part of a path here."""
    name = unicodedata.normalize("NFC", filename.replace("\\", "/").rsplit("/", 1)[-1])
    return "".join(char for char in name if char.isprintable()).strip()[:255] or "picture"


def _write_arrived(folder: Path, data: bytes) -> Path:
    """The picture on disk under a name that nobody knows, complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".arrived-{secrets.token_hex(8)}"
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path
