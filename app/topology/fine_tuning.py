"""Fine-tuning: which weights of a trained net start a new one, matched by name and shape, and why others do not.

Names and shapes in, a table out. The page shows it before a launch, the engine copies by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from app.topology.check import input_shapes
from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.fit import fit_source
from app.topology.layers import Shape, as_text
from app.topology.net import Net, Phase
from app.topology.shapes import trace
from app.topology.text import Source, read, read_leniently
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


@dataclass(frozen=True)
class KeptLayer:
    """A layer with weights."""

    name: str
    type: str
    weights: dict[str, Shape]  # in Caffe's order
    reads_image: bool  # is fed with the picture itself
    predicts: bool = False  # is part of the net that predicts


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


def loaded_layers(table: Sequence[MatchedWeight]) -> dict[str, int]:
    """The layers whose weights are all loaded, with the number of these."""
    counts = Counter(entry.layer for entry in table if entry.fate is Fate.LOADED)
    new = {entry.layer for entry in table if entry.fate is Fate.NEW}
    return {layer: count for layer, count in counts.items() if layer not in new}


def trained_weights(text: str, input_shape: Shape, classes: int) -> dict[str, Shape]:
    """The weights that a text's net has while it is trained, in Caffe's order; `input_shape` is (C, H, W).

    As far as they can be told: layers that do not fit are left out, as `check` says.
    """
    source, _ = read_leniently(text)
    if source is None:
        return {}
    source = fit_source(source, classes)
    layers = _with_weights(source, wire(source, Phase.TRAIN).net, input_shape)
    return {name: shape for layer in layers for name, shape in layer.weights.items()}


def kept_layers(text: str, input_shape: Shape, classes: int) -> list[KeptLayer]:
    """The layers with weights of all nets of a text, in whatever phase, those that predict marked as such.

    Raises TopologyError for a text that cannot be read.
    """
    source = fit_source(read(text), classes)
    try:
        predicting = _with_weights(source, deploy_net(source), input_shape)
    except TopologyError:
        predicting = []
    found = {layer.name: replace(layer, predicts=True) for layer in predicting}
    for phase in Phase:
        for layer in _with_weights(source, wire(source, phase).net, input_shape):
            found.setdefault(layer.name, layer)
    return list(found.values())


def _with_weights(source: Source, net: Net, input_shape: Shape) -> list[KeptLayer]:
    shapes, _ = trace(net, input_shapes(source, net, (1, *input_shape)))
    image = net.inputs[:1]
    return [
        KeptLayer(info.name, info.type, info.weights, reads_image=info.bottoms[:1] == image)
        for info in shapes
        if info.weights
    ]


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
