"""What does a training step of a net with batch normalisation cost here, against the same net written by hand?

    scripts/bench training_steps [--threads 1] [--rounds 8] [--only resnet18]

Forward, backward and update on one batch of noise; CPU time of all threads, the least of the rounds. What is compared
takes turns, round by round, so that whatever else the machine does meets it alike. The peers are torchvision's ResNets
and a MobileNet of nn.Conv2d, nn.BatchNorm2d and nn.ReLU(inplace), with torch.optim.SGD, channels_last as here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from app.solver.spec import SolverSpec
from app.topology.fit import fit
from app.topology.net import Phase
from app.topology.text import read
from app.topology.zoo import zoo_entry
from worker.engine.compile import compile_net
from worker.engine.device import set_up_device
from worker.engine.solvers import Solver

RATE, MOMENTUM, DECAY = 0.01, 0.9, 5e-4
MOBILENET = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


@dataclass(frozen=True)
class Subject:
    topology: str
    side: int
    batch: int
    written: Callable[[], nn.Module]


def mobilenet() -> nn.Module:
    """Howard and others' first MobileNet."""

    def block(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    layers, channels = block(3, 32, 3, 2, 1), 32
    for outputs, stride in MOBILENET:
        layers += block(channels, channels, 3, stride, channels) + block(channels, outputs, 1, 1, 1)
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 10))


SUBJECTS = [
    Subject("resnet18", 32, 64, lambda: resnet18(num_classes=10)),
    Subject("resnet18", 64, 32, lambda: resnet18(num_classes=10)),
    Subject("resnet18", 128, 16, lambda: resnet18(num_classes=10)),
    Subject("resnet50", 64, 16, lambda: resnet50(num_classes=10)),
    Subject("mobilenet", 32, 64, mobilenet),
    Subject("mobilenet", 128, 16, mobilenet),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    set_up_device("cpu", options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, CPU ms a step\n")
    print("| net | side | batch | by hand | layer by layer | Trainyard | by hand / Trainyard |")
    print("|---|---|---|---|---|---|---|")
    for subject in SUBJECTS:
        if options.only in ("", subject.topology):
            hand, layered, own = least([by_hand(subject), ours(subject, fused=False), ours(subject)], options.rounds)
            figures = f"{hand:.0f} | {layered:.0f} | {own:.0f} | {hand / own:.2f}"
            print(f"| {subject.topology} | {subject.side} | {subject.batch} | {figures} |", flush=True)


def least(steps: list[Callable[[], None]], rounds: int) -> list[float]:
    """The least CPU milliseconds of each, the first round being thrown away."""
    found: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds + 1):
        for step, times in zip(steps, found, strict=True):
            began = time.process_time()
            step()
            times.append(1000 * (time.process_time() - began))
    return [min(times[1:]) for times in found]


def noise(subject: Subject) -> tuple[Tensor, Tensor]:
    images = torch.randn(subject.batch, 3, subject.side, subject.side).to(memory_format=torch.channels_last)
    return images, torch.arange(subject.batch) % 10


def by_hand(subject: Subject) -> Callable[[], None]:
    net = subject.written().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    images, labels = noise(subject)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()

    return step


def ours(subject: Subject, *, fused: bool = True) -> Callable[[], None]:
    """With `fused` off the net runs as it does when somebody observes its layers."""
    net = read(fit(zoo_entry(subject.topology).prototxt, 10)).net(Phase.TRAIN)
    images, labels = noise(subject)
    compiled = compile_net(net, {"data": tuple(images.shape), "label": tuple(labels.shape)})
    compiled.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    solver = Solver(SolverSpec(base_lr=RATE, momentum=MOMENTUM, weight_decay=DECAY), compiled.weights())
    observe = None if fused else lambda *_: None

    def step() -> None:
        loss = compiled(images, labels, observe=observe).loss
        loss.backward()
        solver.step(RATE)

    return step


if __name__ == "__main__":
    main()
