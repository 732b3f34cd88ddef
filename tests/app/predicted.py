"""A model with snapshots and a prediction on it, with the files that training and prediction leave, made with NumPy."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from app.db import Database, Model, Prediction, Snapshot, Status
from app.db.base import now
from app.storage import Storage
from tests import factories

SHAPES = {"data": (1, 28, 28), "conv1": (4, 24, 24), "pool1": (4, 12, 12), "ip1": (10,), "prob": (10,)}
TYPES = {"data": "Data", "conv1": "Convolution", "pool1": "Pooling", "ip1": "InnerProduct", "prob": "Softmax"}
TOP = [{"label": "猫 <b>", "probability": 0.75}, {"label": "dog", "probability": 0.25}]


@dataclass(frozen=True)
class Predicted:
    model: Model
    snapshot: Snapshot
    prediction: Prediction
    folder: Path

    @property
    def path(self) -> str:
        return f"/models/{self.model.id}/predictions/{self.prediction.id}"


def png_of(width: int = 28, height: int = 28, seed: int = 1) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def model_with_snapshots(
    database: Database, storage: Storage, epochs: tuple[float, ...] = (1.0, 2.0), **values: Any
) -> Model:
    """A model whose snapshots hold weights for SHAPES."""
    model = factories.model(database, **values)
    for epoch in epochs:
        folder = storage.snapshots_dir(model.id) / f"epoch-{epoch:g}"
        folder.mkdir(parents=True)
        save_file(_weights(), folder / "weights.safetensors")
        factories.snapshot(
            database, model, epoch=epoch, iteration=int(100 * epoch), path=storage.relative(folder),
            metrics={"val/accuracy": 0.9 - 0.1 * epoch},
        )  # fmt: skip
    return model


def predicted(database: Database, storage: Storage, *, status: Status = Status.DONE, **values: Any) -> Predicted:
    """A prediction with the files and rows that the worker leaves; only its picture while it is not done."""
    model = values.pop("model", None) or model_with_snapshots(database, storage)
    with database.read() as session:
        snapshot = Snapshot.last(session, model.id)
    assert snapshot is not None
    is_done = status == Status.DONE
    values = {"arrays_made_at": now(), "arrays_bytes": 12_345} | values if is_done else values
    given = {"top": TOP if is_done else [], "layers": layers() if is_done else [], "filename": "手書き数字.png"}
    prediction = factories.prediction(database, snapshot, status=status, **(given | values))
    folder = storage.prediction_dir("models", model.id, prediction.id)
    (folder / "activations").mkdir(parents=True)
    (folder / "image").write_bytes(png_of())
    if is_done:
        (folder / "input.png").write_bytes(png_of(seed=2))
        for number, shape in enumerate(SHAPES.values()):
            np.save(folder / f"activations/{number:03d}.npy", output(number, shape))
    return Predicted(model, snapshot, prediction, folder)


def output(number: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(number).normal(size=shape).astype(np.float16)


def layers() -> list[dict[str, Any]]:
    return [_layer(number, name, output(number, shape)) for number, (name, shape) in enumerate(SHAPES.items())]


def _layer(number: int, name: str, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    counts, edges = np.histogram(values.astype(float), 20)
    return {
        "name": name,
        "type": TYPES[name],
        "shape": list(values.shape),
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "max": float(values.max()),
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        "file": f"activations/{number:03d}.npy",
    }


def _weights() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(5)
    shapes = {"conv1.weight": (4, 1, 5, 5), "conv1.bias": (4,), "ip1.weight": (10, 576), "ip1.bias": (10,)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
