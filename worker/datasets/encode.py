"""From pixels to what an LMDB value holds: PNG, JPEG or raw bytes inside Caffe's `Datum`.

PNG is written here rather than by Pillow: one filter for the whole picture, chosen by the usual heuristic, and one
deflate stream by ISA-L, which packs a 256×256 photograph in 0.7 ms where Pillow takes 6 (level 1) or 17 (its default),
into a file 10 % larger. The measurements are in `docs/decisions.md`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.datasets.spec import Encoding

try:
    from isal.isal_zlib import compress as _isal_compress
except ImportError:  # no wheel for this machine
    _isal_compress = None  # type: ignore[assignment]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_NO_FILTER, _SUB = 0, 1
_BATCH_BYTES = 256 * 1024
_BYTES = [bytes((value,)) for value in range(0x80)]


def encode_all(pictures: list[NDArray[np.uint8]], encoding: Encoding, jpeg_quality: int) -> Iterator[bytes]:
    """Pictures of one size, (H, W) grey or (H, W, 3) RGB, as image files or as Caffe's raw (C, H, W) BGR bytes."""
    if encoding == "png":
        batch = max(1, _BATCH_BYTES // pictures[0].size) if pictures else 1
        for start in range(0, len(pictures), batch):
            yield from encode_pngs(pictures[start : start + batch])
        return
    for pixels in pictures:
        if encoding == "jpeg":
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=jpeg_quality)
            yield file.getvalue()
        else:
            yield pixels.tobytes() if pixels.ndim == 2 else pixels[:, :, ::-1].transpose(2, 0, 1).tobytes()


def encode_pngs(pictures: list[NDArray[np.uint8]]) -> list[bytes]:
    """Pictures of one size, (H, W) grey or (H, W, 3) RGB, as PNG files."""
    height, width = pictures[0].shape[:2]
    channels = 3 if pictures[0].ndim == 3 else 1
    header = struct.pack(">2I5B", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    start = _SIGNATURE + _chunk(b"IHDR", header)
    rows = _filtered(np.stack(pictures).reshape(-1, height, width * channels), channels)
    return [b"".join((start, _chunk(b"IDAT", _deflate(picture.tobytes())), _END)) for picture in rows]


def _filtered(lines: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """(N, H, W + 1) rows with their filter byte: each byte less its left neighbour (Sub) unless plain ones are less."""
    count, height, width = lines.shape
    rows = np.empty((count, height, width + 1), np.uint8)
    rows[:, :, 0] = _SUB
    rows[:, :, 1 : 1 + channels] = lines[:, :, :channels]
    np.subtract(lines[:, :, channels:], lines[:, :, :-channels], out=rows[:, :, 1 + channels :])
    every = max(1, height // 8)  # a few rows tell
    plain = np.flatnonzero(_size_guess(lines[:, ::every]) < _size_guess(rows[:, ::every, 1:]))
    rows[plain, :, 0] = _NO_FILTER
    rows[plain, :, 1:] = lines[plain]
    return rows


def _size_guess(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Sum of the bytes' distances from zero for each picture, as libpng's heuristic takes it."""
    return np.asarray(np.minimum(data, -data).sum(axis=(1, 2), dtype=np.uint32))


def _deflate(data: bytes) -> bytes:
    if _isal_compress is not None:
        return _isal_compress(data, 1)
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return packer.compress(data) + packer.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


def datum(data: bytes, encoding: Encoding, shape: tuple[int, ...], label: int) -> bytes:
    """A serialized Datum (`app/topology/caffe.proto`). `shape` is (H, W) or (H, W, C).

    Written here because importing protobuf takes a seventh of the time in which a process starts.
    """
    channels = shape[2] if len(shape) == 3 else 1
    start = b"".join((b"\x08", _varint(channels), b"\x10", _varint(shape[0]), b"\x18", _varint(shape[1])))
    encoded = b"\x38\x00" if encoding == "raw" else b"\x38\x01"
    return b"".join((start, b"\x22", _varint(len(data)), data, b"\x28", _varint(label), encoded))


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first, the highest bit set in all but the last; `value` is not negative."""
    if value < 0x80:
        return _BYTES[value]
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))
