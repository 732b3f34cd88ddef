"""Source → Net: which layers a phase runs, and whether every blob they read is made, once, by a layer before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.topology import caffe_pb2
from app.topology.errors import Issue, closest, shorten
from app.topology.layers import DATA_TYPES, layer_type
from app.topology.layers.registry import MOST_AXES
from app.topology.net import Layer, Net, Phase

if TYPE_CHECKING:
    from app.topology.text import Source, SourceLayer

# DIGITS writes one text for training, validation and deployment and tells them apart by stages.
DEFAULT_STAGES = {Phase.TRAIN: ("train",), Phase.TEST: ("val",)}
DEPLOY_STAGE = "deploy"
IMPLICIT_INPUTS = ("data", "label")  # DIGITS: a text without data layers is fed these


MOST_FAULTS = 100
MOST_TO_GUESS_FROM = 200  # blobs among which a near name is looked for


@dataclass
class Wired:
    """A net, with the text's layer behind each of its layers, and what is wrong or remarkable about its blobs."""

    source: Source
    net: Net
    origins: list[SourceLayer]
    faults: list[Issue] = field(default_factory=list)
    remarks: list[Issue] = field(default_factory=list)
    unmade: set[str] = field(default_factory=set)  # blobs that are read and that nobody has made by then

    def fault(self, layer: SourceLayer, message: str, option: str = "", value: str | None = None) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Issue(*self.source.place_of(layer, option, value), shorten(message)))


def wire(source: Source, phase: Phase, stages: Sequence[str] | None = None, level: int = 0) -> Wired:
    """The net of a phase as far as it can be made."""
    stages = DEFAULT_STAGES[phase] if stages is None else stages
    included = [layer for layer in source.layers if is_included(layer.options, phase, stages, level)]
    origins = [layer for layer in included if layer.options.type not in DATA_TYPES]
    wired = Wired(source, Net(source.name, phase, (), (), ()), origins)
    layers = tuple(_named(wired))
    inputs = _inputs(wired, included)
    outputs = _connect(wired, layers, inputs)
    wired.net = Net(source.name, phase, layers, inputs, outputs)
    return wired


def is_included(options: caffe_pb2.LayerParameter, phase: Phase, stages: Sequence[str] = (), level: int = 0) -> bool:
    """Whether a layer takes part (Caffe, Net::FilterNet): any include rule met, or no exclude rule met."""
    if options.include:
        return any(meets(rule, phase, stages, level) for rule in options.include)
    return not any(meets(rule, phase, stages, level) for rule in options.exclude)


def meets(rule: caffe_pb2.NetStateRule, phase: Phase, stages: Sequence[str], level: int) -> bool:
    """Whether a net's state agrees with everything a rule mentions (Caffe, Net::StateMeetsRule)."""
    if rule.HasField("phase") and caffe_pb2.Phase.Name(rule.phase) != phase:
        return False
    if rule.HasField("min_level") and level < rule.min_level:
        return False
    if rule.HasField("max_level") and level > rule.max_level:
        return False
    return all(stage in stages for stage in rule.stage) and not any(stage in stages for stage in rule.not_stage)


def data_layers(source: Source, phase: Phase, stages: Sequence[str] | None = None) -> list[SourceLayer]:
    """The data layers of a phase; where the text has none for it, those of the other phase."""
    every = [layer for layer in source.layers if layer.options.type in DATA_TYPES]
    for tried in (phase, *(other for other in Phase if other is not phase)):
        chosen = DEFAULT_STAGES[tried] if stages is None or tried is not phase else stages
        if found := [layer for layer in every if is_included(layer.options, tried, chosen)]:
            return found
    return every


