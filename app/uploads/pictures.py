"""A few real pictures of an upload, for guesses and previews: spread over it and read within bounds.

Reading archives is in `app/archives`; decoding is in `app/imaging`.
"""

from __future__ import annotations

import io
import math
import os
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from app.archives.contents import read_table
from app.archives.datums import LOOKED_AT_BYTES, pictures_in
from app.archives.entries import entry_start
from app.archives.errors import ArchiveError
from app.archives.extractors import extracted
from app.archives.kind import Kind
from app.archives.paths import listed, skip_reason
from app.archives.reading import DamagedEntry, read_picture
from app.archives.server_folder import files_below
from app.archives.streams import Unpacked, decompressed
from app.archives.table import PictureTable

MAX_IMAGES = 300_000  # beyond that, reading the table of contents would make a page wait
MAX_PICTURE_BYTES = 20_000_000
MAX_MEMBERS = 400
LOOKED_AT = 24
MAX_BYTES_KEPT = 24_000_000  # of one upload
UNREADABLE = (ArchiveError, OSError, ValueError, tarfile.TarError, EOFError)


@dataclass(frozen=True)
class FoundPicture:
    path: str  # as the lists of a dataset hold it
    data: bytes


def some_pictures(archive: Path, kind: str, count: int, within: str = "") -> Iterator[FoundPicture]:
    """Of what lies below the folder `within`: spread over the archive where it can be read in any order, else its first
    ones. Raises one of UNREADABLE."""
    top = f"{within}/" if within else ""
    if kind == Kind.FOLDER:
        return _first_of_folder(archive, count, top)
    if kind in (Kind.ZIP, Kind.TAR):
        return _spread(archive, Kind(kind), count, top)
    return _first_of_stream(archive, Kind(kind), count, top)


@lru_cache(maxsize=4)
def unlike_pictures(
    archive: Path, kind: str, _version: str, count: int = 5, within: str = ""
) -> tuple[FoundPicture, ...]:
    """Up to `count` pictures below the folder `within`, as unlike in shape as may be; none when nothing can be read.

    `_version` changes with the content: what was read is kept in memory, at most MAX_BYTES_KEPT.
    """
    found: list[tuple[float, FoundPicture]] = []
    try:
        for picture in some_pictures(archive, kind, LOOKED_AT, within):
            shape = _shape(picture.data)
            if shape is not None:
                found.append((shape, picture))
    except UNREADABLE:
        pass  # what was found until then is shown
    spread = [entry for start in range(count) for entry in found[start::count]]  # neighbours are of one class
    chosen: list[tuple[float, FoundPicture]] = []
    room = MAX_BYTES_KEPT
    while len(chosen) < count:
        rest = [entry for entry in spread if entry not in chosen and len(entry[1].data) <= room]
        if not rest:
            break
        best = max(rest, key=lambda entry: min((round(abs(entry[0] - shape), 1) for shape, _ in chosen), default=0))
        chosen.append(best)
        room -= len(best[1].data)
    return tuple(picture for _, picture in sorted(chosen, key=lambda entry: -entry[0]))


def _shape(data: bytes) -> float | None:
    """Positive for wide pictures, negative for high ones; None for what is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
        return math.log2(width / height)
    except (OSError, ValueError, SyntaxError, ArithmeticError):
        return None


def _spread(archive: Path, kind: Kind, count: int, top: str) -> Iterator[FoundPicture]:
    table = read_table(archive, kind)
    descriptor = os.open(archive, os.O_RDONLY)
    try:
        for row in _rows(table, count, top):
            if table.size[row] > MAX_PICTURE_BYTES:
                continue
            place = (table.offset[row], table.packed[row], table.size[row], table.method[row], table.checksum[row])
            try:
                yield FoundPicture(table.path(row), read_picture(descriptor, *place))
            except DamagedEntry:
                continue
        if len(table) == 0:
            yield from _of_databases(descriptor, table, count)
    finally:
        os.close(descriptor)


def _of_databases(descriptor: int, table: PictureTable, count: int) -> Iterator[FoundPicture]:
    """The first pictures of the archive's first LMDB."""
    for database in table.databases[:1]:
        with suppress(DamagedEntry):
            start = entry_start(descriptor, LOOKED_AT_BYTES, *database.entry)
            yield from _of_database(database.path, start, count)


def _of_database(path: str, start: bytes, count: int) -> Iterator[FoundPicture]:
    for number, data in enumerate(islice(pictures_in(start), count)):
        yield FoundPicture(f"{path.rpartition('/')[0] or '.'}/{number:08d}", data)


def _rows(table: PictureTable, count: int, top: str) -> list[int]:
    is_inside = np.array([folder.prefix.startswith(top) for folder in table.folders], bool)
    rows = np.flatnonzero(is_inside[np.frombuffer(table.folder, np.uint32)])
    return [int(row) for row in rows[:: max(1, len(rows) // count)][:count]]


def _first_of_folder(folder: Path, count: int, top: str) -> Iterator[FoundPicture]:
    found, database = 0, ""
    for visited, (name, size) in enumerate(files_below(os.fsencode(folder / top), PictureTable())):
        if found >= count or visited >= MAX_MEMBERS:
            break
        path = top + os.fsdecode(name)
        database = database or (path if path.rpartition("/")[2] == "data.mdb" else "")
        if size <= MAX_PICTURE_BYTES and skip_reason(path.rpartition("/")[2]) is None:
            found += 1
            yield FoundPicture(listed(path), (folder / path).read_bytes())
    if database and not found:
        with (folder / database).open("rb") as file:
            yield from _of_database(listed(database), file.read(LOOKED_AT_BYTES), count)


def _first_of_stream(archive: Path, kind: Kind, count: int, top: str) -> Iterator[FoundPicture]:
    found = 0
    with archive.open("rb") as file:
        is_foreign = kind in (Kind.SEVEN_ZIP, Kind.RAR)
        pieces = extracted(archive, kind.value) if is_foreign else decompressed(file, kind.value)
        stream = Unpacked(pieces, archive.stat().st_size)
        with closing(pieces), tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
            for visited, member in enumerate(tar):
                if found >= count or visited >= MAX_MEMBERS or member.size > MAX_PICTURE_BYTES:
                    return
                path = listed(member.name.removeprefix("./"))
                if not (member.isfile() and path.startswith(top)) or skip_reason(PurePosixPath(path).name) is not None:
                    continue
                member_file = tar.extractfile(member)
                if member_file is not None:
                    found += 1
                    yield FoundPicture(path, member_file.read())
