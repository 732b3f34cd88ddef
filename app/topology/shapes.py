"""Shapes, parameters and multiply-adds of every layer of a net, by the rules of `layers/`.

`trace` follows a net as far as it goes and reports what does not fit; `infer` raises instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from app.topology import caffe_pb2
from app.topology.errors import Issue, LayerFault, TopologyError, shorten
from app.topology.layers import LayerType, Outcome, Shape, as_text, count, layer_type, suggest_type
from app.topology.layers.registry import MOST_AXES, MOST_ELEMENTS
from app.topology.net import Layer, Net

MOST_PARAMETERS = 4_000_000_000
FILLERS = frozenset({"bilinear", "constant", "gaussian", "msra", "positive_unitball", "uniform", "xavier"})


@dataclass(frozen=True)
class LayerInfo:
    """What one layer of a net makes and keeps."""

    layer: Layer
    top_shapes: tuple[Shape, ...]
    parameter_shapes: tuple[Shape, ...]  # every array of weights, statistics too, as in a .caffemodel
    parameters: int  # learnable numbers, those shared with an earlier layer not counted again
    multiply_adds: int  # for all images of the batch
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def type(self) -> str:
        return self.layer.type

    @property
    def weights(self) -> dict[str, Shape]:
        """Its arrays as weights are called everywhere: "<layer>.<blob>"."""
        kind = layer_type(self.type)
        names = kind.weights if kind else ()
        if self.type == "Scale" and len(self.bottoms) == 2:  # its factors are the second bottom
            names = names[1:]
        return {f"{self.name}.{name}": shape for name, shape in zip(names, self.parameter_shapes, strict=False)}

    @property
    def bottoms(self) -> tuple[str, ...]:
        return self.layer.bottoms

    @property
    def tops(self) -> tuple[str, ...]:
        return self.layer.tops


@dataclass(frozen=True)
class Fault:
    """What does not fit at a layer, and the option it is about."""

    layer: Layer
    message: str
    option: str = ""

    def issue(self) -> Issue:
        return Issue(max(1, self.layer.line), 1, shorten(f"{self.layer.name}: {self.message}"))


@dataclass
class Shapes:
    """A net's layers in order, with their shapes; `blobs` is the last shape of every blob."""

    layers: list[LayerInfo] = field(default_factory=list)
    blobs: dict[str, Shape] = field(default_factory=dict)

    def __iter__(self) -> Iterator[LayerInfo]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> LayerInfo:
        """The layer of this name; KeyError if there is none."""
        for info in self.layers:
            if info.name == name:
                return info
        raise KeyError(name)

    @property
    def parameters(self) -> int:
        return sum(info.parameters for info in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(info.multiply_adds for info in self.layers)


def infer(net: Net, shapes: Mapping[str, Shape]) -> Shapes:
    """Shapes of all blobs, from those of the net's inputs. Raises TopologyError with everything that does not fit."""
    inferred, faults = trace(net, shapes)
    if faults:
        raise TopologyError(fault.issue() for fault in faults)
    return inferred


Memo = dict[tuple[int, tuple[Shape, ...]], Outcome]  # by the identity of a layer's options, and what it is fed


def trace(
    net: Net, shapes: Mapping[str, Shape], memo: Memo | None = None, unmade: Iterable[str] = ()
) -> tuple[Shapes, list[Fault]]:
    """Shapes as far as they can be told, and what does not fit. Layers behind a fault are left out.

    A memo that is passed on from net to net of one text saves the work on the layers that they have in common.
    Blobs that are known to be unmade are not complained about.
    """
    memo = {} if memo is None else memo
    traced = Shapes(blobs={blob: tuple(shape) for blob, shape in shapes.items()})
    faults: list[Fault] = []
    shared: dict[str, tuple[Layer, Shape]] = {}
    unknown = set(unmade)
    for layer in net.layers:
        try:
            if any(blob in unknown for blob in layer.bottoms):
                raise _Skip
            traced.layers.append(_info(layer, traced.blobs, shared, memo))
            traced.blobs.update(zip(layer.tops, traced.layers[-1].top_shapes, strict=True))
            unknown.difference_update(layer.tops)
        except (LayerFault, _Skip) as fault:
            if isinstance(fault, LayerFault):
                faults.append(Fault(layer, fault.message, fault.option))
            unknown.update(layer.tops)
    if traced.parameters > MOST_PARAMETERS:
        largest = max(traced.layers, key=lambda info: info.parameters).layer
        faults.append(Fault(largest, f"the net has {traced.parameters:,} parameters; at most {MOST_PARAMETERS:,}"))
    return traced, faults


class _Skip(Exception):
    """A layer that reads what could not be made."""


def _info(layer: Layer, blobs: Mapping[str, Shape], shared: dict[str, tuple[Layer, Shape]], memo: Memo) -> LayerInfo:
    kind = layer_type(layer.type)
    if kind is None:
        raise LayerFault(suggest_type(layer.type), "type")
    for blob in layer.bottoms:
        if blob not in blobs:
            raise LayerFault(f'the shape of the blob "{blob}" is not known', "bottom")
    bottoms = tuple(blobs[blob] for blob in layer.bottoms)
    outcome = memo.get((id(layer.options), bottoms))
    if outcome is None:
        outcome = memo[id(layer.options), bottoms] = _outcome(layer, kind, bottoms)
    parameters = _own_parameters(layer, outcome, shared) if kind.learns else 0
    return LayerInfo(layer, outcome.tops, outcome.weights, parameters, outcome.multiply_adds, outcome.remarks)


def _outcome(layer: Layer, kind: LayerType, bottoms: tuple[Shape, ...]) -> Outcome:
    """What the layer's rule says, if the layer is right in all that rules have in common."""
    _check_numbers(layer, kind)
    _check_values(layer.options)
    outcome = kind.rule(layer.options, bottoms)
    _check_sizes(outcome)
    _check_filled(layer.options, kind, outcome.weights)
    return replace(outcome, remarks=(*outcome.remarks, *_ineffective(layer.options, kind)))


def _check_numbers(layer: Layer, kind: LayerType) -> None:
    for what, names, (least, most) in (("bottom", layer.bottoms, kind.bottoms), ("top", layer.tops, kind.tops)):
        if len(names) < least or (most is not None and len(names) > most):
            wanted = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
            raise LayerFault(f"expects {wanted} {what}{'s' * (wanted != '1')}, found {len(names)}", what)
    if kind.name in ("Convolution", "Deconvolution") and len(layer.bottoms) != len(layer.tops):
        raise LayerFault(f"has {len(layer.bottoms)} bottoms and {len(layer.tops)} tops; expected as many", "top")
    if not kind.in_place and not set(layer.tops).isdisjoint(layer.bottoms):
        raise LayerFault(f"a {kind.name} cannot work in place; give its top another name", "top")
    for option, given, expected in (
        ("loss_weight", len(layer.options.loss_weight), len(layer.tops)),
        ("propagate_down", len(layer.options.propagate_down), len(layer.bottoms)),
    ):
        if given not in (0, expected):
            raise LayerFault(f"has {given} values of {option}; expected {expected}", option)


def _check_values(message: Message) -> None:
    """Refuse nan and inf, which text_format reads, and fillers that do not exist."""
    if isinstance(message, caffe_pb2.FillerParameter):
        _check_filler(message)
    for descriptor, value in message.ListFields():
        if descriptor.type == FieldDescriptor.TYPE_FLOAT:
            for number in value if isinstance(value, Iterable) else (value,):
                if not math.isfinite(number):
                    raise LayerFault(f"{descriptor.name} is {number}; expected a number", descriptor.name)
        elif descriptor.type == FieldDescriptor.TYPE_MESSAGE and descriptor.name not in ("include", "exclude", "blobs"):
            for part in (value,) if isinstance(value, Message) else value:
                _check_values(part)


def _check_filler(filler: caffe_pb2.FillerParameter) -> None:
    if filler.type not in FILLERS:
        raise LayerFault(f'unknown filler "{filler.type}"; expected one of {", ".join(sorted(FILLERS))}', "type")
    if filler.type == "uniform" and filler.min > filler.max:
        raise LayerFault(f"uniform filler: min {filler.min:g} is larger than max {filler.max:g}", "min")
    if filler.type == "gaussian" and filler.std < 0:
        raise LayerFault(f"gaussian filler: std {filler.std:g} is negative", "std")


def _check_filled(options: caffe_pb2.LayerParameter, kind: LayerType, weights: tuple[Shape, ...]) -> None:
    """Fillers that need a certain shape: bilinear a square kernel, those that count inputs at least one axis."""
    if not kind.options or not weights:
        return
    given = getattr(options, kind.options)
    for name, shape in zip(_filled_in_order(given), weights, strict=False):
        if not given.HasField(name):
            continue
        filler = getattr(given, name).type
        if filler == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
            raise LayerFault(f"bilinear filler: expected a square kernel, found {as_text(shape)}", name)
        if not shape and filler not in ("constant", "uniform"):
            raise LayerFault(f"{filler} filler: expected an array, found one number", name)


def _filled_in_order(given: Message) -> list[str]:
    fields = [field.name for field in given.DESCRIPTOR.fields]
    return [name for name in ("weight_filler", "filler", "bias_filler") if name in fields]


def _check_sizes(outcome: Outcome) -> None:
    for shape in (*outcome.tops, *outcome.weights):
        if len(shape) > MOST_AXES:
            raise LayerFault(f"its output would have {len(shape)} axes; at most {MOST_AXES}")
        if count(shape) > MOST_ELEMENTS:
            what = f"its {'weights' if shape in outcome.weights else 'output'} {as_text(shape)}"
            raise LayerFault(f"{what} would be {count(shape):,} numbers; at most {MOST_ELEMENTS:,}")


def _own_parameters(layer: Layer, outcome: Outcome, shared: dict[str, tuple[Layer, Shape]]) -> int:
    """Learnable numbers of a layer, without arrays that an earlier layer shares by param { name }."""
    params = layer.options.param
    if len(params) > len(outcome.weights):
        raise LayerFault(f"has {len(params)} param {{ }}; it keeps {len(outcome.weights)} arrays of weights", "param")
    own = 0
    for index, shape in enumerate(outcome.weights):
        name = params[index].name if index < len(params) else ""
        if not name or name not in shared:
            own += count(shape)
            shared.setdefault(name, (layer, shape))
            continue
        owner, expected = shared[name]
        strict = params[index].share_mode == caffe_pb2.ParamSpec.STRICT
        if shape != expected if strict else count(shape) != count(expected):
            found = f"{as_text(shape)}, not {as_text(expected)} as in {owner.name}"
            raise LayerFault(f'the weights that it shares as "{name}" are {found}', "param")
    return own


_COMMON = frozenset(
    {"name", "type", "bottom", "top", "phase", "loss_weight", "param", "blobs", "propagate_down", "include", "exclude"}
)


def _ineffective(options: caffe_pb2.LayerParameter, kind: LayerType) -> list[str]:
    known = {kind.options, *kind.also_reads}
    names = [descriptor.name for descriptor, _ in options.ListFields()]
    return [f"{name} has no effect on a {kind.name}" for name in names if name not in _COMMON and name not in known]
