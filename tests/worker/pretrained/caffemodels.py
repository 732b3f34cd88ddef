"""Files of weights as other programs write them, laid out byte by byte: nothing of ours, nor of protobuf, is used."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
INNER_PRODUCT, CONVOLUTION = 14, 4  # V1LayerParameter.LayerType


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def new_blob(array: Array) -> bytes:
    """Today's form: a shape, packed floats."""
    shape = message(1, b"".join(map(varint, array.shape)))
    return message(7, shape) + message(5, array.astype("<f4").tobytes())


def old_blob(array: Array) -> bytes:
    """The older form: num, channels, height, width; packed floats, and a gradient that nobody needs."""
    sizes = [1] * (4 - array.ndim) + list(array.shape)
    data = array.astype("<f4").tobytes()
    return b"".join(number(place + 1, size) for place, size in enumerate(sizes)) + message(5, data) + message(6, data)


def double_blob(array: Array) -> bytes:
    return message(7, message(1, b"".join(map(varint, array.shape)))) + message(8, array.astype("<f8").tobytes())


def loose_blob(array: Array) -> bytes:
    """Every number as a field of its own, as a writer that does not pack would have it."""
    numbers = b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.reshape(-1))
    return message(7, b"".join(number(1, size) for size in array.shape)) + numbers


def new_caffemodel(layers: Mapping[str, Sequence[Array]], blob=new_blob) -> bytes:  # type: ignore[no-untyped-def]
    body = message(1, b"net")
    for name, arrays in layers.items():
        blobs = b"".join(message(7, blob(array)) for array in arrays)
        body += message(100, message(1, name.encode()) + message(2, b"InnerProduct") + blobs)
    return body


def old_caffemodel(layers: Mapping[str, Sequence[Array]]) -> bytes:
    body = message(1, b"net")
    for name, arrays in layers.items():
        kind = number(5, CONVOLUTION if arrays[0].ndim == 4 else INNER_PRODUCT)
        body += message(2, message(4, name.encode()) + kind + b"".join(message(6, old_blob(array)) for array in arrays))
    return body + message(2, message(4, b"relu") + number(5, 18))
