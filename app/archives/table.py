"""The table of an archive's pictures, in columns, so that a million of them fit into about 80 MB.

Filled by the zip and tar readers entry by entry; the checks that every kind of archive shares happen in `add`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from app.archives.errors import ArchiveError, shown
from app.archives.limits import (
    BOMB_ENTRY_BYTES,
    BOMB_ENTRY_RATIO,
    MAX_ENTRIES,
    MAX_FOLDERS,
    MAX_NAMES_BYTES,
    MAX_PICTURE_BYTES,
)
from app.archives.lists import LIST_SUFFIXES
from app.archives.paths import SYSTEM_FILE, check_entry, is_junk_folder, listed, safe_folder, skip_reason

_MAX_REASONS = 30
_MAX_TEXTS = 100


@dataclass(frozen=True)
class OtherEntry:
    """A file that is no picture but of use: a list of labels, an LMDB. `entry` is what `read_picture` needs."""

    path: str
    entry: tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Folder:
    parts: tuple[str, ...]
    prefix: str  # of the paths inside, without "./" and doubled slashes
    is_junk: bool


@dataclass
class PictureTable:
    """Columns of equal length, one row per picture; `folder` indexes `folders`."""

    folders: list[Folder] = field(default_factory=list)
    folder: array[int] = field(default_factory=lambda: array("I"))
    offset: array[int] = field(default_factory=lambda: array("Q"))
    packed: array[int] = field(default_factory=lambda: array("Q"))
    size: array[int] = field(default_factory=lambda: array("Q"))
    method: array[int] = field(default_factory=lambda: array("B"))
    checksum: array[int] = field(default_factory=lambda: array("I"))  # CRC-32; 0 in a tar, which has none
    skipped: dict[str, int] = field(default_factory=dict)
    unpacked_bytes: int = 0
    entries: int = 0
    texts: list[OtherEntry] = field(default_factory=list)  # the first hundred
    databases: list[OtherEntry] = field(default_factory=list)  # data.mdb files, the first hundred
    _names: bytearray = field(default_factory=bytearray)
    _name_hashes: array[int] = field(default_factory=lambda: array("q"))
    _name_ends: array[int] = field(default_factory=lambda: array("Q"))
    _folder_ids: dict[str, int] = field(default_factory=dict)
    _folder_of: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offset)

    def add(self, path: str, offset: int, packed: int, size: int, method: int, checksum: int = 0) -> None:
        """Takes one file of the archive; raises ArchiveError when it makes the whole archive unfit."""
        self.count_entry(path)
        check_entry(path)
        self.unpacked_bytes += size
        if size > BOMB_ENTRY_BYTES and size > packed * BOMB_ENTRY_RATIO:
            raise ArchiveError(
                f"Refused: the entry {shown(path)} would grow from {packed:,} to {size:,} bytes; "
                f"at most {BOMB_ENTRY_RATIO} times is allowed."
            )
        folder_path, slash, name = path.rpartition("/")
        if not slash or not folder_path:  # the whole path is what could lead outside
            safe_folder(path, path)
        folder_id = self._folder_id(folder_path, path)
        if self.folders[folder_id].is_junk:
            return self.skip(SYSTEM_FILE)
        reason = skip_reason(name)
        if reason is None and size > MAX_PICTURE_BYTES:
            reason = f"larger than {MAX_PICTURE_BYTES // 2**20} MB"
        if reason is not None:
            if name.rpartition(".")[2].lower() in LIST_SUFFIXES and len(self.texts) < _MAX_TEXTS:
                self.texts.append(
                    OtherEntry(listed(self.folders[folder_id].prefix + name), (offset, packed, size, method, checksum))
                )
            if name == "data.mdb" and len(self.databases) < _MAX_TEXTS:
                self.databases.append(
                    OtherEntry(listed(self.folders[folder_id].prefix + name), (offset, packed, size, method, checksum))
                )
            return self.skip(reason)
        self.folder.append(folder_id)
        self.offset.append(offset)
        self.packed.append(packed)
        self.size.append(size)
        self.method.append(method)
        self.checksum.append(checksum)
        self._add_name(self.folders[folder_id].prefix + name)
        return None

    def add_folder(self, path: str) -> None:
        """Takes a folder entry: only its path is checked, empty folders are no classes."""
        self.count_entry(path)
        check_entry(path)
        safe_folder(path.rstrip("/") if path.strip("/") else path, path)

    def count_entry(self, path: str) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise ArchiveError(f"Refused: more than {MAX_ENTRIES:,} entries (at {shown(path)}).")

    def skip(self, reason: str) -> None:
        if reason not in self.skipped and len(self.skipped) >= _MAX_REASONS:
            reason = "not a picture"
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def path(self, row: int) -> str:
        """The path of a picture inside the archive, on one line."""
        return self.path_bytes(row).decode("utf-8")

    def path_bytes(self, row: int) -> bytes:
        start = self._name_ends[row - 1] if row else 0
        return bytes(self._names[start : self._name_ends[row]])

    def folder_counts(self) -> list[int]:
        """Pictures directly in each folder."""
        counts = np.bincount(np.frombuffer(self.folder, np.uint32), minlength=len(self.folders))
        return [int(count) for count in counts]

    def keep_last_of_same_name(self) -> None:
        """Drops all but the last of the pictures that share one path, as unpacking would."""
        hashes = np.frombuffer(self._name_hashes, np.int64)
        _, first_from_end = np.unique(hashes[::-1], return_index=True)
        if len(first_from_end) == len(self):
            return
        keep = np.zeros(len(self), bool)
        keep[len(self) - 1 - first_from_end] = True
        self.skipped["the same path twice (the last one counts)"] = int(len(self) - keep.sum())
        self._keep(keep)

    def _keep(self, keep: np.ndarray) -> None:
        rows = np.flatnonzero(keep)
        paths = [self.path(int(row)) for row in rows]
        for name in ("folder", "offset", "packed", "size", "method", "checksum"):
            column: array[int] = getattr(self, name)
            setattr(self, name, array(column.typecode, (column[row] for row in rows)))
        self._names, self._name_ends, self._name_hashes = bytearray(), array("Q"), array("q")
        for path in paths:
            self._add_name(path)

    def _add_name(self, path: str) -> None:
        name = (path if path.isascii() and path.isprintable() else listed(path)).encode()
        self._names += name
        if len(self._names) > MAX_NAMES_BYTES:
            raise ArchiveError(f"Refused: the names of the entries take more than {MAX_NAMES_BYTES:,} bytes.")
        self._name_ends.append(len(self._names))
        self._name_hashes.append(hash(name))

    def _folder_id(self, folder_path: str, entry: str) -> int:
        known = self._folder_ids.get(folder_path)
        if known is not None:
            return known
        parts = safe_folder(folder_path, entry)
        if parts not in self._folder_of:
            if len(self.folders) >= MAX_FOLDERS:
                raise ArchiveError(f"Refused: more than {MAX_FOLDERS:,} folders (at {shown(entry)}).")
            self._folder_of[parts] = len(self.folders)
            self.folders.append(Folder(parts, "".join(f"{part}/" for part in parts), is_junk_folder(parts)))
        self._folder_ids[folder_path] = self._folder_of[parts]
        return self._folder_of[parts]
