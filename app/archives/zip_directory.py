"""Reads the central directory of a zip file into a `PictureTable`, and refuses what no archiver writes.

Written by hand because `zipfile` keeps 600 bytes per entry (600 MB for a million), guesses names wrongly, and does not
look for overlapping entries. Field names and numbers are PKWARE's APPNOTE 6.3. Reading entries is in `reading.py`.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, NamedTuple

import numpy as np

from app.archives.errors import ArchiveError, shown
from app.archives.limits import MAX_DIRECTORY_BYTES, MAX_ENTRIES
from app.archives.methods import BZIP2, DEFLATED, LZMA, STORED
from app.archives.names import guess_encoding
from app.archives.table import PictureTable

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<8x2H4x3L3H4x2L")

_METHOD_NAMES = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd", 99: "AES encryption"}
_ODD_KINDS = {stat.S_IFLNK: "a link", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_ODD_KINDS |= {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True)
class Directory:
    """Where the central directory lies; `shift` is added to every offset (data in front of the archive)."""

    data: bytes
    start: int
    entries: int
    shift: int

    @cached_property
    def encoding(self) -> str:
        """The codec of names whose entries do not declare one."""
        return guess_encoding(entry.raw_name for entry in _entries(self, only_undeclared=True))


class _Entry(NamedTuple):
    raw_name: bytes
    name: str | None  # None: non-ASCII bytes without a declared encoding
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int
    mode: int


def read_zip(file: BinaryIO) -> PictureTable:
    """The pictures of a zip file; raises ArchiveError for damaged and hostile ones."""
    directory = find_directory(file)
    table = PictureTable()
    starts, ends = array("Q"), array("Q")
    for entry in _entries(directory):
        name = _decoded(entry, directory)
        _refuse_hostile(entry, name)
        start = entry.offset + directory.shift
        starts.append(start)
        ends.append(start + 30 + len(entry.raw_name) + entry.packed)
        if name.endswith("/"):
            table.add_folder(name)
        elif entry.method in (STORED, DEFLATED, BZIP2, LZMA):
            table.add(name, start, entry.packed, entry.size, entry.method, entry.checksum)
        else:
            table.count_entry(name)
            table.skip(f"packed by {_METHOD_NAMES.get(entry.method, f'method {entry.method}')}, which is not supported")
    _refuse_overlaps(directory, starts, ends)
    table.keep_last_of_same_name()
    return table


def find_directory(file: BinaryIO) -> Directory:
    file_size = file.seek(0, os.SEEK_END)
    tail_start = max(0, file_size - 65_557 - 76)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise ArchiveError(
            "The zip file is incomplete: its table of contents, which is at the end, is missing. Upload it again."
        )
    end_at = tail_start + at
    _, disk, _, _, entries, size, offset, _ = _END.unpack_from(tail, at)
    if 0xFFFF in (disk, entries) or 0xFFFFFFFF in (size, offset):
        found = _find_directory64(file, end_at)
        if found is not None:
            end_at, disk, entries, size, offset = found
    if disk not in (0, 0xFFFF):
        raise ArchiveError("The zip file is one part of several; join the parts first.")
    if entries > MAX_ENTRIES:
        raise ArchiveError(f"Refused: the zip file says that it has {entries:,} entries; at most {MAX_ENTRIES:,}.")
    if size > MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"Refused: the zip file's table of contents takes {size:,} bytes.")
    start = end_at - size
    if start < 0 or offset > start:
        raise ArchiveError("The zip file is damaged: its table of contents does not lie where the file says.")
    file.seek(start)
    return Directory(file.read(size), start, entries, start - offset)


def _find_directory64(file: BinaryIO, end_at: int) -> tuple[int, int, int, int, int] | None:
    """(position, disk, entries, size, offset) of the zip64 end record; None when there is none."""
    if end_at < _LOCATOR64.size:
        return None
    file.seek(end_at - _LOCATOR64.size)
    signature, _, position, _ = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
    if signature != b"PK\x06\x07":
        return None
    # With data in front of the archive the stated position is off; the record itself lies right before its locator.
    for at in (position, end_at - _LOCATOR64.size - _END64.size):
        if not 0 <= at <= end_at - _LOCATOR64.size - _END64.size:
            continue
        file.seek(at)
        record = file.read(_END64.size)
        if len(record) == _END64.size and record[:4] == b"PK\x06\x06":
            _, _, _, _, disk, _, _, entries, size, offset = _END64.unpack(record)
            return at, disk, entries, size, offset
    raise ArchiveError("The zip file is damaged: its zip64 end record is missing.")


def _entries(directory: Directory, only_undeclared: bool = False) -> Iterator[_Entry]:
    """Every entry in order; with `only_undeclared`, only those whose name needs a guess."""
    data, at, count = directory.data, 0, 0
    unpack, length = _CENTRAL.unpack_from, len(directory.data)
    while at + 46 <= length and data[at : at + 4] == b"PK\x01\x02":
        (flags, method, checksum, packed, size, name_length, extra_length, comment_length, external, offset) = unpack(
            data, at
        )
        raw_name = data[at + 46 : at + 46 + name_length]
        extra = data[at + 46 + name_length : at + 46 + name_length + extra_length] if extra_length else b""
        at += 46 + name_length + extra_length + comment_length
        count += 1
        if at > length:
            raise ArchiveError("The zip file is damaged: its table of contents ends in the middle of an entry.")
        name = _declared_name(raw_name, flags, extra)
        if only_undeclared and name is not None:
            continue
        if 0xFFFFFFFF in (packed, size, offset):
            size, packed, offset = _zip64_sizes(extra, size, packed, offset)
        yield _Entry(raw_name, name, flags, method, checksum, packed, size, offset, external >> 16)
    if count & 0xFFFF != directory.entries & 0xFFFF and not only_undeclared:
        raise ArchiveError(
            f"The zip file is damaged: it should have {directory.entries:,} entries, {count:,} can be read."
        )


def _declared_name(raw: bytes, flags: int, extra: bytes) -> str | None:
    if raw.isascii():
        return raw.decode("ascii")
    unicode_path = _extra_field(extra, 0x7075)
    if unicode_path is not None and len(unicode_path) > 5 and unicode_path[0] == 1:
        (checksum,) = struct.unpack_from("<L", unicode_path, 1)
        if checksum == zlib.crc32(raw):
            return unicode_path[5:].decode("utf-8", "replace")
    if flags & 0x800:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return None


def _decoded(entry: _Entry, directory: Directory) -> str:
    name = entry.name if entry.name is not None else entry.raw_name.decode(directory.encoding, "replace")
    # Archivers on Windows that predate .NET 4.6.1 wrote "\" between folders.
    return name.replace("\\", "/") if "\\" in name else name


def _extra_field(extra: bytes, wanted: int) -> bytes | None:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return None


def _zip64_sizes(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    field = _extra_field(extra, 0x0001) or b""
    values = list(struct.unpack_from(f"<{len(field) // 8}Q", field))
    found = []
    for value in (size, packed, offset):
        found.append(values.pop(0) if value == 0xFFFFFFFF and values else value)
    return found[0], found[1], found[2]


def _refuse_hostile(entry: _Entry, name: str) -> None:
    if entry.flags & 0x2041 or entry.method == 99:  # encrypted, strong encryption, masked directory
        raise ArchiveError(f"Refused: the entry {shown(name)} is encrypted. Pack the archive again without a password.")
    kind = _ODD_KINDS.get(stat.S_IFMT(entry.mode))
    if kind is not None:
        raise ArchiveError(f"Refused: the entry {shown(name)} is {kind}; only files and folders are taken.")


def _refuse_overlaps(directory: Directory, starts: array[int], ends: array[int]) -> None:
    """Entries that share bytes are how a 42 kB file unpacks to 5 GB (Fifield 2019)."""
    if not starts:
        return
    order = np.argsort(np.frombuffer(starts, np.uint64), kind="stable")
    first = np.frombuffer(starts, np.uint64)[order]
    last = np.frombuffer(ends, np.uint64)[order]
    limit = np.append(first[1:], np.uint64(directory.start))
    bad = np.flatnonzero(last > limit)
    if bad.size == 0:
        return
    row = int(order[bad[0]])
    entry = next(entry for index, entry in enumerate(_entries(directory)) if index == row)
    name = shown(_decoded(entry, directory))
    if bad[0] == len(order) - 1:
        raise ArchiveError(f"The zip file is damaged: the entry {name} reaches beyond the data of the file.")
    raise ArchiveError(f"Refused: the entry {name} overlaps the next one; no archiver writes that.")
