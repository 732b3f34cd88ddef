"""Writes zip files byte by byte, so that tests can make what no archiver would."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UTF8_FLAG = 0x800


@dataclass(frozen=True)
class RawEntry:
    name: bytes
    data: bytes = b"x"
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    extra: bytes = b""
    stated_size: int | None = None
    stated_packed: int | None = None
    stated_checksum: int | None = None
    offset: int | None = None  # points elsewhere than to its own local header
    local_signature: bytes = b"PK\x03\x04"


def raw_zip(path: Path, entries: Sequence[RawEntry], prefix: bytes = b"", comment: bytes = b"") -> Path:
    body = bytearray(prefix)
    directory = bytearray()
    for entry in entries:
        packed = _packed(entry)
        checksum = zlib.crc32(entry.data) if entry.stated_checksum is None else entry.stated_checksum
        size = len(entry.data) if entry.stated_size is None else entry.stated_size
        packed_size = len(packed) if entry.stated_packed is None else entry.stated_packed
        offset = len(body) - len(prefix) if entry.offset is None else entry.offset
        common = struct.pack("<3H2H3L", 20, entry.flags, entry.method, 0, 0x21, checksum, packed_size, size)
        body += entry.local_signature + common + struct.pack("<2H", len(entry.name), 0) + entry.name + packed
        directory += b"PK\x01\x02" + struct.pack("<H", 0x314) + common
        directory += struct.pack("<5H2L", len(entry.name), len(entry.extra), 0, 0, 0, entry.mode << 16, offset)
        directory += entry.name + entry.extra
    start = len(body) - len(prefix)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), start, len(comment))
    path.write_bytes(bytes(body + directory) + end + comment)
    return path


def _packed(entry: RawEntry) -> bytes:
    if entry.method != 8:
        return entry.data
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(entry.data) + packer.flush()


def classes(*extra: RawEntry) -> list[RawEntry]:
    """Two ordinary classes, and `extra` behind them."""
    return [RawEntry(b"cats/1.png"), RawEntry(b"cats/2.png"), RawEntry(b"dogs/1.png"), *extra]
