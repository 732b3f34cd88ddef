"""Evaluation: what a net's losses and accuracies are over a whole split, and which classes it takes for which.

In float32 unless a run asks for its own precision. Every image counts the same, also those of a smaller last batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.preprocessing import Preprocessing
from app.topology.errors import TopologyError
from app.topology.net import Phase
from app.topology.text import read
from worker.engine.compile import CompiledNet, NetResult, compile_net, input_shapes, scores_blob
from worker.engine.device import Precision, choose_precision, set_up_device
from worker.engine.errors import EngineError
from worker.engine.loader import Batch, in_order
from worker.engine.snapshot import load_weights, read_weights
from worker.engine.splits import open_split


@dataclass(frozen=True)
class Evaluation:
    """Averages over a split."""

    count: int  # images
    loss: float | None  # the weighted sum of the net's losses
    outputs: dict[str, float]  # every output that is one number
    accuracy: float | None  # the share whose best score is the true class; None without scores per class
    top_5: float | None
    confusion: NDArray[np.int64] | None  # (classes, classes): rows are the truth, columns what the net took it for

    @property
    def per_class(self) -> list[float | None]:
        """The accuracy of each class; None for a class without images."""
        if self.confusion is None:
            return []
        totals = self.confusion.sum(axis=1).tolist()
        right = np.diag(self.confusion).tolist()
        return [hits / total if total else None for hits, total in zip(right, totals, strict=True)]


@dataclass(frozen=True)
class EvaluateSpec:
    topology: str  # prototxt
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    dataset_dir: Path
    split: str
    snapshot: Path
    batch_size: int = 100
    device: str = "cpu"
    precision: str = "float32"
    threads: int | None = None


def evaluate(spec: EvaluateSpec, should_stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
    """A snapshot's evaluation on a split; None when it was stopped."""
    device = set_up_device(spec.device, spec.threads)
    try:
        net = read(spec.topology).net(Phase.TEST)
    except TopologyError as error:
        raise EngineError(f"the topology cannot be read: {error}") from error
    keep = [name for name in [scores_blob(net)] if name]
    compiled = compile_net(net, input_shapes(net, spec.preprocessing, spec.batch_size), seed=None, keep=keep)
    load_weights(compiled, read_weights(spec.snapshot))
    compiled.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    split = open_split(spec.dataset_dir, spec.split, spec.preprocessing, device)
    precision = choose_precision(spec.precision, device)
    return evaluate_net(compiled, in_order(split, spec.batch_size), precision, len(spec.classes), should_stop)


@torch.inference_mode()
def evaluate_net(
    net: CompiledNet,
    batches: Iterable[Batch],
    precision: Precision,
    classes: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Runs a net of phase TEST over all batches; None when it was stopped. One look at the device, at the end."""
    tally = _Tally(scores_blob(net.net), classes)
    for images, labels in batches:
        if should_stop():
            return None
        with precision.autocast():
            result = net(*(images, labels)[: len(net.net.inputs)])
        tally.add(result, labels)
    return tally.evaluation()


class _Tally:
    """Sums on the device, turned into numbers once."""

    def __init__(self, scores: str | None, classes: int) -> None:
        self.scores, self.classes = scores, classes
        self.count = 0
        self.sums: dict[str, Tensor] = {}
        self.pairs: list[Tensor] = []  # truth · width + best, per image
        self.hits: list[Tensor] = []  # whether the truth is among the best five
        self.width = classes

    def add(self, result: NetResult, labels: Tensor) -> None:
        size = len(labels)
        self.count += size
        values = {name: blob for name, blob in result.blobs.items() if blob.numel() == 1 and blob.dim() <= 1}
        if result.loss is not None:
            values[""] = result.loss
        for name, value in values.items():
            weighted = value.reshape(()).double() * size
            self.sums[name] = self.sums[name] + weighted if name in self.sums else weighted
        if self.scores is not None:
            self._add_scores(result.blobs[self.scores].reshape(size, -1), labels)

    def _add_scores(self, scores: Tensor, labels: Tensor) -> None:
        self.width = max(self.classes, scores.shape[1])
        self.pairs.append(labels * self.width + scores.argmax(1))
        best = scores.topk(min(5, scores.shape[1]), 1).indices
        self.hits.append((best == labels[:, None]).any(1))

    def evaluation(self) -> Evaluation:
        if not self.count:
            raise EngineError("expected images to evaluate on, found none")
        averages = {name: float(value) / self.count for name, value in self.sums.items()}
        loss = averages.pop("", None)
        if not self.pairs:
            return Evaluation(self.count, loss, averages, None, None, None)
        counts = torch.cat(self.pairs).bincount(minlength=self.width**2).cpu().numpy()
        confusion = counts.reshape(self.width, self.width)[: self.classes]
        accuracy = float(np.trace(confusion)) / self.count
        top_5 = float(torch.cat(self.hits).double().mean())
        return Evaluation(self.count, loss, averages, accuracy, top_5, confusion)
