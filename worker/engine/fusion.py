"""Layers that run as one operation: BatchNorm and the Scale after it, which PyTorch computes in one pass.

The layers, their weights and what Caffe means by them stay as they are; only what lies between them is never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from worker.engine.layers.normalisation import BatchNorm
from worker.engine.layers.scale import Scale
from worker.engine.steps import Step, Versions


@dataclass(frozen=True)
class ScaledBatchNorm:
    """A BatchNorm and its Scale: weight · (x - mean) / √(variance + eps) + bias, per channel."""

    norm: BatchNorm
    scale: Scale

    def __call__(self, values: Tensor) -> Tensor:
        scaled: Tensor = self.norm(values, self.scale.blob("weight"), self.scale.bias)
        return scaled


def fused(steps: Sequence[Step], kept: frozenset[str]) -> tuple[Step, ...]:
    """The steps with each BatchNorm and the Scale right after it as one, where nobody else sees what lies between."""
    versions = Versions(steps)
    operations: list[Step] = []
    for step, read in zip(steps, versions.read, strict=True):
        before = operations[-1] if operations else None
        is_private = len(read) == 1 and versions.is_private(read[0], kept)
        pair = _pair(before, step) if is_private and before is versions.makers[read[0]] else None
        if before is None or pair is None:
            operations.append(step)
            continue
        spent = tuple(dict.fromkeys((*before.spent, *step.spent)))
        operations[-1] = replace(step, compute=pair, bottoms=before.bottoms, spent=spent)
    return tuple(operations)


def _pair(before: Step | None, step: Step) -> ScaledBatchNorm | None:
    if before is None or any(before.loss_weights):
        return None
    norm, scale = before.module, step.module
    if isinstance(norm, BatchNorm) and isinstance(scale, Scale) and scale.is_per_channel:
        return ScaledBatchNorm(norm, scale)
    return None
