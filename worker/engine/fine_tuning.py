"""Fine-tuning: which weights of a trained net start a new one, matched by name and shape, and why others do not.

Pure: names and arrays in, a table out. Where the arrays come from (a snapshot, a .safetensors, a .caffemodel) is the
caller's business; what the new net does with them is `start_from`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from worker.engine.compile import CompiledNet

Shape = tuple[int, ...]


class Fate(StrEnum):
    LOADED = "loaded"
    NEW = "new"  # stays as its filler made it
    LEFT_OUT = "left out"  # the new net has no place for it


@dataclass(frozen=True)
class MatchedWeight:
    """One weight of either net."""

    name: str
    fate: Fate
    shape: Shape | None  # in the new net
    found: Shape | None  # in the weights given
    reason: str  # empty where there is nothing to explain


def match_weights(wanted: Mapping[str, Shape], given: Mapping[str, Shape]) -> list[MatchedWeight]:
    """The table of a fine-tuning: first the new net's weights in its order, then what is left over.

    A layer is loaded as a whole or not at all: its bias means nothing without its weights.
    """
    table = [_match(name, shape, given.get(name)) for name, shape in wanted.items()]
    broken = {_layer(entry.name) for entry in table if entry.fate is Fate.NEW}
    table = [_with_its_layer(entry) if _layer(entry.name) in broken else entry for entry in table]
    unused = [
        MatchedWeight(name, Fate.LEFT_OUT, None, tuple(shape), "the new net has no such weights")
        for name, shape in given.items()
        if name not in wanted
    ]
    return table + unused


@torch.no_grad()
def start_from(net: CompiledNet, given: Mapping[str, Tensor]) -> list[MatchedWeight]:
    """Copies what matches into a net whose fillers have run; gives the table."""
    weights = net.weights()
    table = match_weights(
        {name: tuple(weight.value.shape) for name, weight in weights.items()},
        {name: tuple(value.shape) for name, value in given.items()},
    )
    for entry in table:
        if entry.fate is Fate.LOADED:
            weights[entry.name].value.copy_(given[entry.name].reshape(entry.shape or ()))
    return table


def _match(name: str, shape: Shape, found: Shape | None) -> MatchedWeight:
    if found is None:
        return MatchedWeight(name, Fate.NEW, shape, None, "not among the weights given")
    if _without_ones(found) != _without_ones(shape):
        return MatchedWeight(name, Fate.NEW, shape, found, f"expected {_text(shape)}, found {_text(found)}")
    return MatchedWeight(name, Fate.LOADED, shape, found, "")


def _with_its_layer(entry: MatchedWeight) -> MatchedWeight:
    if entry.fate is not Fate.LOADED:
        return entry
    reason = f"another weight of {_layer(entry.name)} does not fit"
    return MatchedWeight(entry.name, Fate.NEW, entry.shape, entry.found, reason)


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _without_ones(shape: Shape) -> Shape:
    """Old .caffemodels write a vector as 1×1×1×N."""
    first = next((place for place, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "one number"
