"""A .caffemodel read in place: which blobs it holds and where their numbers lie, without loading it.

Weights are named "<layer>.<blob>" on our side; a .caffemodel knows a layer's blobs by their order only. How one is
written is in `app/export/caffemodel.py`.

protobuf would hold the file twice in memory. Here only the tags and lengths are walked through: of 500 MB some kB are
read, and numbers are copied out piece by piece. Of today's form (`layer`) and of the older one (`layers`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.topology.fine_tuning import layer_of
from worker.engine.errors import EngineError

Array = NDArray[np.float32]
Shape = tuple[int, ...]

PIECE_BYTES = 4 * 1024 * 1024
MOST_LAYERS = 20_000
MOST_SPANS = 1_000_000  # of one blob; every writer packs its numbers into one
LONGEST_NAME = 1_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

LAYER, OLD_LAYER = 100, 2  # fields of NetParameter
NAME = {LAYER: 1, OLD_LAYER: 4}  # fields of the layer
BLOBS = {LAYER: 7, OLD_LAYER: 6}
OLDEST_LAYER = 1  # of the old one: the form before it
SHAPE, DATA, DOUBLES = 7, 5, 8  # fields of BlobProto
OLD_SIZES = (1, 2, 3, 4)  # num, channels, height, width


@dataclass(frozen=True)
class Span:
    """Bytes of the file."""

    start: int
    end: int


@dataclass
class StoredBlob:
    """One array: its shape, and the spans in which its numbers lie, little-endian."""

    shape: Shape = ()
    has_doubles: bool = False
    spans: list[Span] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(span.end - span.start for span in self.spans) // (8 if self.has_doubles else 4)


@dataclass(frozen=True)
class CaffemodelFile:
    """An open .caffemodel: the blobs of every layer that has some, in Caffe's order."""

    file: BinaryIO
    layers: dict[str, list[StoredBlob]]

    def pieces(self, blob: StoredBlob) -> Iterator[Array]:
        """The numbers of a blob in order, a few million at a time."""
        for span in blob.spans:
            self.file.seek(span.start)
            left = span.end - span.start
            while left:
                data = self.file.read(min(PIECE_BYTES, left))
                left -= len(data)
                yield np.frombuffer(data, "<f8" if blob.has_doubles else "<f4").astype(np.float32, copy=False)

    def array(self, blob: StoredBlob) -> Array:
        return np.concatenate([np.empty(0, np.float32), *self.pieces(blob)]).reshape(blob.shape)


def open_caffemodel(file: BinaryIO) -> CaffemodelFile:
    """Raises EngineError, with the place, for what is no .caffemodel or a damaged one."""
    layers: dict[str, list[StoredBlob]] = {}
    reader = _Reader(file)
    for number, wire, span in reader.fields(Span(0, reader.size)):
        if number in (LAYER, OLD_LAYER) and wire == BYTES:
            name, blobs = _layer(reader, number, span)
            if blobs:
                layers[name] = blobs
        if len(layers) > MOST_LAYERS:
            raise EngineError(f"this is no .caffemodel: it has more than {MOST_LAYERS:,} layers")
    if not layers:
        raise EngineError("this .caffemodel has no weights in any layer")
    return CaffemodelFile(file, layers)


