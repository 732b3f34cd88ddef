"""Reads one entry of an archive by its numbers alone: never more than the table of contents says, and checked.

Nothing here looks for entries; `zip_directory.py` and `tar_headers.py` do.
"""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import zlib
from typing import BinaryIO

from app.archives.limits import MAX_XZ_MEMORY
from app.archives.methods import BZIP2, DEFLATED, LZMA, STORED, STORED_RAW

_LOCAL_HEADER_BYTES = 30
_NAME_GUESS_BYTES = 160
_PIECE_BYTES = 1024 * 1024


class DamagedEntry(Exception):
    """One entry cannot be read; the others may be fine. The text is the reason."""


def read_picture(descriptor: int, offset: int, packed: int, size: int, method: int, checksum: int) -> bytes:
    """The bytes of one entry, from an open file; raises DamagedEntry when they are not what the table says."""
    if method == STORED_RAW:
        data = os.pread(descriptor, size, offset)
        if len(data) != size:
            raise DamagedEntry("cut off in the archive")
        return data
    block = os.pread(descriptor, _LOCAL_HEADER_BYTES + _NAME_GUESS_BYTES + packed, offset)
    if len(block) < _LOCAL_HEADER_BYTES or block[:4] != b"PK\x03\x04":
        raise DamagedEntry("damaged in the archive (no local header)")
    name_length, extra_length = struct.unpack_from("<2H", block, 26)
    start = _LOCAL_HEADER_BYTES + name_length + extra_length
    raw = block[start : start + packed]
    if len(raw) < packed:
        raw = os.pread(descriptor, packed, offset + start)
    return _unpack(raw, packed, size, method, checksum)


def entry_start(descriptor: int, most: int, offset: int, packed: int, size: int, method: int, _checksum: int) -> bytes:
    """Up to `most` bytes from the start of an entry, unchecked; empty when it is packed in an unusual way."""
    start = offset if method == STORED_RAW else _data_start(descriptor, offset)
    raw = os.pread(descriptor, min(packed, most), start)
    if method in (STORED_RAW, STORED):
        return raw
    try:
        return zlib.decompressobj(-15).decompress(raw, min(size, most)) if method == DEFLATED else b""
    except zlib.error as error:
        raise DamagedEntry(f"damaged in the archive ({error})") from None


def read_file(root: int, path: bytes, size: int) -> bytes:
    """The picture at `path` below the open folder `root`, up to one byte more than it had when it was listed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=root)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(size + 1)


def copy_entry(descriptor: int, out: BinaryIO, offset: int, packed: int, size: int, method: int, checksum: int) -> None:
    """Writes one entry to `out` piece by piece, for files that are too large for memory; raises DamagedEntry."""
    start = offset if method == STORED_RAW else _data_start(descriptor, offset)
    if method not in (STORED_RAW, STORED, DEFLATED):
        raise DamagedEntry("packed in a way that is not supported for large files")
    inflater = zlib.decompressobj(-15) if method == DEFLATED else None
    written = crc = done = 0
    try:
        while done < packed:
            data = os.pread(descriptor, min(_PIECE_BYTES, packed - done), start + done)
            if not data:
                raise DamagedEntry("cut off in the archive")
            done += len(data)
            while data:
                piece = inflater.decompress(data, _PIECE_BYTES) if inflater else data
                data = inflater.unconsumed_tail if inflater else b""
                written, crc = written + len(piece), zlib.crc32(piece, crc)
                if written > size:
                    raise DamagedEntry(f"damaged in the archive (unpacks to more than the stated {size:,} bytes)")
                out.write(piece)
    except zlib.error as error:
        raise DamagedEntry(f"damaged in the archive ({error})") from None
    if written != size or (method != STORED_RAW and crc != checksum):
        raise DamagedEntry("damaged in the archive (wrong size or checksum)")


def _data_start(descriptor: int, offset: int) -> int:
    """Where the data of a zip's entry begins, behind its local header."""
    header = os.pread(descriptor, _LOCAL_HEADER_BYTES, offset)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise DamagedEntry("damaged in the archive (no local header)")
    lengths: tuple[int, int] = struct.unpack_from("<2H", header, 26)
    return offset + _LOCAL_HEADER_BYTES + sum(lengths)


def _unpack(raw: bytes, packed: int, size: int, method: int, checksum: int) -> bytes:
    if len(raw) != packed:
        raise DamagedEntry("cut off in the archive")
    if method == STORED:
        data = raw
    else:
        try:
            data = _inflate(raw, size, method)
        except (zlib.error, OSError, EOFError, lzma.LZMAError, struct.error) as error:
            raise DamagedEntry(f"damaged in the archive ({error})") from None
    if len(data) != size:
        raise DamagedEntry(f"damaged in the archive (unpacks to more or less than the stated {size:,} bytes)")
    if zlib.crc32(data) != checksum:
        raise DamagedEntry("damaged in the archive (wrong checksum)")
    return data


def _inflate(raw: bytes, size: int, method: int) -> bytes:
    """At most size + 1 bytes, whatever the header says."""
    if method == DEFLATED:
        return zlib.decompressobj(-15).decompress(raw, size + 1)
    if method == BZIP2:
        return bz2.BZ2Decompressor().decompress(raw, size + 1)
    if method == LZMA:
        (properties_size,) = struct.unpack_from("<H", raw, 2)
        properties = raw[4 : 4 + properties_size]
        lc_lp_pb, dictionary = struct.unpack("<BL", properties)
        if dictionary > MAX_XZ_MEMORY:
            raise DamagedEntry("needs too much memory to unpack")
        rest, lc = divmod(lc_lp_pb, 9)
        pb, lp = divmod(rest, 5)
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        return decompressor.decompress(raw[4 + properties_size :], size + 1)
    raise DamagedEntry(f"packed by method {method}, which is not supported")
