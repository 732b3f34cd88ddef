"""A model as one zip: its nets as Caffe writes them, weights of a snapshot, and what using them elsewhere takes.

The whole of it, or what one other program needs. What a form of the net is made of is in `app/export/`; all of them are
made while they are sent, and cost neither a job nor space on the disk.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from app.db import Model, Snapshot
from app.download_stream import Entry, stream_zip
from app.export.caffemodel import caffemodel
from app.export.errors import ExportError
from app.export.model_source import model_source
from app.export.opencv import beyond_opencv
from app.export.pieces import Piece
from app.export.trained_net import TrainedNet, trained_net
from app.imaging.source import preprocess_source
from app.solver.text import solver_text
from app.storage import Storage
from app.topology.errors import TopologyError
from app.topology.writing import deploy_text, train_val_text
from app.version import VERSION
from app.web import ROOT, ApiError, PageNotFound, templates

LONGEST_NAME = 120
WEIGHTS, CAFFEMODEL, ONNX, SOURCE = "weights.safetensors", "weights.caffemodel", "model.onnx", "model.py"
MEAN_FILES = ("mean.npy", "mean.png", "mean.binaryproto")
PREDICT = ROOT / "templates" / "download" / "predict.py"


class Form(StrEnum):
    """What a download is for."""

    ZIP = "zip"  # everything
    CAFFE = "caffe"
    ONNX = "onnx"
    PYTORCH = "pytorch"


# Every file that a download may hold, in the order of a reader's interest; what it is; and which forms have it.
_ALL, _CAFFE, _TORCH = frozenset(Form), frozenset({Form.ZIP, Form.CAFFE}), frozenset({Form.ZIP, Form.PYTORCH})
_FILES: dict[str, tuple[frozenset[Form], str]] = {
    "README.md": (_ALL, "this text"),
    "info.json": (_ALL, "what was trained, on what and how, and how pictures are prepared"),
    "predict.py": (_ALL, "says what a picture shows, with whichever form of the net is here"),
    "preprocess.py": (_ALL, "the code that made the training images, with the choices of this model"),
    "labels.txt": (_ALL, "the classes, one a line, in the order of the net's outputs"),
    "deploy.prototxt": (_CAFFE, "the net that predicts, for Caffe and OpenCV"),
    "train_val.prototxt": (_CAFFE, "the net as it is trained, for Caffe"),
    "solver.prototxt": (_CAFFE, "how it was trained, as far as Caffe can say it"),
    "mean.npy": (_CAFFE | _TORCH, "the mean of the training images, (channels, height, width), for NumPy"),
    "mean.png": (_CAFFE, "the same as a picture"),
    "mean.binaryproto": (_CAFFE, "the same for Caffe"),
    SOURCE: (_TORCH, "the net in plain PyTorch"),
    WEIGHTS: (_TORCH, "its weights"),
    CAFFEMODEL: (_CAFFE, "the weights for `deploy.prototxt`"),
    ONNX: (frozenset({Form.ZIP, Form.ONNX}), "net, weights and preprocessing in one, for ONNX Runtime and many others"),
    "log.txt": (frozenset({Form.ZIP}), "what the training said"),
}
_NEEDS = {ONNX: "onnxruntime", SOURCE: "torch with safetensors", CAFFEMODEL: "opencv-python below 5"}


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
    try:
        content = stream_zip(Contents(storage, model, snapshot, form).entries(), snapshot.created_at)
    except ExportError as error:
        message = f"This net cannot be written for {_TITLES[form]}: {error}. The other forms may do."
        raise ApiError(409, "not_exportable", message) from error
    of_form = "" if form is Form.ZIP else f" {form}"
    headers = {"Content-Disposition": attachment(f"{model.name} epoch {snapshot.epoch_label}{of_form}.zip")}
    return StreamingResponse(content, media_type="application/zip", headers=headers)


_TITLES = {Form.ZIP: "a zip", Form.CAFFE: "Caffe", Form.ONNX: "ONNX", Form.PYTORCH: "PyTorch"}


@dataclass
class Contents:
    """The files of one download."""

    storage: Storage
    model: Model
    snapshot: Snapshot
    form: Form
    missing: dict[str, str] = field(default_factory=dict)  # forms that this net cannot take, with the reason

    def entries(self) -> list[Entry]:
        """The archive; files that do not exist are left out. Raises ExportError where nothing would be left."""
        made = [entry for name in _FILES if (entry := self._entry(name)) is not None]
        names = ["README.md", "info.json", *(entry.name for entry in made)]
        about = info(self.model, self.snapshot, sorted(names))
        texts = {"README.md": self._notes(names), "info.json": json.dumps(about, indent=2, ensure_ascii=False)}
        return [*(Entry(name, text) for name, text in texts.items()), *made]

    def _entry(self, name: str) -> Entry | None:
        make = self._makers.get(name)
        if make is None or self.form not in _FILES[name][0]:
            return None
        try:
            content = make()
        except (ExportError, TopologyError) as error:
            if self.form is not Form.ZIP:
                raise ExportError(str(error)) from error
            self.missing[name] = str(error)
            return None
        if isinstance(content, Path) and not content.is_file():
            return None
        return Entry(name, content, is_compressed=name not in (WEIGHTS, CAFFEMODEL, ONNX))

    @cached_property
    def _makers(self) -> dict[str, Callable[[], str | Path | Sequence[Piece]]]:
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
            SOURCE: lambda: model_source(self._net),
            WEIGHTS: lambda: self._weights,
            CAFFEMODEL: lambda: caffemodel(self._net),
            ONNX: lambda: _onnx_pieces(self._net),
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

    def _notes(self, names: Sequence[str]) -> str:
        return templates.env.get_template("download/README.md").render(
            model=self.model,
            snapshot=self.snapshot,
            classes=len(self.model.dataset.classes),
            accuracy=self.snapshot.metrics.get("val/accuracy"),
            version=VERSION,
            needs=[needed for name, needed in _NEEDS.items() if name in names],
            files=[(name, text) for name, (_, text) in _FILES.items() if name in names],
            names=names,
            missing=self.missing,
            beyond_opencv=beyond_opencv(self._net) if CAFFEMODEL in names else [],
            preprocessing=self.model.preprocessing_value,
        )


def _onnx_pieces(net: TrainedNet) -> Sequence[Piece]:
    from app.export.onnx_model import onnx_model  # 30 MB that the web process does without until somebody asks

    return onnx_model(net)


def info(model: Model, snapshot: Snapshot, names: list[str]) -> dict[str, Any]:
    """What DIGITS wrote into info.json, under its names, and what it takes to make the model again."""
    dataset, preprocessing, start = model.dataset, model.preprocessing_value, model.start_value
    channels, height, width = preprocessing.channels.number, preprocessing.height, preprocessing.width
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
        "image dimensions": [height, width, channels],
        "image resize mode": str(preprocessing.resize_mode),
        "mean file": "mean.binaryproto" if "mean.binaryproto" in names else None,
        "mean subtraction": str(preprocessing.mean),
        "preprocessing": preprocessing.to_dict(),
        "augmentation": model.augmentation_value.to_dict(),
        "labels file": "labels.txt",
        "snapshot file": next((name for name in (WEIGHTS, CAFFEMODEL, ONNX) if name in names), None),
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


def attachment(filename: str) -> str:
    """Content-Disposition for any name: plain ASCII for old clients, the real name as of RFC 5987."""
    cleaned = "".join("_" if char in '/\\:*?"<>|' or unicodedata.category(char) == "Cc" else char for char in filename)
    stem, dot, ending = cleaned.rpartition(".")
    cleaned = f"{stem[:LONGEST_NAME].strip() or 'model'}{dot}{ending}"
    ascii_name = unicodedata.normalize("NFKD", cleaned).encode("ascii", "ignore").decode() or "download"
    plain = "".join(char if char.isalnum() or char in " ._-()+" else "_" for char in ascii_name).strip()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(cleaned, safe='')}"


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
