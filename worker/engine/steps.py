"""The order of computation: one step per layer, who reads which version of a blob, and what may be overwritten.

A blob that several layers write (Caffe's layers in place) has one version per writer; version 0 is a net's input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from app.topology.heads import loss_weights
from app.topology.net import Net
from worker.engine.layers import LayerModule

Version = tuple[str, int]  # a blob's name, and how many layers have written it


@dataclass(frozen=True)
class Step:
    """What one turn of a net's loop computes: a layer, or the last of the layers that run as one."""

    module: LayerModule
    compute: Callable[..., Tensor | tuple[Tensor, ...]]  # bottoms → tops; the module itself unless it is fused
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    loss_weights: tuple[float, ...]  # per top
    spent: tuple[str, ...]  # blobs that nobody reads afterwards


class Versions:
    """Which version of its blobs every step reads and writes."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.last: Counter[str] = Counter()
        self.readers: Counter[Version] = Counter()
        self.makers: dict[Version, Step] = {}
        self.read: list[tuple[Version, ...]] = []  # per step, per bottom
        for step in steps:
            read = tuple((name, self.last[name]) for name in step.bottoms)
            self.read.append(read)
            self.readers.update(read)
            self.last.update(step.tops)
            self.makers.update({(name, self.last[name]): step for name in step.tops})

    def is_private(self, version: Version, kept: frozenset[str]) -> bool:
        """Whether a layer made it, one layer reads it, and nobody wants it afterwards."""
        is_wanted = version[0] in kept and self.last[version[0]] == version[1]
        return version in self.makers and self.readers[version] == 1 and not is_wanted


def net_steps(net: Net, modules: Sequence[LayerModule], kept: frozenset[str]) -> tuple[Step, ...]:
    """A step per layer; blobs in `kept` are not spent."""
    last_use = {name: place for place, layer in enumerate(net.layers) for name in (*layer.bottoms, *layer.tops)}
    steps = []
    for place, (layer, module) in enumerate(zip(net.layers, modules, strict=True)):
        spent = [name for name in dict.fromkeys((*layer.bottoms, *layer.tops)) if last_use[name] == place]
        steps.append(
            Step(
                module,
                module,
                layer.bottoms,
                layer.tops,
                (*loss_weights(layer), *[0.0] * len(layer.tops))[: len(layer.tops)],
                tuple(name for name in spent if name not in kept),
            )
        )
    return tuple(steps)


def allow_overwriting(steps: Sequence[Step], kept: frozenset[str]) -> None:
    """Lets a layer write over its bottom where nobody else reads it and no gradient needs it: saves memory and time."""
    versions = Versions(steps)
    for step, read in zip(steps, versions.read, strict=True):
        is_free = bool(read) and versions.is_private(read[0], kept)
        is_free = is_free and versions.makers[read[0]].module.makes_fresh_output
        step.module.inplace = step.module.inplace_possible and is_free
