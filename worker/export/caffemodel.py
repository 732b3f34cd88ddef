"""Weights as a .caffemodel, and back: Caffe's NetParameter with the blobs of every layer, in Caffe's order.

Weights are named "<layer>.<blob>" on our side; a .caffemodel knows a layer's blobs by their order only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from app.topology import caffe_pb2
from app.topology.net import Net
from app.topology.upgrade import upgraded_layer
from worker.engine.errors import EngineError
from worker.engine.predict import load_deployed
from worker.export.spec import ExportSpec, write_whole

Array = NDArray[np.float32]

LARGEST_BYTES = 2**31 - 1  # what protobuf reads
_DATA_FIELD = 5 << 3 | 2  # BlobProto.data, packed


def caffemodel_bytes(net: Net, weights: Mapping[str, Array]) -> bytes:
    """The net's layers with their blobs. `weights` holds each layer's blobs in Caffe's order.

    Raises EngineError for a net beyond the 2 GB that protobuf can hold.
    """
    if sum(array.nbytes for array in weights.values()) > LARGEST_BYTES:
        raise EngineError("the weights exceed 2 GB, the most that a .caffemodel can hold; take safetensors instead")
    message = caffe_pb2.NetParameter(name=net.name)
    for layer in net.layers:
        kept = message.layer.add()
        kept.CopyFrom(layer.options)
        kept.name = layer.name
        del kept.include[:], kept.exclude[:]
        kept.blobs.extend(_blob(array) for array in _blobs_of(layer.name, weights))
    return bytes(message.SerializeToString())


def export_caffemodel(spec: ExportSpec, path: Path) -> int:
    """Writes the .caffemodel that belongs to deploy.prototxt; gives its size in bytes. Raises EngineError."""
    deployed = load_deployed(spec.topology, spec.preprocessing, spec.snapshot, torch.device("cpu"))
    arrays = {name: weight.value.detach().numpy() for name, weight in deployed.weights().items()}
    data = caffemodel_bytes(deployed.net, arrays)
    return write_whole(path, lambda partial: partial.write_bytes(data))


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


def _blobs_of(layer: str, weights: Mapping[str, Array]) -> list[Array]:
    return [array for name, array in weights.items() if name.rpartition(".")[0] == layer]


def _blob(array: Array) -> caffe_pb2.BlobProto:
    """Parsed from bytes that are laid out here: protobuf takes numbers one by one, which takes 8 times as long."""
    shape = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=array.shape)).SerializeToString()
    values = np.ascontiguousarray(array, "<f4").tobytes()
    return caffe_pb2.BlobProto.FromString(shape + bytes([_DATA_FIELD]) + _varint(len(values)) + values)


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


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