def declared_shapes(source: Source, phase: Phase) -> dict[str, tuple[int, ...]]:
    """The shapes that Input, DummyData and MemoryData layers of a phase give their blobs."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in data_layers(source, phase):
        for index, blob in enumerate(layer.options.top):
            shape = _declared_shape(layer.options, index)
            if 0 < len(shape) <= MOST_AXES and min(shape) > 0:
                shapes.setdefault(blob, shape)
    return shapes


def _declared_shape(options: caffe_pb2.LayerParameter, index: int) -> tuple[int, ...]:
    if options.type == "MemoryData":
        given = options.memory_data_param
        image = (given.batch_size, given.channels, given.height, given.width)
        return image if index == 0 else image[:1]
    old = options.dummy_data_param
    listed = list(options.input_param.shape) + list(old.shape)
    if listed:
        return tuple(listed[min(index, len(listed) - 1)].dim)
    sizes = [old.num, old.channels, old.height, old.width]
    return tuple(values[min(index, len(values) - 1)] for values in sizes if values)


def _named(wired: Wired) -> list[Layer]:
    """The layers, each with a name of its own: weights are kept under it."""
    counts: Counter[str] = Counter()
    layers = []
    for origin in wired.origins:
        options = origin.options
        name = options.name or f"{options.type}_{origin.line}"
        counts[name] += 1
        if counts[name] > 1:
            name = _renamed(wired, origin, name, counts[name])
        known = layer_type(options.type)
        tops = tuple(options.top) or ((name,) if known and known.is_loss else ())  # Caffe's losses need not name one
        layers.append(Layer(name, options.type, tuple(options.bottom), tops, options, origin.line))
    return layers


def _renamed(wired: Wired, origin: SourceLayer, name: str, count: int) -> str:
    known = layer_type(origin.options.type)
    if known is None or known.has_weights:
        wired.fault(origin, f'another layer is called "{name}" already', "name")
        return name
    if len(wired.remarks) >= MOST_FAULTS:
        return f"{name}_{count}"
    remark = f'another layer is called "{name}" already; this one is shown as "{name}_{count}"'
    wired.remarks.append(Issue(*wired.source.place_of(origin, "name"), shorten(remark)))
    return f"{name}_{count}"


def _inputs(wired: Wired, included: list[SourceLayer]) -> tuple[str, ...]:
    data = [layer for layer in included if layer.options.type in DATA_TYPES]
    data = data or data_layers(wired.source, wired.net.phase)
    if not data:
        return IMPLICIT_INPUTS
    blobs: dict[str, None] = {}
    for layer in data:
        for top in layer.options.top:
            if top in blobs:
                wired.fault(layer, f'{layer.options.name}: the blob "{top}" is already made by the data', "top", top)
            blobs[top] = None
    labels = [blob for blob in blobs if "label" in blob.lower()]
    others = [blob for blob in blobs if blob not in labels]
    return (*others[:1], *labels, *others[1:])


def _connect(wired: Wired, layers: tuple[Layer, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Follow the blobs in the order of the layers; what nobody has read at the end are the outputs."""
    makers = dict.fromkeys(inputs, "the data")
    unread: dict[str, None] = {}
    later = {top for layer in layers for top in layer.tops}
    for layer, origin in zip(layers, wired.origins, strict=True):
        for blob in layer.bottoms:
            if blob not in makers and len(wired.faults) < MOST_FAULTS:
                wired.fault(origin, _unmade(layer, blob, makers, later), "bottom", blob)
                makers[blob] = ""  # one complaint per blob is enough
                wired.unmade.add(blob)
            unread.pop(blob, None)
        for index, blob in enumerate(layer.tops):
            in_place = index < len(layer.bottoms) and layer.bottoms[index] == blob
            if makers.get(blob) and not in_place:
                message = f'{layer.name}: the blob "{blob}" is already made by {makers[blob]}'
                wired.fault(origin, message, "top", blob)
            makers[blob] = layer.name
            unread[blob] = None
    return tuple(unread)


def _unmade(layer: Layer, blob: str, makers: dict[str, str], later: set[str]) -> str:
    if blob in later:
        return f'{layer.name}: the blob "{blob}" is made only by a later layer'
    near = closest(blob, makers) if len(makers) <= MOST_TO_GUESS_FROM else ""
    return f'{layer.name}: nobody makes the blob "{blob}"' + (f'; is "{near}" meant?' if near else "")
