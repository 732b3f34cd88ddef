"""Does a net learn here what it learns in a hand-written PyTorch script? Same pictures, split, solver and schedule.

    scripts/bench accuracy FOLDER_OF/cifar10-test.zip [--only quick|resnet18] [--seeds 3]

CIFAR-10's 10,000 test pictures, divided 70/10/20; the share of the 2,000 test pictures named right, per seed. The
script uses torch.nn, torch.optim and torchvision alone: it shares files and lists with Trainyard, no code. It is the
same net, so it has the prototxt's fillers, rounding of poolings, mean, and rates of biases. `--habits` gives it instead
what a script has that nobody has tuned: one rate and decay for all, a mean colour, torchvision's own ResNet.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import ResNet, resnet18

from app.preprocessing import Channels, MeanMode, Preprocessing
from app.solver.spec import LrPolicy, SolverSpec
from app.topology.fit import fit
from app.topology.zoo import zoo_entry
from benchmarks.training import Clock
from worker.datasets.build import BuildSpec, build
from worker.engine.device import set_up_device
from worker.engine.train import TrainSpec, train

# CIFAR-10's mean is taken from the dataset; its standard deviation is near 64 in every channel.
SCALE = {"quick": 1.0, "resnet18": 1 / 64}


@dataclass(frozen=True)
class Recipe:
    """One net with the settings that both sides train it with."""

    key: str
    topology: str
    written: Callable[[], nn.Module]
    solver: SolverSpec
    mirror: bool
    mean: MeanMode
    has_habits: bool = False  # of the script: see above


class Quick(nn.Module):
    """Caffe's CIFAR-10 quick, with its fillers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(),
            nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10),
        )  # fmt: skip
        weighted = [layer for layer in self.layers if hasattr(layer, "weight")]
        for layer, deviation in zip(weighted, (1e-4, 0.01, 0.01, 0.1, 0.1), strict=True):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores


def residual() -> ResNet:
    """torchvision's ResNet-18 with the fillers and the pooling of the prototxt."""
    net = resnet18(num_classes=10)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in")
    nn.init.normal_(net.fc.weight, std=0.01)
    nn.init.zeros_(net.fc.bias)
    net.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return net


