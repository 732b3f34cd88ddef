"""What does training only the last layer save? Images per second of one step, all layers learning or the trunk frozen.

    .venv/bin/python -m benchmarks.freezing [--nets alexnet resnet18] [--batch 16] [--threads 2] [--rounds 5]

The peer is torchvision's net of the same name, with `requires_grad` off for all but its last layer, and in eval mode
below it where it has batch normalisation. Images are random and in memory: only forward, backward and step are timed.
Each row is the best of the rounds, the rows taking turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

from app.solver.spec import SolverSpec
from app.topology.fine_tuning import loaded_layers, match_weights, trained_weights
from app.topology.fit import fit
from app.topology.freezing import freeze
from app.topology.net import Phase
from app.topology.text import read
from app.topology.zoo import zoo_entry
from worker.engine.compile import compile_net
from worker.engine.device import choose_precision, set_up_device
from worker.engine.solvers import Solver

CLASSES = 10
SIZES = {"alexnet": 227, "resnet18": 224}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = set_up_device(options.device, options.threads)
    print(f"batch {options.batch}, {device}, {options.threads} threads, torch {torch.__version__}, images/s\n")
    print(f"{'':30} {'all learn':>10} {'last only':>10} {'ratio':>7}")
    for name in options.nets:
        size = SIZES[name]
        images = torch.randn(options.batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
        labels = torch.randint(CLASSES, (options.batch,), device=device)
        steps = {
            f"{who} {name}": (run(name, images, labels, frozen=False), run(name, images, labels, frozen=True))
            for who, run in (("torchvision", peer), ("Trainyard", ours))
        }
        best = {key: [0.0, 0.0] for key in steps}
        for _ in range(options.rounds):
            for key, pair in steps.items():
                for place, step in enumerate(pair):
                    best[key][place] = max(best[key][place], options.batch / timed(step, device))
        for key, (every, last) in best.items():
            print(f"{key:30} {every:10.1f} {last:10.1f} {last / every:7.2f}")


def timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds of one step, after one to warm up."""
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def ours(name: str, images: Tensor, labels: Tensor, *, frozen: bool) -> Callable[[], None]:
    entry = zoo_entry(name)
    assert entry is not None
    shape, text = tuple(images.shape[1:]), fit(entry.prototxt, CLASSES)
    if frozen:
        given = trained_weights(fit(entry.prototxt, 1_000), shape, 1_000)
        text = freeze(text, loaded_layers(match_weights(trained_weights(text, shape, CLASSES), given)))
    net = compile_net(read(text).net(Phase.TRAIN), {"data": tuple(images.shape), "label": tuple(labels.shape)})
    net.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    solver, precision = Solver(SolverSpec(), net.weights()), choose_precision("auto", images.device)

    def step() -> None:
        with precision.autocast():
            result = net(images, labels)
        assert result.loss is not None
        result.loss.backward()
        solver.step(1e-4)

    return step


def peer(name: str, images: Tensor, labels: Tensor, *, frozen: bool) -> Callable[[], None]:
    net: nn.Module = getattr(torchvision.models, name)(num_classes=CLASSES)
    net = net.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    if frozen:
        net.requires_grad_(False)
        last.requires_grad_(True)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    learned = [value for value in net.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1e-4, momentum=0.9, weight_decay=5e-4)
    precision = choose_precision("auto", images.device)

    def step() -> None:
        optimizer.zero_grad()
        with precision.autocast():
            loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
