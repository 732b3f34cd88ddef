"""Datasets and nets that the engine's tests draw themselves, small enough to be learned in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import lmdb
import numpy as np
from numpy.typing import NDArray

from app.augmentation import Augmentation
from app.preprocessing import Channels, Preprocessing
from app.solver.spec import SolverSpec
from app.topology import caffe_pb2
from tests.worker.engine.oracle import DEVICE
from worker.engine.spec import RunInfo, SnapshotInfo, TrainSpec

CLASSES = ("left", "middle", "right")
SIDE = 12


def draw_images(count: int, channels: int = 1, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a bright bar in the left, the middle or the right third: (N, H, W, C) and the third's number."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = random.integers(0, 120, (count, SIDE, SIDE, channels), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        place = 4 * label + random.integers(0, 3)
        image[:, place : place + 2] = 250 - 20 * random.integers(0, 3)
    return images, labels.astype(np.int64)


def draw_dataset(folder: Path, *, train: int = 60, val: int = 30, test: int = 30, channels: int = 1) -> Path:
    """A dataset's folder as a build leaves it, as far as the engine reads it."""
    folder.mkdir(parents=True)
    counts = {"train": train, "val": val, "test": test}
    drawn = {name: draw_images(count, channels, seed) for seed, (name, count) in enumerate(counts.items()) if count}
    for name, (images, labels) in drawn.items():
        _write_lmdb(folder / f"{name}.lmdb", images, labels)
        _write_cache(folder / "cache", name, images, labels)
    mean = drawn["train"][0].mean(axis=0, dtype=np.float64).astype(np.float32)
    np.save(folder / "mean.npy", mean.transpose(2, 0, 1))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    return folder


def _write_lmdb(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    with lmdb.open(str(folder), map_size=2**26) as env, env.begin(write=True) as transaction:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            height, width, channels = image.shape
            datum = caffe_pb2.Datum(
                channels=channels, height=height, width=width, label=int(label), data=image.transpose(2, 0, 1).tobytes()
            )
            transaction.put(b"%08d" % number, datum.SerializeToString())


def _write_cache(folder: Path, name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """What the first run of a dataset decodes from its LMDB; made here because that takes a process of its own."""
    folder.mkdir(exist_ok=True)
    images.tofile(folder / f"{name}.u8")
    np.save(folder / f"{name}.labels.npy", labels)


NET = """
name: "Small"
layer { name: "data" type: "Data" top: "data" top: "label" }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "drop1" type: "Dropout" bottom: "pool1" top: "pool1" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""

WITH_BATCH_NORM = NET.replace(
    'layer { name: "relu1"',
    """layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1\"""",
)

PLAIN = Preprocessing(Channels.GRAY, SIDE, SIDE, scale=1 / 256)
SOLVER = SolverSpec(epochs=3, batch_size=8, val_batch_size=16, test_batch_size=16, base_lr=0.05, precision="float32")


def train_spec(
    home: Path,
    *,
    dataset: Path | None = None,
    topology: str = NET,
    preprocessing: Preprocessing = PLAIN,
    solver: SolverSpec = SOLVER,
    resume_from: Path | None = None,
    model: str = "model",
    augmentation: Augmentation | None = None,
) -> TrainSpec:
    """A run on a drawn dataset in `home`, made there on first use."""
    folder = dataset or home / "dataset"
    if not folder.exists():
        draw_dataset(folder, channels=preprocessing.channels.number)
    return TrainSpec(
        topology,
        preprocessing,
        solver,
        folder,
        CLASSES,
        home / model,
        str(DEVICE),
        resume_from,
        threads=1,
        augmentation=augmentation,
    )


@dataclass
class Listener:
    """Callbacks that remember; stops the run when `stop_at` steps are done."""

    stop_at: int | None = None
    infos: list[RunInfo] = field(default_factory=list)
    metrics: list[tuple[int, float, dict[str, float]]] = field(default_factory=list)
    progress: list[tuple[int, float, float]] = field(default_factory=list)
    snapshots: list[SnapshotInfo] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    asked: int = 0

    def on_start(self, info: RunInfo) -> None:
        self.infos.append(info)

    def on_phase(self, phase: str) -> None:
        self.phases.append(phase)

    def on_metrics(self, iteration: int, epoch: float, values: dict[str, float]) -> None:
        self.metrics.append((iteration, epoch, values))

    def on_progress(self, iteration: int, epoch: float, images_per_s: float) -> None:
        self.progress.append((iteration, epoch, images_per_s))

    def on_snapshot(self, snapshot: SnapshotInfo) -> None:
        self.snapshots.append(snapshot)

    def should_stop(self) -> bool:
        self.asked += 1
        return self.stop_at is not None and bool(self.progress) and self.progress[-1][0] >= self.stop_at

    def log(self, line: str) -> None:
        self.lines.append(line)

    def values_of(self, name: str) -> list[tuple[int, float]]:
        """(iteration, value) of one metric, in the order of arrival."""
        return [(iteration, values[name]) for iteration, _, values in self.metrics if name in values]
