"""From pixels to what an LMDB value holds: PNG, JPEG or raw bytes inside Caffe's `Datum`.

PNG is written here rather than by Pillow, whose writer takes three times as long for a 28×28 picture: one deflate
stream of rows with one filter for the whole picture. The choice of filter and strategy is measured in
`benchmarks/datasets.py`.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.topology import caffe_pb2
from worker.datasets.spec import Encoding

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_NO_FILTER, _SUB = 0, 1


def encode(pixels: NDArray[np.uint8], encoding: Encoding, jpeg_quality: int) -> bytes:
    """`pixels` (H, W) grey or (H, W, 3) RGB as an image file, or as Caffe's raw (C, H, W) BGR bytes."""
    if encoding == "png":
        return encode_png(pixels)
    if encoding == "jpeg":
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=jpeg_quality)
        return file.getvalue()
    return pixels.tobytes() if pixels.ndim == 2 else pixels[:, :, ::-1].transpose(2, 0, 1).tobytes()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape[:2]
    channels = 3 if pixels.ndim == 3 else 1
    rows = np.empty((height, width * channels + 1), np.uint8)
    flat = pixels.reshape(height, width * channels)
    if channels == 1:
        rows[:, 0] = _NO_FILTER
        rows[:, 1:] = flat
    else:
        rows[:, 0] = _SUB
        rows[:, 1:4] = flat[:, :3]
        np.subtract(flat[:, 3:], flat[:, :-3], out=rows[:, 4:])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE if channels == 3 else zlib.Z_DEFAULT_STRATEGY)
    data = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">2I5B", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return b"".join((_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _END))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


def datum(data: bytes, encoding: Encoding, shape: tuple[int, ...], label: int) -> bytes:
    """A serialized Datum. `shape` is (H, W) or (H, W, C)."""
    return caffe_pb2.Datum(
        channels=shape[2] if len(shape) == 3 else 1,
        height=shape[0],
        width=shape[1],
        data=data,
        label=label,
        encoded=encoding != "raw",
    ).SerializeToString()
