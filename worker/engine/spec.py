"""What a training run is given, and what it reports: values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.augmentation import Augmentation
from app.preprocessing import Preprocessing
from app.solver.spec import SolverSpec


@dataclass(frozen=True)
class TrainSpec:
    topology: str  # prototxt, fitted to the classes
    preprocessing: Preprocessing
    solver: SolverSpec
    dataset_dir: Path
    classes: tuple[str, ...]
    model_dir: Path
    device: str = "cpu"
    resume_from: Path | None = None  # a snapshot of this run
    threads: int | None = None
    augmentation: Augmentation | None = None
    start_from: Path | None = None  # a .safetensors with weights to fine-tune; a resumed run has them already


@dataclass(frozen=True)
class RunInfo:
    iterations_per_epoch: int
    max_iter: int
    device: str
    precision: str  # "float32" or "bfloat16"
    parameters: int
    resumed_iteration: int  # 0 for a fresh run


@dataclass(frozen=True)
class SnapshotInfo:
    epoch: float
    iteration: int
    path: Path
    size_bytes: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class TrainResult:
    stopped: bool
    epoch: float
    iteration: int
    accuracy: dict[str, float]  # per split, 0 to 1; empty for a run that was stopped


class Callbacks(Protocol):
    """Where a run reports to. `should_stop` is asked on every iteration."""

    def on_start(self, info: RunInfo) -> None: ...
    def on_phase(self, phase: str) -> None: ...
    def on_metrics(self, iteration: int, epoch: float, values: dict[str, float]) -> None: ...
    def on_progress(self, iteration: int, epoch: float, images_per_s: float) -> None: ...
    def on_snapshot(self, snapshot: SnapshotInfo) -> None: ...
    def should_stop(self) -> bool: ...
    def log(self, line: str) -> None: ...
