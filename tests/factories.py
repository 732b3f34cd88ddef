"""One factory per table: a valid row with as little said as possible; keyword arguments say the rest."""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import cache
from typing import Any

from app.db import (
    ApiToken,
    Database,
    Dataset,
    Job,
    JobKind,
    Metric,
    Model,
    Prediction,
    PretrainedNet,
    Snapshot,
    Status,
    Sweep,
    Topology,
    Upload,
    User,
    WebSession,
)
from app.db.base import now
from app.preprocessing import Channels, Preprocessing
from app.pretrained.weights_files import WeightsSource
from app.security.passwords import hash_password, username_key
from app.security.sessions import cookie_name, digest
from app.settings import Settings
from app.solver.spec import SolverSpec

CLASSES = [{"name": "cat", "count": 10}, {"name": "dog", "count": 12}]
SPLITS = {
    "train": {"count": 14, "per_class": [7, 7]},
    "val": {"count": 2, "per_class": [1, 1]},
    "test": {"count": 6, "per_class": [2, 4]},
}


def _saved(database: Database, record: Any) -> Any:
    with database.write() as session:
        session.add(record)
        session.flush()
    return record


@cache
def _hashed(password: str) -> str:
    return hash_password(password)  # slow on purpose; once per password is enough here


def user(database: Database, *, username: str = "", is_admin: bool = False, password: str = "pass word 123") -> User:
    username = username or f"user-{secrets.token_hex(3)}"
    return _saved(
        database,
        User(
            username=username,
            username_key=username_key(username),
            password_hash=_hashed(password),
            is_admin=is_admin,
        ),
    )


def web_session(database: Database, owner: User) -> tuple[WebSession, tuple[str, str]]:
    """A session and the cookie (name, value) that opens it."""
    token = secrets.token_urlsafe(32)
    record = WebSession(
        user_id=owner.id,
        token_hash=digest(token),
        csrf_token=secrets.token_urlsafe(32),
        expires_at=now() + timedelta(days=1),
    )
    return _saved(database, record), (cookie_name(Settings()), token)


def api_token(database: Database, owner: User, label: str = "tests") -> str:
    token = secrets.token_urlsafe(32)
    _saved(database, ApiToken(user_id=owner.id, label=label, token_hash=digest(token)))
    return token


def upload(database: Database, **values: Any) -> Upload:
    given = {
        "name": "pets",
        "filename": "pets.zip",
        "token": secrets.token_hex(16),
        "status": Status.DONE,
        "size_bytes": 1000,
        "received_bytes": 1000,
        "sha256": "0" * 64,
        "kind": "zip",
        "classes": CLASSES,
    }
    return _saved(database, Upload(**(given | values)))


def job(database: Database, kind: JobKind = JobKind.TRAIN, status: Status = Status.QUEUED, **values: Any) -> Job:
    record = Job.of(kind, title=values.pop("title", "a job"), user_id=values.pop("user_id", None))
    record.status = status
    for name, value in values.items():
        setattr(record, name, value)
    return _saved(database, record)


def dataset(database: Database, *, status: Status = Status.DONE, **values: Any) -> Dataset:
    owner = values.get("user_id")
    given = {
        "name": "pets 28",
        "job_id": job(database, JobKind.BUILD_DATASET, status, user_id=owner, title=values.get("name", "pets 28")).id,
        "channels": "gray",
        "width": 28,
        "height": 28,
        "options": {
            "train_percent": 70,
            "val_percent": 10,
            "test_percent": 20,
            "resize_mode": "squash",
            "encoding": "png",
            "seed": 1,
        },
        "result": {
            "classes": ["cat", "dog"],
            "splits": SPLITS,
            "skipped_count": 0,
            "content_hash": "a" * 64,
            "mean": [33.0],
        },
    }
    if status != Status.DONE:
        given["result"] = {}
    if "upload_id" not in values:
        given["upload_id"] = upload(database).id
    return _saved(database, Dataset(**(given | values)))


def sweep(database: Database, **values: Any) -> Sweep:
    return _saved(database, Sweep(**({"name": "a sweep"} | values)))


def model(database: Database, *, status: Status = Status.DONE, **values: Any) -> Model:
    if "dataset_id" not in values:
        values["dataset_id"] = dataset(database).id
    solver = SolverSpec()
    given = {
        "name": "LeNet on pets",
        "job_id": job(
            database, JobKind.TRAIN, status, user_id=values.get("user_id"), title=values.get("name", "LeNet on pets")
        ).id,
        "topology_name": "lenet",
        "prototxt": 'name: "LeNet"\n',
        "preprocessing": Preprocessing(Channels.GRAY, 28, 28).to_dict(),
        "solver": solver.to_dict(),
        "epochs": solver.epochs,
        "batch_size": solver.batch_size,
        "base_lr": solver.base_lr,
    }
    return _saved(database, Model(**(given | values)))


def snapshot(database: Database, owner: Model, *, epoch: float = 1.0, iteration: int = 100, **values: Any) -> Snapshot:
    given = {
        "model_id": owner.id,
        "attempt": 1,
        "epoch": epoch,
        "iteration": iteration,
        "path": f"models/{owner.id}/snapshots/epoch-{int(epoch):04d}",
        "size_bytes": 1000,
        "metrics": {"val/loss": 0.5, "val/accuracy": 0.9},
    }
    return _saved(database, Snapshot(**(given | values)))


def metric(
    database: Database, owner: Model, name: str, value: float, *, iteration: int = 1, epoch: float = 0.1
) -> Metric:
    return _saved(
        database, Metric(model_id=owner.id, attempt=1, iteration=iteration, epoch=epoch, name=name, value=value)
    )


def pretrained_net(database: Database, *, status: Status = Status.DONE, **values: Any) -> PretrainedNet:
    """Without its files."""
    given = {
        "name": "Small",
        "job_id": job(database, JobKind.IMPORT_PRETRAINED, status, user_id=values.get("user_id")).id,
        "source": WeightsSource.CAFFEMODEL,
        "origin": {"filename": "small.caffemodel", "channel_order": "bgr", "size_given": False},
        "topology_name": "LeNet",
        "prototxt": 'name: "LeNet"\n',
        "labels": ["cat", "dog"],
        "preprocessing": Preprocessing(Channels.GRAY, 28, 28).to_dict(),
    }
    return _saved(database, PretrainedNet(**(given | values)))


def topology(database: Database, **values: Any) -> Topology:
    given = {"name": f"net {secrets.token_hex(3)}", "original": "lenet", "prototxt": 'name: "LeNet"\n'}
    return _saved(database, Topology(**(given | values)))


def prediction(database: Database, of: Snapshot, *, status: Status = Status.DONE, **values: Any) -> Prediction:
    given = {
        "model_id": of.model_id,
        "snapshot_id": of.id,
        "job_id": job(database, JobKind.PREDICT, status).id,
        "filename": "a.png",
        "top": [{"label": "cat", "probability": 0.9}, {"label": "dog", "probability": 0.1}],
    }
    return _saved(database, Prediction(**(given | values)))
