"""An archive opened for reading its pictures in any order, in constant memory.

Zip and plain tar files are read where they lie. Compressed tars cannot be read in any order, so they are unpacked once,
counted and bounded, into one plain tar in a folder of the caller's. `read_picture` needs only numbers, so that other
processes can read the same file.
"""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import uuid
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.archives.contents import Contents, describe, read_table
from app.archives.kind import Kind, archive_kind
from app.archives.limits import MAX_XZ_MEMORY
from app.archives.streams import Unpacked
from app.archives.table import PictureTable
from app.archives.tar_headers import STORED_RAW
from app.archives.zip_directory import BZIP2, DEFLATED, LZMA, STORED

_LOCAL_HEADER_BYTES = 30
_NAME_GUESS_BYTES = 160


ENTRY = np.dtype([("offset", "u8"), ("packed", "u8"), ("size", "u8"), ("method", "u1"), ("checksum", "u4")])


class DamagedEntry(Exception):
    """One entry cannot be read; the others may be fine. The text is the reason."""


@dataclass(frozen=True)
class Archive:
    """Rows are pictures inside class folders. `data_path` is the file that offsets refer to."""

    data_path: Path
    contents: Contents
    table: PictureTable
    label: NDArray[np.int32]  # (pictures,) class of each row of the table, -1 outside of every class

    def all_rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.table))

    def column(self, name: str) -> NDArray[Any]:
        """A column of the table (offset, packed, size, method, checksum) as an array."""
        values = getattr(self.table, name)
        return np.frombuffer(values, values.typecode)

    def entries(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """What `read_picture` needs of `rows`, as an array of `ENTRY`."""
        entries = np.empty(len(rows), ENTRY)
        for name in ENTRY.names or ():
            entries[name] = self.column(name)[rows]
        return entries


@dataclass(frozen=True)
class OpenTable:
    """A checked archive, open for reading; several `Archive`s may be views of it."""

    kind: Kind
    table: PictureTable
    data_path: Path

    def view(self, within: str = "") -> Archive:
        """The pictures in class folders below the folder `within`."""
        contents, found = describe(self.kind, self.table, within)
        class_of = np.asarray(found.class_of, np.int32)
        return Archive(self.data_path, contents, self.table, class_of[np.frombuffer(self.table.folder, np.uint32)])


@contextmanager
def open_table(path: Path, filename: str, spool_dir: Path) -> Iterator[OpenTable]:
    """Opens and checks an archive; a compressed tar is unpacked into `spool_dir` for as long as it is open."""
    kind = archive_kind(path, filename)
    with ExitStack() as stack:
        data_path = path
        if kind in (Kind.ZIP, Kind.TAR):
            table = read_table(path, kind)
        else:
            data_path = spool_dir / f"unpacked-{uuid.uuid4().hex[:8]}.tar"
            stack.callback(data_path.unlink, missing_ok=True)
            spool_file = stack.enter_context(data_path.open("wb"))

            def spool(stream: Unpacked) -> None:
                stream.tee = spool_file

            table = read_table(path, kind, spool)
            spool_file.flush()
        yield OpenTable(kind, table, data_path)


@contextmanager
def open_archive(path: Path, filename: str, spool_dir: Path, within: str = "") -> Iterator[Archive]:
    """The pictures of an archive, as `open_table` opens it."""
    with open_table(path, filename, spool_dir) as opened:
        yield opened.view(within)


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
