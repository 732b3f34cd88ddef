"""An ONNX graph while it is built: nodes, names that are used once only, and weights that stay on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper

from app.export.pieces import Piece, field
from app.export.weights import Stored

_RAW_DATA = TensorProto.RAW_DATA_FIELD_NUMBER
_INITIALIZER = GraphProto.INITIALIZER_FIELD_NUMBER
_TYPES: Mapping[str, int] = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class Graph:
    """Nodes in the order of computation. Values are called as the blobs are, or by the layer that makes them anew."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self._initializers: dict[str, list[Piece]] = {}
        self._taken: set[str] = set()

    def name(self, wanted: str) -> str:
        """`wanted`, or with a number if it is taken."""
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}:{number}", number + 1
        self._taken.add(name)
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node with one output; gives the name that it got."""
        return self.add_several(operator, inputs, [output], **attributes)[0]

    def add_several(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> list[str]:
        named = [self.name(output) for output in outputs]
        self.nodes.append(helper.make_node(operator, list(inputs), named, name=named[0], **attributes))
        return named

    def constant(self, array: NDArray[Any], name: str = "constant") -> str:
        """Numbers that are part of the file; float32 or int64."""
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        return self._initializer(self.name(name), array.shape, _TYPES[array.dtype.name], [data])

    def numbers(self, *values: float) -> str:
        """Whole numbers as a list, for an operator that wants sizes or axes as an input."""
        return self.constant(np.array(values, np.int64), "numbers")

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32), "number")

    def weight(self, name: str, stored: Stored, shape: Sequence[int] | None = None) -> str:
        """A weight of the snapshot, as it lies there, under another shape if wanted."""
        return self._initializer(self.name(name), shape or stored.shape, TensorProto.FLOAT, [stored.span])

    def initializers(self) -> list[Piece]:
        """As fields of a GraphProto."""
        return [piece for content in self._initializers.values() for piece in content]

    def _initializer(self, name: str, shape: Sequence[int], kind: int, data: Sequence[Piece]) -> str:
        head = TensorProto(name=name, dims=shape, data_type=kind).SerializeToString()
        self._initializers[name] = field(_INITIALIZER, [head, *field(_RAW_DATA, data)])
        return name
