"""What pages and API do with predictions alike: make, find, list, delete. The forward pass itself is the worker's."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database, Job, JobKind, Noun, Prediction, Snapshot, Status, Subject, User
from app.invalid import InvalidFields
from app.models.models import get_model
from app.predictions.pictures import PictureError, check_picture
from app.preprocessing import Preprocessing
from app.pretrained.pretrained import get_pretrained
from app.queue import Queue
from app.schemas.predictions import NewPrediction
from app.storage import Storage
from app.web import PageNotFound, require_owner

IMAGE = "image"  # the picture as it was sent, in the prediction's folder
WEIGHTS = "weights.safetensors"
INPUT = "input.png"  # as the net sees it; the worker makes it


class InvalidPrediction(InvalidFields):
    """The picture or the choices cannot be used; one message per field."""


class CannotLookAgain(Exception):
    """Why what the layers make of a picture cannot be made anew."""


@dataclass(frozen=True)
class PictureTest:
    """A picture that somebody sent, and what is asked about it."""

    subject: Subject
    filename: str
    data: bytes
    form: NewPrediction


@dataclass(frozen=True)
class Tested:
    """What a picture is tested on: a model with its snapshots, or a pretrained net."""

    subject: Subject
    name: str
    preprocessing: Preprocessing
    snapshots: Sequence[Snapshot]  # the newest first; none of a pretrained net
    problem: str  # why nothing can be tested; empty when it can
    is_growing: bool = False  # more snapshots may come

    @property
    def address(self) -> str:
        return self.subject.address

    @property
    def list_address(self) -> str:
        return f"/{self.subject.noun}"

    @property
    def kind(self) -> str:
        """The list that it belongs to, as pages call it."""
        return "Models" if self.subject.noun is Noun.MODELS else "Pretrained nets"


@dataclass(frozen=True)
class PredictionPage:
    predictions: list[Prediction]
    next: str | None


def create_prediction(database: Database, storage: Storage, queue: Queue, user: User, test: PictureTest) -> int:
    """The id of a new prediction, queued; raises InvalidPrediction."""
    subject = test.subject
    with database.read() as session:
        tested = tested_of(session, subject)
    try:
        check_picture(test.data, tested.preprocessing)
    except PictureError as error:
        raise InvalidPrediction({"image": str(error)}) from error
    arrived = _write_arrived(storage.predictions_dir(subject.noun, subject.id), test.data)
    try:
        with database.write() as session:
            prediction = _insert(session, user, test)
            folder = folder_of(storage, prediction)
            storage.delete(folder)  # of an earlier one whose id was given again
            folder.mkdir(parents=True)
            arrived.rename(folder / IMAGE)
            job_id, prediction_id = prediction.job_id, prediction.id
    finally:
        arrived.unlink(missing_ok=True)
    queue.enqueue(job_id)
    return prediction_id


def tested_of(session: Session, subject: Subject) -> Tested:
    """Raises PageNotFound."""
    if subject.noun is Noun.PRETRAINED:
        net = get_pretrained(session, subject.id)
        return Tested(subject, net.name, net.preprocessing_value, [], _problem_with_net(net.status, net.is_complete))
    model = get_model(session, subject.id)
    snapshots = Snapshot.of_model(session, model.id)
    is_active = model.status.is_active
    missing = (
        "A picture can be tested once the first snapshot is there, at the end of the first epoch."
        if is_active
        else "This model made no snapshot, so there is nothing to test."
    )
    return Tested(subject, model.name, model.preprocessing_value, snapshots, "" if snapshots else missing, is_active)


def _problem_with_net(status: Status, is_complete: bool) -> str:
    if status.is_active:
        return "A picture can be tested once it is imported."
    if status != Status.DONE:
        return "It was not imported, so there is nothing to test."
    return "" if is_complete else "The file lacks weights that prediction needs, so a picture cannot be tested."


def folder_of(storage: Storage, prediction: Prediction) -> Path:
    """Where the files of a prediction lie."""
    return storage.prediction_dir(prediction.subject.noun, prediction.subject.id, prediction.id)


def weights_of(storage: Storage, prediction: Prediction) -> Path:
    """The file of weights that a prediction was made with."""
    if prediction.snapshot is not None:
        return storage.absolute(prediction.snapshot.path) / WEIGHTS
    return storage.pretrained_dir(prediction.subject.id) / WEIGHTS


def get_prediction(session: Session, subject: Subject, prediction_id: int) -> Prediction:
    prediction = session.get(Prediction, prediction_id)
    if prediction is None or prediction.subject != subject:
        raise PageNotFound("prediction")
    return prediction


def list_predictions(session: Session, subject: Subject, after: int | None = None, limit: int = 50) -> PredictionPage:
    """The predictions of a model or a pretrained net, the newest first."""
    tested_of(session, subject)
    column = Prediction.model_id if subject.noun is Noun.MODELS else Prediction.pretrained_id
    statement = select(Prediction).where(column == subject.id)
    if after is not None:
        statement = statement.where(Prediction.id < after)
    rows = list(session.scalars(statement.order_by(Prediction.id.desc()).limit(limit + 1)))
    page = rows[:limit]
    return PredictionPage(page, str(page[-1].id) if len(rows) > limit else None)


def delete_prediction(database: Database, storage: Storage, user: User, subject: Subject, prediction_id: int) -> None:
    """Deletes row, job and files. A run that is under way finds its row gone and writes nothing."""
    with database.write() as session:
        prediction = get_prediction(session, subject, prediction_id)
        require_owner(user, prediction.user_id)
        job = prediction.job
        session.delete(prediction)
        session.flush()
        session.delete(job)
    storage.delete(storage.prediction_dir(subject.noun, subject.id, prediction_id))


def look_again(database: Database, storage: Storage, queue: Queue, subject: Subject, prediction_id: int) -> None:
    """Tests the picture once more with the same weights and keeps what the layers make of it; or CannotLookAgain."""
    with database.write() as session:
        prediction = get_prediction(session, subject, prediction_id)
        if prediction.has_arrays or prediction.status.is_active:
            return  # somebody else was faster
        if not can_look_again(storage, prediction):
            raise CannotLookAgain("The picture or the weights it was tested with are gone; test it again.")
        prediction.with_layers = True
        Job.repeat(session, prediction.job_id)
        job_id = prediction.job_id
    queue.enqueue(job_id)


def can_look_again(storage: Storage, prediction: Prediction) -> bool:
    """Whether the picture and the weights of an ended prediction are still there."""
    needed = (folder_of(storage, prediction) / IMAGE, weights_of(storage, prediction))
    return not prediction.status.is_active and all(path.is_file() for path in needed)


def activation_file(storage: Storage, prediction: Prediction, number: int) -> tuple[dict[str, Any], Path]:
    """A layer's numbers and the file of its output; raises PageNotFound."""
    if not 0 <= number < len(prediction.layers):
        raise PageNotFound("layer")
    layer: dict[str, Any] = prediction.layers[number]
    folder = folder_of(storage, prediction).resolve()
    path = (folder / str(layer.get("file", ""))).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise PageNotFound("activation")
    return layer, path


def _insert(session: Session, user: User, test: PictureTest) -> Prediction:
    tested, form = tested_of(session, test.subject), test.form
    name = _clean(test.filename)
    job = Job.of(JobKind.PREDICT, title=f"{name} on {tested.name}", user_id=user.id)
    session.add(job)
    session.flush()
    prediction = Prediction(user_id=user.id, job_id=job.id, filename=name, with_layers=form.layers, top=[], layers=[])
    if test.subject.noun is Noun.MODELS:
        prediction.model_id, prediction.snapshot_id = test.subject.id, _snapshot_id(session, test)
    elif tested.problem:
        raise InvalidPrediction({"image": tested.problem})
    else:
        prediction.pretrained_id = test.subject.id
    session.add(prediction)
    session.flush()
    job.path = prediction.address
    session.flush()
    return prediction


def _snapshot_id(session: Session, test: PictureTest) -> int:
    snapshot = Snapshot.find(session, test.subject.id, test.form.snapshot)
    if snapshot is None:
        raise InvalidPrediction({"snapshot": _missing_snapshot(session, test.subject.id, test.form.snapshot)})
    return snapshot.id


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