def read_caffemodel(source: bytes | Path) -> dict[str, list[Array]]:
    """Every layer's blobs as arrays, in Caffe's order. Raises EngineError."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        opened = open_caffemodel(file)
        return {name: [opened.array(blob) for blob in blobs] for name, blobs in opened.layers.items()}


def blob_names(names: Iterable[str], layers: Mapping[str, Sequence[object]]) -> dict[str, list[str]]:
    """What the blobs of every layer are called here, given the names of a net's weights in Caffe's order.

    Blobs that the net does not have keep their place as a number: "fc8.0".
    """
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(layer_of(name), []).append(name)
    named = {}
    for layer, blobs in layers.items():
        numbered = [f"{layer}.{place}" for place in range(len(blobs))]
        own = known.get(layer, [])[: len(blobs)]
        named[layer] = own + numbered[len(own) :]
    return named


class _Reader:
    """Walks the fields of protobuf messages in a file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, io.SEEK_END)

    def fields(self, within: Span) -> Iterator[tuple[int, int, Span]]:
        """(number, wire type, where its value lies) of every field of the message that the span holds."""
        at = within.start
        while at < within.end:
            tag, start = self.varint(at, within.end)
            number, wire = tag >> 3, tag & 7
            if wire == BYTES:
                length, start = self.varint(start, within.end)
                end = start + length
            elif wire == VARINT:
                _, end = self.varint(start, within.end)
            elif wire in (FIXED32, FIXED64):
                end = start + (4 if wire == FIXED32 else 8)
            else:
                raise _damaged(at, f"a field of the unknown kind {wire}")
            if number == 0 or end > within.end:
                raise _damaged(at, f"a field of {end - start:,} bytes where {max(0, within.end - start):,} are left")
            yield number, wire, Span(start, end)
            at = end

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at a place, and the place behind it."""
        self.file.seek(at)
        value = 0
        for place, byte in enumerate(self.file.read(min(10, end - at))):
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value, at + place + 1
        raise _damaged(at, "a number without an end")

    def bytes(self, span: Span, most: int) -> bytes:
        if span.end - span.start > most:
            raise _damaged(span.start, f"{span.end - span.start:,} bytes where at most {most:,} are expected")
        self.file.seek(span.start)
        return self.file.read(span.end - span.start)


def _layer(reader: _Reader, kind: int, within: Span) -> tuple[str, list[StoredBlob]]:
    name, blobs = "", []
    for number, wire, span in reader.fields(within):
        if number == NAME[kind] and wire == BYTES:
            name = reader.bytes(span, LONGEST_NAME).decode("utf-8", "replace")
        elif number == BLOBS[kind] and wire == BYTES:
            blobs.append(_blob(reader, span))
        elif kind == OLD_LAYER and number == OLDEST_LAYER and wire == BYTES:
            raise EngineError(
                "this .caffemodel is of Caffe's oldest form (2013); upgrade it with upgrade_net_proto_binary"
            )
    for blob in blobs:
        if any(size < 0 for size in blob.shape) or math.prod(blob.shape) != blob.count:
            expected = " × ".join(map(str, blob.shape)) or "1"
            raise EngineError(f"{name}: expected {expected} numbers, found {blob.count}")
    return name, blobs


def _blob(reader: _Reader, within: Span) -> StoredBlob:
    blob, sizes, has_shape = StoredBlob(), dict.fromkeys(OLD_SIZES, 0), False
    floats: list[Span] = []
    for number, wire, span in reader.fields(within):
        if number == DATA and wire in (BYTES, FIXED32):
            floats.append(span)
        elif number == DOUBLES and wire in (BYTES, FIXED64):
            blob.has_doubles = True
            blob.spans.append(span)
        elif number == SHAPE and wire == BYTES:
            blob.shape, has_shape = _dims(reader, span), True
        elif number in OLD_SIZES and wire == VARINT:
            sizes[number] = reader.varint(span.start, span.end)[0]
        if len(floats) + len(blob.spans) > MOST_SPANS:
            raise EngineError(f"a blob at byte {within.start:,} has its numbers one by one; save it anew with Caffe")
    if not blob.has_doubles:
        blob.spans = floats
    if any((span.end - span.start) % (8 if blob.has_doubles else 4) for span in blob.spans):
        raise _damaged(within.start, "numbers that are cut")
    if not has_shape:
        blob.shape = _old_shape([sizes[number] for number in OLD_SIZES], blob.count)
    return blob


def _dims(reader: _Reader, within: Span) -> Shape:
    dims: list[int] = []
    for number, wire, span in reader.fields(within):
        if number == 1 and wire == VARINT:
            dims.append(_signed(reader.varint(span.start, span.end)[0]))
        elif number == 1 and wire == BYTES:
            at = span.start
            while at < span.end:
                value, at = reader.varint(at, span.end)
                dims.append(_signed(value))
    return tuple(dims)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _old_shape(sizes: list[int], count: int) -> Shape:
    """(num, channels, height, width) without the 1s in front that stand for axes that are not there."""
    if not any(sizes):
        return (count,)
    while len(sizes) > 1 and sizes[0] == 1:
        sizes.pop(0)
    return tuple(sizes)


def _damaged(at: int, found: str) -> EngineError:
    return EngineError(f"this is no .caffemodel, or a damaged one: at byte {at:,} there is {found}")
