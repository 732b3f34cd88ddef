"""An archive opened for reading its pictures in any order, in constant memory.

Zip and plain tar files are read where they lie. Compressed tars cannot be read in any order, so they are unpacked once,
counted and bounded, into one plain tar in a folder of the caller's. Entries are read by their numbers alone
(`entries.py`), so that other processes can read the same file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.archives.contents import Contents, describe, read_table
from app.archives.entries import DamagedEntry, copy_entry, read_picture
from app.archives.kind import Kind, archive_kind
from app.archives.lists import MAX_LIST_BYTES
from app.archives.server_folder import read_folder
from app.archives.streams import Unpacked
from app.archives.table import PictureTable

__all__ = ["ENTRY", "Archive", "DamagedEntry", "OpenTable", "open_archive", "open_table", "read_picture"]

ENTRY = np.dtype([("offset", "u8"), ("packed", "u8"), ("size", "u8"), ("method", "u1"), ("checksum", "u4")])


@dataclass(frozen=True)
class Archive:
    """Rows are pictures inside class folders. `data_path` is the file that offsets refer to."""

    data_path: Path
    contents: Contents
    table: PictureTable
    names_on_disk: dict[int, bytes] | None  # of a folder: those of rows whose listed path is not the real one
    label: NDArray[np.int32]  # (pictures,) class of each row of the table, -1 outside of every class

    def all_rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.table))

    def path_on_disk(self, row: int) -> bytes | None:
        """Where the picture lies below a folder on the server; None in an archive."""
        if self.names_on_disk is None:
            return None
        return self.names_on_disk.get(row) or self.table.path_bytes(row)

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
    names_on_disk: dict[int, bytes] | None = None

    def text(self, path: str) -> bytes | None:
        """A text file of the archive; None when there is none with this path."""
        for text in self.table.texts:
            if text.path == path and text.entry[2] <= MAX_LIST_BYTES:
                if self.kind is Kind.FOLDER:
                    return (self.data_path / path).read_bytes()
                with self.data_path.open("rb") as file:
                    return read_picture(file.fileno(), *text.entry)
        return None

    def copy_database(self, folder: str, out: BinaryIO) -> bool:
        """Writes the data.mdb of an LMDB in the archive to `out`; False when there is none in `folder`."""
        for database in self.table.databases:
            if (database.path.rpartition("/")[0] or ".") == folder:
                with self.data_path.open("rb") as file:
                    copy_entry(file.fileno(), out, *database.entry)
                return True
        return False

    def view_databases(self) -> tuple[str, ...]:
        """The folders of the archive that are LMDBs."""
        return tuple(database.path.rpartition("/")[0] or "." for database in self.table.databases)

    def everything(self) -> Archive:
        """All pictures, in class folders or not, without labels."""
        contents, _ = describe(self.kind, self.table, needs_classes=False)
        return self._archive(contents, np.full(len(self.table), -1, np.int32))

    def view(self, within: str = "") -> Archive:
        """The pictures in class folders below the folder `within`."""
        contents, found = describe(self.kind, self.table, within)
        class_of = np.asarray(found.class_of, np.int32)
        return self._archive(contents, class_of[np.frombuffer(self.table.folder, np.uint32)])

    def _archive(self, contents: Contents, label: NDArray[np.int32]) -> Archive:
        return Archive(self.data_path, contents, self.table, self.names_on_disk, label)


@contextmanager
def open_table(path: Path, filename: str, spool_dir: Path) -> Iterator[OpenTable]:
    """Opens and checks an archive or a folder; a compressed tar is unpacked into `spool_dir` while it is open."""
    kind = archive_kind(path, filename)
    if kind is Kind.FOLDER:
        table, names_on_disk = read_folder(path)
        yield OpenTable(kind, table, path, names_on_disk)
        return
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
