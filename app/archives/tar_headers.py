"""Reads the headers of a tar archive, plain or compressed, into a `PictureTable`.

`tarfile` parses the headers; it is given a file that only goes forwards and refuses to read large headers, because its
own loops trust sizes (CVE-2025-8194) and its header reads are unbounded. Offsets in the table are those of the
uncompressed tar.
"""

from __future__ import annotations

import errno
import tarfile
from collections.abc import Iterator
from typing import Protocol

from app.archives.errors import ArchiveError, shown
from app.archives.limits import MAX_TAR_HEADER_BYTES
from app.archives.methods import STORED_RAW
from app.archives.names import guess_encoding
from app.archives.table import PictureTable

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class ForwardFile(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> int: ...
    def tell(self) -> int: ...


class _Guarded:
    """What tarfile reads from: forwards only, no large reads, and the last block is remembered."""

    def __init__(self, file: ForwardFile) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > MAX_TAR_HEADER_BYTES:
            raise ArchiveError(f"Refused: a header in the archive says that it is {size:,} bytes long.")
        self.last = self._file.read(size)
        return self.last

    def seek(self, position: int) -> int:
        if position < self._file.tell():
            raise OSError("an entry has a negative size")
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def read_tar(file: ForwardFile) -> PictureTable:
    """The pictures of a tar archive; raises ArchiveError for damaged and hostile ones."""
    table = PictureTable()
    undecoded: list[tuple[str, int, int]] = []
    for entry in _headers(file):
        if entry.issym() or entry.islnk():
            raise ArchiveError(
                f"Refused: the entry {shown(entry.name)} is a link (to {shown(entry.linkname)}); "
                "only files and folders are taken."
            )
        if entry.ischr() or entry.isblk() or entry.isfifo():
            raise ArchiveError(f"Refused: the entry {shown(entry.name)} is a device or a pipe.")
        if entry.isdir():
            table.add_folder(entry.name)
        elif not entry.isreg() or entry.issparse():
            table.count_entry(entry.name)
            table.skip("a kind of entry that is not supported")
        elif entry.name.isascii() or not _has_raw_bytes(entry.name):
            table.add(entry.name, entry.offset_data, entry.size, entry.size, STORED_RAW)
        else:
            undecoded.append((entry.name, entry.offset_data, entry.size))
    _add_undecoded(table, undecoded)
    table.keep_last_of_same_name()
    return table


def _headers(file: ForwardFile) -> Iterator[tarfile.TarInfo]:
    guarded = _Guarded(file)
    try:
        tar = tarfile.TarFile(fileobj=guarded, mode="r", encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
        while (entry := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # otherwise every header is kept
            if entry.size < 0:
                raise tarfile.ReadError(f"the entry {shown(entry.name)} has a negative size")
            yield entry
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_FAULTS:  # not the archive's
            raise
        raise ArchiveError(f"The tar archive is damaged or incomplete: {error}.") from None
    if guarded.last.strip(b"\0"):  # tarfile takes a damaged header for the end, which is a block of zeros
        raise ArchiveError(
            f"The tar archive is damaged: at byte {guarded.tell() - 512:,} there is no header of an entry."
        )


def _has_raw_bytes(name: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in name)


def _add_undecoded(table: PictureTable, undecoded: list[tuple[str, int, int]]) -> None:
    raw_names = [name.encode("utf-8", "surrogateescape") for name, _, _ in undecoded]
    encoding = guess_encoding(raw_names)
    for raw, (_, offset, size) in zip(raw_names, undecoded, strict=True):
        table.add(raw.decode(encoding, "replace"), offset, size, size, STORED_RAW)
