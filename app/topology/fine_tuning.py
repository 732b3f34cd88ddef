"""Fine-tuning: which weights of a trained net start a new one, matched by name and shape, and why others do not.

Names and shapes in, a table out. The page shows it before a launch, the engine copies by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.topology.check import input_shapes
from app.topology.fit import fit_source
from app.topology.layers import Shape, as_text
from app.topology.net import Phase
from app.topology.shapes import trace
from app.topology.text import read_leniently
from app.topology.wiring import wire


class Fate(StrEnum):
    LOADED = "loaded"
    NEW = "new"  # stays as its filler made it
    LEFT_OUT = "left out"  # the new net has no place for it


@dataclass(frozen=True)
class MatchedWeight:
    """One weight of either net, called "<layer>.<blob>"."""

    name: str
    fate: Fate
    shape: Shape | None  # in the new net
    found: Shape | None  # in the weights given
    reason: str  # empty where there is nothing to explain

    @property
    def layer(self) -> str:
        return layer_of(self.name)


def match_weights(wanted: Mapping[str, Shape], given: Mapping[str, Shape]) -> list[MatchedWeight]:
    """The table of a fine-tuning: first the new net's weights in its order, then what is left over.

    A layer is loaded as a whole or not at all: its bias means nothing without its weights.
    """
    table = [_match(name, shape, given.get(name)) for name, shape in wanted.items()]
    broken = {entry.layer for entry in table if entry.fate is Fate.NEW}
    table = [_with_its_layer(entry) if entry.layer in broken else entry for entry in table]
    unused = [
        MatchedWeight(name, Fate.LEFT_OUT, None, tuple(shape), "the new net has no such weights")
        for name, shape in given.items()
        if name not in wanted
    ]
    return table + unused


def count_fates(table: Iterable[MatchedWeight]) -> dict[Fate, int]:
    counts = dict.fromkeys(Fate, 0)
    for entry in table:
        counts[entry.fate] += 1
    return counts


def trained_weights(text: str, input_shape: Shape, classes: int) -> dict[str, Shape]:
    """The weights that a text's net has while it is trained, in Caffe's order; `input_shape` is (C, H, W).

    As far as they can be told: layers that do not fit are left out, as `check` says.
    """
    source, _ = read_leniently(text)
    if source is None:
        return {}
    source = fit_source(source, classes)
    wired = wire(source, Phase.TRAIN)
    shapes, _ = trace(wired.net, input_shapes(source, wired.net, (1, *input_shape)), unmade=wired.unmade)
    return {name: shape for info in shapes for name, shape in info.weights.items()}


def layer_of(weight: str) -> str:
    """The layer's part of a weight's name."""
    return weight.rpartition(".")[0]


def fits(found: Shape, wanted: Shape) -> bool:
    """Whether numbers of one shape may be taken as the other: old .caffemodels write a vector as 1×1×1×N."""
    return _without_ones(found) == _without_ones(wanted)


def _match(name: str, shape: Shape, found: Shape | None) -> MatchedWeight:
    if found is None:
        return MatchedWeight(name, Fate.NEW, shape, None, "not among the weights given")
    if not fits(found, shape):
        return MatchedWeight(name, Fate.NEW, shape, found, f"expected {as_text(shape)}, found {as_text(found)}")
    return MatchedWeight(name, Fate.LOADED, shape, found, "")


def _with_its_layer(entry: MatchedWeight) -> MatchedWeight:
    if entry.fate is not Fate.LOADED:
        return entry
    reason = f"another weight of {entry.layer} does not fit"
    return MatchedWeight(entry.name, Fate.NEW, entry.shape, entry.found, reason)


def _without_ones(shape: Shape) -> Shape:
    first = next((place for place, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
