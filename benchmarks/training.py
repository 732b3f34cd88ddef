"""How fast does LeNet train on MNIST here, against what people write in PyTorch? One thing per run, same machine.

    .venv/bin/python -m benchmarks.training FOLDER_OF/mnist-test.zip [--epochs 3] [--threads 2]

The peer is the usual script: ImageFolder, DataLoader, float32, loss.item() on every step. Images per second of whole
epochs, without validation; each row is the best of `--rounds` rounds, the rows taking turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from app.preprocessing import Channels, Preprocessing
from app.solver.spec import SolverSpec
from app.topology.fit import fit
from app.topology.zoo import zoo_entry
from worker.datasets.build import BuildSpec, build
from worker.engine.device import set_up_device
from worker.engine.spec import RunInfo, SnapshotInfo
from worker.engine.train import TrainSpec, train

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    set_up_device(options.device, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), options)
    slowest = rows[0][1]
    print(f"LeNet, MNIST, batch {BATCH}, {options.device}, {options.threads} threads, torch {torch.__version__}\n")
    print(f"{'':52} images/s   ratio")
    for name, images_per_s in rows:
        print(f"{name:52} {images_per_s:8,.0f}   {images_per_s / slowest:5.2f}")


def measured(folder: Path, options: argparse.Namespace) -> list[tuple[str, float]]:
    with zipfile.ZipFile(options.archive) as archive:
        archive.extractall(folder / "files")
    dataset = folder / "dataset"
    everything = BuildSpec(options.archive, options.archive.name, dataset, "mnist", 100, 0, 0, Channels.GRAY, 28, 28)
    build(everything, lambda _: None, lambda: False)
    runs: dict[str, Callable[[], float]] = {
        "what people write: ImageFolder, DataLoader, float32": lambda: peer(folder / "files", options, workers=0),
        "… with 2 loader processes": lambda: peer(folder / "files", options, workers=2),
    }
    for precision in ("float32", "bfloat16"):
        runs[f"Trainyard, {precision}"] = lambda precision=precision: ours(dataset, folder, options, precision)
    best = dict.fromkeys(runs, 0.0)
    for _ in range(options.rounds):
        for name, run in runs.items():
            best[name] = max(best[name], run())
    return list(best.items())


def peer(files: Path, options: argparse.Namespace, workers: int) -> float:
    torch.manual_seed(1)
    device = torch.device(options.device)
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    ).to(device)  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    read = transforms.Compose([transforms.Grayscale(), transforms.ToTensor()])
    loader = DataLoader(ImageFolder(files, read), BATCH, shuffle=True, num_workers=workers)
    count, total, began = 0, 0.0, time.perf_counter()
    for _ in range(1 if workers == 0 else options.epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
            count += len(labels)
    return count / (time.perf_counter() - began)


class Clock:
    """Callbacks that only take the time of the first and of the last step."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def on_progress(self, iteration: int, epoch: float, images_per_s: float) -> None:  # noqa: ARG002
        self.marks.append((iteration, time.perf_counter()))

    def on_start(self, info: RunInfo) -> None: ...
    def on_phase(self, phase: str) -> None: ...
    def on_metrics(self, iteration: int, epoch: float, values: dict[str, float]) -> None: ...
    def on_snapshot(self, snapshot: SnapshotInfo) -> None: ...
    def should_stop(self) -> bool:
        return False

    def log(self, line: str) -> None: ...


def ours(dataset: Path, folder: Path, options: argparse.Namespace, precision: str) -> float:
    solver = replace(SolverSpec(), epochs=options.epochs, val_interval=0, snapshot_interval=0, precision=precision)
    classes = tuple((dataset / "labels.txt").read_text().split())
    spec = TrainSpec(
        fit(zoo_entry("lenet").prototxt, len(classes)),
        Preprocessing(Channels.GRAY, 28, 28, scale=1 / 256),
        solver,
        dataset,
        classes,
        folder / "model",
        options.device,
        threads=options.threads,
    )
    clock = Clock()
    train(spec, clock)
    (first, began), (last, ended) = clock.marks[0], clock.marks[-1]
    return (last - first) * BATCH / (ended - began)


if __name__ == "__main__":
    main()
