"""Pictures in the first bytes of a Caffe LMDB, found by the form of their records alone: for guesses and previews.

LMDB's own code trusts its file and is never run here; the build reads the database for real, in a process of its own.
What is not found, or found wrongly, costs a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from PIL import Image

LOOKED_AT_BYTES = 4 * 1024 * 1024
MAX_SIDE = 4096
_NUMBER = rb"([\x80-\xff]{0,3}[\x00-\x7f])"
# A Datum's fields in order: channels 1, height 2, width 3 (varints), data 4 (length and bytes).
_HEADED = rb"\x08([\x01\x03])\x10" + _NUMBER + rb"\x18" + _NUMBER + rb"\x22" + _NUMBER
_BARE = rb"\x22" + _NUMBER + rb"(?=\x89PNG\r\n|\xff\xd8\xff)"
_DATUM = re.compile(_HEADED + rb"|" + _BARE, re.DOTALL)
_SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff")


def pictures_in(start: bytes) -> Iterator[bytes]:
    """The pictures as image files, raw pixels as PPM or PGM, in the order of their bytes."""
    at = 0
    while (match := _DATUM.search(start, at)) is not None:
        channels, height, width, headed, bare = match.groups()
        length = _varint(headed or bare)
        data = start[match.end() : match.end() + length]
        picture = _picture(data, length, channels, height, width)
        at = match.end() + length if picture else match.start() + 1
        if picture:
            yield picture


def _picture(data: bytes, length: int, channels: bytes | None, height: bytes, width: bytes) -> bytes | None:
    if len(data) < length:
        return None
    if data.startswith(_SIGNATURES):
        return data
    if channels is None:
        return None
    size = (_varint(width), _varint(height))
    if not (0 < size[0] <= MAX_SIDE and 0 < size[1] <= MAX_SIDE and size[0] * size[1] * channels[0] == length):
        return None
    if channels[0] == 1:
        return b"P5 %d %d 255\n" % size + data
    planes = [Image.frombytes("L", size, data[length // 3 * plane : length // 3 * (plane + 1)]) for plane in (2, 1, 0)]
    return b"P6 %d %d 255\n" % size + Image.merge("RGB", planes).tobytes()  # from BGR


def _varint(text: bytes) -> int:
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(text))
