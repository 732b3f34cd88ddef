"""Writes one split as an LMDB that Caffe reads: keys %08d in order, values serialized Datums.

The map grows by itself; what was not committed when it was full is written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import lmdb

_FIRST_MAP_BYTES = 64 * 1024 * 1024
_BATCH_BYTES = 8 * 1024 * 1024
_FREE_BYTES = 1024 * 1024


class LmdbWriter:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._batch: list[tuple[bytes, bytes]] = []
        self._batch_bytes = 0
        self.count = 0
        # It is flushed to the disk once, when it is closed; until then it lies in a folder that nobody reads.
        with self._full_disk_as_such():
            self._env = lmdb.open(
                str(folder), map_size=_FIRST_MAP_BYTES, sync=False, metasync=False, max_dbs=0, readahead=False
            )

    def append(self, values: list[bytes]) -> None:
        self._batch += [(b"%08d" % number, value) for number, value in enumerate(values, start=self.count)]
        self.count += len(values)
        self._batch_bytes += sum(map(len, values))
        if self._batch_bytes >= _BATCH_BYTES:
            self._commit()

    def finish(self) -> None:
        """Commits what is left; `flush` brings it to the disk when the writer is closed."""
        self._commit()

    def __enter__(self) -> LmdbWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._env.close()

    def _commit(self) -> None:
        while self._batch:
            try:
                with self._full_disk_as_such(), self._env.begin(write=True) as transaction:
                    transaction.cursor().putmulti(self._batch, append=True)
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * 2)
            else:
                self._batch, self._batch_bytes = [], 0

    @contextmanager
    def _full_disk_as_such(self) -> Iterator[None]:
        """LMDB reports a disk that fills up in mid-write as an I/O error; asking for the room tells them apart."""
        try:
            yield
        except lmdb.MapFullError:
            raise
        except lmdb.Error:
            data = self._folder / "data.mdb"
            with data.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, data.stat().st_size + self._batch_bytes + _FREE_BYTES)
            raise


def flush(folder: Path) -> None:
    """Waits until the LMDB in `folder`, which nobody has open, is on the disk."""
    descriptor = os.open(folder / "data.mdb", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
