"""The layer types: what each may be given, what shapes it makes of what it is fed, which weights it keeps.

Every type is one small function in the file of its family, entered here by its decorator. The engine's registry
(`worker/engine/layers/`) has the same types in files of the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from app.topology import caffe_pb2
from app.topology.errors import LayerFault, closest

Shape = tuple[int, ...]

MOST_ELEMENTS = 2**31 - 1  # of one blob, as in Caffe
MOST_AXES = 32  # of one blob, as in Caffe

# Types of Caffe that make blobs out of files or memory; the chosen dataset takes their place.
DATA_TYPES = frozenset({"Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "WindowData"})


@dataclass(frozen=True)
class Outcome:
    """What a layer does to shapes."""

    tops: tuple[Shape, ...]
    weights: tuple[Shape, ...] = ()  # arrays of a .caffemodel, in Caffe's order
    multiply_adds: int = 0  # for all images of the batch
    remarks: tuple[str, ...] = ()


Rule = Callable[[caffe_pb2.LayerParameter, tuple[Shape, ...]], Outcome]


@dataclass(frozen=True)
class LayerType:
    """One layer type; `bottoms` and `tops` are the smallest and the largest number of them, None for any."""

    name: str
    family: str
    rule: Rule
    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    options: str = ""  # the field of LayerParameter that it reads
    has_weights: bool = False
    weights: tuple[str, ...] = ("weight", "bias")  # what its arrays are called here, in Caffe's order
    learns: bool = True  # False: its arrays are statistics, no parameters
    is_loss: bool = False
    in_place: bool = False  # its top may be its bottom
    also_reads: tuple[str, ...] = field(default=())


_TYPES: dict[str, LayerType] = {}


def layer(name: str, options: str = "", **facts: object) -> Callable[[Rule], Rule]:
    """Enter a rule as the layer type `name`; the family is the file's name."""

    def enter(rule: Rule) -> Rule:
        family = rule.__module__.rpartition(".")[2]
        _TYPES[name] = LayerType(name, family, rule, options=options, **facts)  # type: ignore[arg-type]
        return rule

    return enter


def layer_type(name: str) -> LayerType | None:
    """The type that is written so, or None."""
    return _TYPES.get(name)


def layer_types() -> list[LayerType]:
    """Every supported type, by family and name."""
    return sorted(_TYPES.values(), key=lambda kind: (kind.family, kind.name))


def suggest_type(name: str) -> str:
    """A complaint about an unknown type, with the one that was probably meant; "" for a known one."""
    if name in DATA_TYPES or layer_type(name):
        return ""
    near = closest(name, [*_TYPES, *DATA_TYPES])
    lower = {known.lower(): known for known in [*_TYPES, *DATA_TYPES]}
    near = lower.get(name.lower().replace("_", ""), near)
    return f'unknown layer type "{name}"' + (f'; is "{near}" meant?' if near else "")


def positive(value: int, option: str) -> int:
    if value < 1:
        raise LayerFault(f"{option} is {value}; expected 1 or more", option)
    return value


def axis_of(shape: Shape, axis: int, option: str = "axis") -> int:
    """The axis counted from 0; negative ones count from the end."""
    if not -len(shape) <= axis < len(shape):
        raise LayerFault(f"{option} {axis} does not exist in its input {as_text(shape)}", option)
    return axis % len(shape)


def images(shape: Shape) -> tuple[int, int, int, int]:
    """The shape as N, C, H, W."""
    if len(shape) != 4:
        raise LayerFault(f"expects images (N×C×H×W), its input is {as_text(shape)}")
    return shape[0], shape[1], shape[2], shape[3]


def count(shape: Shape) -> int:
    return math.prod(shape)


def as_text(shape: Shape) -> str:
    return "×".join(map(str, shape)) if shape else "one number"