def recipes(*, has_habits: bool = False) -> list[Recipe]:
    base = SolverSpec(val_interval=0, snapshot_interval=0, momentum=0.9)
    quick = replace(base, epochs=24, batch_size=100, base_lr=0.001, weight_decay=0.004, lr_policy=LrPolicy.FIXED)
    resnet = replace(base, epochs=6, batch_size=64, base_lr=0.05, weight_decay=5e-4, lr_policy=LrPolicy.COSINE)
    written = (lambda: resnet18(num_classes=10)) if has_habits else residual
    return [
        Recipe("quick", "cifar10-quick", Quick, quick, mirror=False, mean=MeanMode.IMAGE, has_habits=has_habits),
        Recipe("resnet18", "resnet18", written, resnet, mirror=True, mean=MeanMode.PIXEL, has_habits=has_habits),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale-epochs", type=float, default=1.0)
    parser.add_argument("--habits", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    set_up_device("cpu", options.threads)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        spec = BuildSpec(options.archive, options.archive.name, dataset, "cifar", 70, 10, 20, Channels.COLOR, 32, 32)
        build(spec, lambda _: None, lambda: False)
        print(f"torch {torch.__version__}, {options.threads} threads\n")
        print("| net | seed | script | Trainyard | script took | Trainyard took |\n|---|---|---|---|---|---|")
        for recipe in recipes(has_habits=options.habits):
            if options.only in ("", recipe.key):
                compare(recipe, dataset, options)


def compare(recipe: Recipe, dataset: Path, options: argparse.Namespace) -> None:
    epochs = max(1, round(recipe.solver.epochs * options.scale_epochs))
    pictures = Pictures(options.archive, dataset, recipe)
    rows = []
    for seed in range(1, options.seeds + 1):
        solver = replace(recipe.solver, epochs=epochs, seed=seed)
        began = time.perf_counter()
        script = by_script(recipe, solver, pictures)
        middle = time.perf_counter()
        own = by_trainyard(recipe, solver, dataset, options.threads)
        rows.append((script, own))
        took = f"{middle - began:.0f} s | {time.perf_counter() - middle:.0f} s"
        print(f"| {recipe.topology}, {epochs} epochs | {seed} | {script:.2%} | {own:.2%} | {took} |", flush=True)
    ours, theirs = mean(own for _, own in rows), mean(script for script, _ in rows)
    print(
        f"| {recipe.topology}, mean | | {theirs:.2%} | {ours:.2%} ({100 * (ours - theirs):+.2f} points) | | |",
        flush=True,
    )


class Pictures:
    """A dataset's lists read by Pillow from the archive that it was made of: RGB, less the mean, times the scale."""

    def __init__(self, archive: Path, dataset: Path, recipe: Recipe) -> None:
        mean = torch.from_numpy(np.load(dataset / "mean.npy")[::-1].copy())  # (3, 32, 32), BGR to RGB
        is_image = recipe.mean is MeanMode.IMAGE and not recipe.has_habits
        self._mean = mean if is_image else mean.mean((1, 2), keepdim=True)
        self._scale = SCALE[recipe.key]
        with zipfile.ZipFile(archive) as files:
            self.train = self._read(files, dataset / "train.txt")
            self.test = self._read(files, dataset / "test.txt")

    def _read(self, files: zipfile.ZipFile, lines: Path) -> tuple[Tensor, Tensor]:
        names = {name.partition("/")[2]: name for name in files.namelist()} | {name: name for name in files.namelist()}
        rows = [line.rsplit(" ", 1) for line in lines.read_text(encoding="utf-8").splitlines()]
        pixels = [np.asarray(Image.open(io.BytesIO(files.read(names[path]))).convert("RGB")) for path, _ in rows]
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()  # (N, 3, 32, 32)
        return (images - self._mean) * self._scale, torch.tensor([int(label) for _, label in rows])


def by_script(recipe: Recipe, solver: SolverSpec, pictures: Pictures) -> float:
    torch.manual_seed(solver.seed)
    net = recipe.written().to(memory_format=torch.channels_last)
    images, labels = pictures.train
    steps = solver.epochs * -(-len(images) // solver.batch_size)
    groups = net.parameters() if recipe.has_habits else groups_of(net, solver)
    optimizer = torch.optim.SGD(groups, solver.base_lr, solver.momentum, weight_decay=solver.weight_decay)
    is_cosine = solver.lr_policy == LrPolicy.COSINE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if is_cosine else None
    net.train()
    for _ in range(solver.epochs):
        for chosen in torch.randperm(len(images)).split(solver.batch_size):
            batch = images[chosen]
            if recipe.mirror:
                batch = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(3), batch)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(batch.to(memory_format=torch.channels_last)), labels[chosen]).backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
    net.eval()
    with torch.inference_mode():
        images, labels = pictures.test
        right = sum(int((net(part).argmax(1) == truth).sum())
                    for part, truth in zip(images.split(500), labels.split(500), strict=True))  # fmt: skip
    return right / len(labels)


def groups_of(net: nn.Module, solver: SolverSpec) -> list[dict[str, Any]]:
    """Biases of convolutions and inner products learn at twice the rate and do not decay, as in the prototxts."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    chosen = {id(bias) for bias in biases}
    others = [parameter for parameter in net.parameters() if id(parameter) not in chosen]
    return [{"params": others}, {"params": biases, "lr": 2 * solver.base_lr, "weight_decay": 0.0}]


def by_trainyard(recipe: Recipe, solver: SolverSpec, dataset: Path, threads: int) -> float:
    classes = tuple((dataset / "labels.txt").read_text(encoding="utf-8").split())
    preprocessing = Preprocessing(
        Channels.COLOR, 32, 32, mean=recipe.mean, scale=SCALE[recipe.key], mirror=recipe.mirror
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = TrainSpec(
            fit(zoo_entry(recipe.topology).prototxt, len(classes)), preprocessing, solver, dataset, classes,
            Path(folder), threads=threads,
        )  # fmt: skip
        return train(spec, Clock()).accuracy["test"]


if __name__ == "__main__":
    main()
