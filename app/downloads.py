"""A model as one zip: its nets as Caffe writes them, weights of a snapshot, and what using them elsewhere takes.

The archive is made while it is sent: nothing is written to disk, and no file is held in memory as a whole.
"""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from app.db import Model, Snapshot
from app.imaging.source import preprocess_source
from app.solver.text import solver_text
from app.storage import Storage
from app.topology.writing import deploy_text, train_val_text
from app.version import VERSION
from app.web import ApiError, PageNotFound

CHUNK_BYTES = 1 << 20
LONGEST_NAME = 120
WEIGHTS = "weights.safetensors"
MEAN_FILES = ("mean.npy", "mean.png", "mean.binaryproto")


@dataclass(frozen=True)
class Entry:
    """One file of the archive: its text, or where it lies."""

    name: str
    content: str | Path
    is_compressed: bool = True


def response(session: Session, storage: Storage, model: Model, wanted: str) -> StreamingResponse:
    """The download of a snapshot: "last", "best", or an epoch. Refuses with 409 while there is none."""
    snapshot = Snapshot.find(session, model.id, wanted) or _of_epoch(session, model.id, wanted)
    if snapshot is None:
        if Snapshot.last(session, model.id) is None:
            raise ApiError(409, "no_snapshot", _no_snapshot_yet(model))
        raise PageNotFound(f"snapshot of this model: expected last, best or one of its epochs, found “{wanted[:20]}”")
    weights = storage.absolute(snapshot.path) / WEIGHTS
    if not weights.is_file():
        raise ApiError(409, "snapshot_lost", f"The weights of epoch {snapshot.epoch_label} are gone from the disk.")
    content = stream_zip(entries(storage, model, snapshot), snapshot.created_at)
    headers = {"Content-Disposition": attachment(f"{model.name} epoch {snapshot.epoch_label}.zip")}
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def entries(storage: Storage, model: Model, snapshot: Snapshot) -> list[Entry]:
    """What the archive holds, in the order of a reader's interest; files that do not exist are left out."""
    dataset, spec, preprocessing = model.dataset, model.solver_spec, model.preprocessing_value
    classes = len(dataset.classes)
    train_count, val_count = dataset.count("train"), dataset.count("val")
    folder = storage.dataset_dir(dataset.id)
    means = [Entry(name, folder / name) for name in MEAN_FILES if (folder / name).is_file()]
    log = storage.model_log(model.id)
    texts = [
        Entry(
            "info.json", json.dumps(info(model, snapshot, [mean.name for mean in means]), indent=2, ensure_ascii=False)
        ),
        Entry(
            "train_val.prototxt",
            train_val_text(model.prototxt, preprocessing, classes, spec.batch_size, spec.val_batch_size),
        ),
        Entry("deploy.prototxt", deploy_text(model.prototxt, preprocessing, classes)),
        Entry("solver.prototxt", solver_text(spec, train_count, val_count)),
        Entry("preprocess.py", preprocess_source(preprocessing)),
        Entry("labels.txt", "".join(f"{name}\n" for name in dataset.classes)),
    ]
    weights = Entry(WEIGHTS, storage.absolute(snapshot.path) / WEIGHTS, is_compressed=False)
    return [*texts, *means, weights, *([Entry("log.txt", log)] if log.is_file() else [])]


def info(model: Model, snapshot: Snapshot, mean_files: list[str]) -> dict[str, Any]:
    """What DIGITS wrote into info.json, under its names, and what it takes to make the model again."""
    dataset, preprocessing = model.dataset, model.preprocessing_value
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
        "mean file": "mean.binaryproto" if "mean.binaryproto" in mean_files else None,
        "mean subtraction": str(preprocessing.mean),
        "preprocessing": preprocessing.to_dict(),
        "augmentation": model.augmentation_value.to_dict(),
        "labels file": "labels.txt",
        "snapshot file": WEIGHTS,
        "snapshot epoch": snapshot.epoch,
        "snapshot iteration": snapshot.iteration,
        "snapshot metrics": snapshot.metrics,
        "model file": "train_val.prototxt",
        "train_val file": "train_val.prototxt",
        "deploy file": "deploy.prototxt",
        "solver file": "solver.prototxt",
        "framework": "trainyard",
        "topology": model.topology_name,
        "parameters": model.parameters,
        "solver": model.solver,
        "accuracy": model.accuracy,
        "run": model.run_info,
        "trainyard version": VERSION,
    }


def stream_zip(files: Iterable[Entry], moment: datetime) -> Iterator[bytes]:
    """A zip archive, piece by piece."""
    sink = _Sink()
    stamp = (max(moment.year, 1980), moment.month, moment.day, moment.hour, moment.minute, moment.second)
    with ExitStack() as stack:
        opened = [(entry, stack.enter_context(_open(entry))) for entry in files]  # deleted files stay readable
        with zipfile.ZipFile(sink, "w") as archive:
            for entry, source in opened:
                member = zipfile.ZipInfo(entry.name, date_time=stamp)
                member.compress_type = zipfile.ZIP_DEFLATED if entry.is_compressed else zipfile.ZIP_STORED
                member.external_attr = 0o644 << 16
                with archive.open(member, "w", force_zip64=_size(source) > 1 << 31) as target:
                    while chunk := source.read(CHUNK_BYTES):
                        target.write(chunk)
                        yield sink.take()
        yield sink.take()


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


def _open(entry: Entry) -> BinaryIO:
    if isinstance(entry.content, str):
        return io.BytesIO(entry.content.encode())
    return entry.content.open("rb")


def _size(source: BinaryIO) -> int:
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    return size


class _Sink(io.RawIOBase):
    """What zipfile writes into: cannot be sought, and is emptied after every piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
