"""Weights from a .caffemodel: Caffe's NetParameter with the blobs of every layer, in Caffe's order.

Weights are named "<layer>.<blob>" on our side; a .caffemodel knows a layer's blobs by their order only. How one is
written is in `app/export/caffemodel.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from app.topology import caffe_pb2
from app.topology.upgrade import upgraded_layer
from worker.engine.errors import EngineError

Array = NDArray[np.float32]


def read_caffemodel(source: bytes | Path) -> dict[str, list[Array]]:
    """Every layer's blobs, in Caffe's order; of today's form and of the older one. Raises EngineError."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        message = caffe_pb2.NetParameter.FromString(data)
    except DecodeError as error:
        raise EngineError(f"this is no .caffemodel, or a damaged one: {error}") from error
    layers = [*message.layer, *(upgraded_layer(layer) for layer in message.layers)]
    found = {layer.name: [_array(layer.name, blob) for blob in layer.blobs] for layer in layers if layer.blobs}
    if not found:
        raise EngineError("this .caffemodel has no weights in any layer")
    return found


def named_blobs(names: Sequence[str], blobs: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
    """A .caffemodel's blobs under our names, given the names of a net's weights in Caffe's order.

    Layers that the net does not have keep their place as a number: "fc8.0".
    """
    by_layer: dict[str, list[str]] = {}
    for name in names:
        by_layer.setdefault(name.rpartition(".")[0], []).append(name)
    named = {}
    for layer, arrays in blobs.items():
        known = by_layer.get(layer, [])
        for place, array in enumerate(arrays):
            named[known[place] if place < len(known) else f"{layer}.{place}"] = array
    return named


def _array(layer: str, blob: caffe_pb2.BlobProto) -> Array:
    if blob.double_data:
        values = np.array(blob.double_data, np.float32)
    else:
        count = len(blob.data)
        packed = caffe_pb2.BlobProto()
        packed.data.MergeFrom(blob.data)
        values = np.frombuffer(packed.SerializeToString()[-4 * count :] if count else b"", "<f4").astype(np.float32)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else _old_shape(blob, len(values))
    if any(size < 0 for size in shape) or int(np.prod(shape, dtype=object)) != len(values):
        raise EngineError(f"{layer}: expected {' × '.join(map(str, shape)) or 1} numbers, found {len(values)}")
    return values.reshape(shape)


def _old_shape(blob: caffe_pb2.BlobProto, count: int) -> tuple[int, ...]:
    """(num, channels, height, width) without the 1s in front that stand for axes that are not there."""
    sizes = [blob.num, blob.channels, blob.height, blob.width]
    if not any(sizes):
        return (count,)
    while len(sizes) > 1 and sizes[0] == 1:
        sizes.pop(0)
    return tuple(sizes)
