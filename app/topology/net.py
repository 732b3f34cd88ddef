"""A net as data: its layers in order for one phase. Made by `text.py`; read by shapes, diagrams and the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.topology.caffe_pb2 import LayerParameter


class Phase(StrEnum):
    TRAIN = "TRAIN"
    TEST = "TEST"


@dataclass(frozen=True)
class Layer:
    """One layer of a net, as written; `options` is the parsed message and is only read."""

    name: str
    type: str  # Caffe's word: "Convolution", "InnerProduct", …
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    options: LayerParameter
    line: int = 0  # 1-based, where the layer opens in the text


@dataclass(frozen=True)
class Net:
    """The layers that one phase runs, in order, data layers left out."""

    name: str
    phase: Phase
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]  # blobs fed from outside, the image first: ("data", "label")
    outputs: tuple[str, ...]  # tops that no layer consumes
