"""A model as one zip: its nets as Caffe writes them, weights of a snapshot, and what using them elsewhere takes.

The whole of it, or what one other program needs. What a form of the net is made of is in `app/export/`; all of them are
made while they are sent, and cost neither a job nor space on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from app import download_forms
from app.db import Model, Snapshot
from app.download_forms import MEAN_FILES, PREDICT, WEIGHTS, Content, Form
from app.download_stream import Entry
from app.export.trained_net import TrainedNet, trained_net
from app.imaging.source import preprocess_source
from app.solver.text import solver_text
from app.storage import Storage
from app.topology.writing import deploy_text, train_val_text
from app.version import VERSION
from app.web import ApiError, PageNotFound


def response(session: Session, storage: Storage, model: Model, wanted: str, form: Form) -> StreamingResponse:
    """The download of a snapshot: "last", "best", or an epoch. Refuses with 409 while there is none, or when this net
    cannot be written in the one form that is asked for; in a zip of everything that form is left out instead."""
    snapshot = Snapshot.find(session, model.id, wanted) or _of_epoch(session, model.id, wanted)
    if snapshot is None:
        if Snapshot.last(session, model.id) is None:
            raise ApiError(409, "no_snapshot", _no_snapshot_yet(model))
        raise PageNotFound(f"snapshot of this model: expected last, best or one of its epochs, found “{wanted[:20]}”")
    if not (storage.absolute(snapshot.path) / WEIGHTS).is_file():
        raise ApiError(409, "snapshot_lost", f"The weights of epoch {snapshot.epoch_label} are gone from the disk.")
    contents = Contents(storage, model, snapshot, form)
    name = f"{model.name} epoch {snapshot.epoch_label}"
    return download_forms.stream(contents.entries, name, form, snapshot.created_at)


@dataclass
class Contents:
    """The files of one download."""

    storage: Storage
    model: Model
    snapshot: Snapshot
    form: Form

    def entries(self) -> list[Entry]:
        """The archive. Raises ExportError where the one form that is asked for cannot be written."""
        made, missing = download_forms.collect(self.form, self._makers)
        return [*download_forms.texts(made, missing, self._info, self._notes(made)), *made]

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Content]]:
        model, storage, spec = self.model, self.storage, self.model.solver_spec
        preprocessing, dataset = model.preprocessing_value, model.dataset
        classes, folder = len(dataset.classes), storage.dataset_dir(dataset.id)
        batches = (spec.batch_size, spec.val_batch_size)
        counts = (dataset.count("train"), dataset.count("val"))
        on_gpu = str(model.run_info.get("device", "")).startswith("cuda")
        return {
            "predict.py": lambda: PREDICT,
            "preprocess.py": lambda: preprocess_source(preprocessing),
            "labels.txt": lambda: "".join(f"{name}\n" for name in dataset.classes),
            "deploy.prototxt": lambda: deploy_text(model.prototxt, preprocessing, classes),
            "train_val.prototxt": lambda: train_val_text(model.prototxt, preprocessing, classes, *batches),
            "solver.prototxt": lambda: solver_text(spec, *counts, on_gpu=on_gpu),
            **{name: lambda name=name: folder / name for name in MEAN_FILES},  # type: ignore[misc]
            **download_forms.net_makers(lambda: self._net, self._weights),
            "log.txt": lambda: storage.model_log(model.id),
        }

    @property
    def _weights(self) -> Path:
        return self.storage.absolute(self.snapshot.path) / WEIGHTS

    @cached_property
    def _net(self) -> TrainedNet:
        model = self.model
        mean = self.storage.dataset_dir(model.dataset_id) / "mean.npy"
        classes = tuple(model.dataset.classes)
        return trained_net(model.prototxt, model.preprocessing_value, classes, self._weights, mean)

    def _info(self, names: list[str]) -> dict[str, Any]:
        return info(self.model, self.snapshot, names)

    def _notes(self, made: list[Entry]) -> dict[str, Any]:
        model, epoch = self.model, self.snapshot.epoch_label
        accuracy = self.snapshot.metrics.get("val/accuracy")
        right = f": {accuracy * 100:.2f} % right on the validation images" if isinstance(accuracy, float) else ""
        about = f"{model.topology_name} on “{model.dataset.name}”, {len(model.dataset.classes)} classes"
        return {
            "name": model.name,
            "about": f"{about}, as it was at epoch {epoch}{right}.",
            "preprocessing": model.preprocessing_value,
            "beyond_opencv": download_forms.opencv_remarks(made, lambda: self._net),
        }


def info(model: Model, snapshot: Snapshot, names: list[str]) -> dict[str, Any]:
    """What DIGITS wrote into info.json, under its names, and what it takes to make the model again."""
    dataset, preprocessing, start = model.dataset, model.preprocessing_value, model.start_value
    return {
        "id": model.id,
        "name": model.name,
        "status": str(model.status),
        "job id": model.job_id,
        "creation time": model.created_at.isoformat(),
        "username": model.user.username if model.user else None,
        "dataset_id": dataset.id,
        "dataset name": dataset.name,
        "dataset content hash": dataset.result.get("content_hash"),
        **download_forms.image_facts(preprocessing, names),
        "augmentation": model.augmentation_value.to_dict(),
        "snapshot epoch": snapshot.epoch,
        "snapshot iteration": snapshot.iteration,
        "snapshot metrics": snapshot.metrics,
        "model file": "train_val.prototxt",
        "train_val file": "train_val.prototxt",
        "deploy file": "deploy.prototxt",
        "solver file": "solver.prototxt",
        "files": names,
        "framework": "trainyard",
        "topology": model.topology_name,
        "parameters": model.parameters,
        "started from": start.title if start else None,
        "freeze loaded": bool(start and start.freeze_loaded),
        "solver": model.solver,
        "accuracy": model.accuracy,
        "run": model.run_info,
        "trainyard version": VERSION,
    }


def _of_epoch(session: Session, model_id: int, wanted: str) -> Snapshot | None:
    """The snapshot of an epoch however it is written: 2.5 as the API gives it, 2.50 as the pages do."""
    try:
        epoch = float(wanted)
    except ValueError:
        return None
    return next((one for one in Snapshot.of_model(session, model_id) if abs(one.epoch - epoch) < 0.005), None)


def _no_snapshot_yet(model: Model) -> str:
    if model.status.is_active:
        return "There is nothing to download yet: the first snapshot is saved at the end of an epoch, or at a stop."
    return f"There is nothing to download: this model has {model.status} before its first snapshot."
