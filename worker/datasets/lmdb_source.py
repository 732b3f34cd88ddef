"""An existing Caffe LMDB as a source of pictures: its keys and labels, and its values as image files.

LMDB's own code trusts the file, so everything that opens one from outside happens in a picture process, where a crash
costs a message and nothing else. Writing LMDBs is in `lmdb_writer.py`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from app.archives import Contents, OpenTable
from app.archives.entries import DamagedEntry
from app.archives.kind import Kind
from app.archives.methods import LMDB_VALUE
from app.archives.reading import ENTRY
from app.topology import caffe_pb2
from worker.datasets.errors import DatasetError
from worker.datasets.lmdb_values import open_source
from worker.datasets.processes import pool

_TASK_KEYS = 2_000
_MAX_KEYS = 20_000_000


@dataclass(frozen=True)
class DatabasePart:
    """The pictures of one LMDB, in order of its keys."""

    data_path: Path
    contents: Contents
    keys: list[bytes]
    labels: NDArray[np.int64]
    folder: str
    names_on_disk: dict[int, bytes] | None = field(default_factory=dict)

    @property
    def table(self) -> DatabasePart:
        return self

    def path_bytes(self, row: int) -> bytes:
        """The folder of the LMDB and the key, which stand in for a path in lists."""
        key = self.keys[row].decode("ascii", "backslashreplace").replace("\n", "\\n")
        return f"{self.folder}/{key}".encode()

    def path_on_disk(self, row: int) -> bytes:
        return self.keys[row]

    def entries(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        entries = np.zeros(len(rows), ENTRY)
        entries["method"] = LMDB_VALUE
        return entries


def read_database(opened: OpenTable, folder: str, spool_dir: Path) -> DatabasePart:
    """The LMDB in `folder` of an archive, copied to `spool_dir`, or of a folder on the server, read where it lies."""
    if opened.kind is Kind.FOLDER:
        data_path = (opened.data_path / folder).resolve()
        if not data_path.is_relative_to(opened.data_path.resolve()) or not (data_path / "data.mdb").is_file():
            raise DatasetError(f"There is no LMDB (data.mdb) in the folder {folder}.")
    else:
        data_path = _copied(opened, folder, spool_dir)
    keys, labels = _scanned(data_path, folder)
    contents = Contents(opened.kind.value, [], len(keys), {}, None, 0, {}, databases=(folder,))
    return DatabasePart(data_path, contents, keys, np.array(labels, np.int64), folder)


def _copied(opened: OpenTable, folder: str, spool_dir: Path) -> Path:
    data_path = spool_dir / f"source-{uuid.uuid4().hex[:8]}.lmdb"
    data_path.mkdir()
    try:
        with (data_path / "data.mdb").open("wb") as file:
            is_there = opened.copy_database(folder, file)
    except DamagedEntry as error:
        raise DatasetError(f"The LMDB {folder} is {error}.") from None
    if not is_there:
        known = ", ".join(opened.view_databases()) or "none"
        raise DatasetError(f"There is no LMDB (data.mdb) in the folder {folder}; LMDBs of the archive: {known}.")
    return data_path


def _scanned(data_path: Path, folder: str) -> tuple[list[bytes], list[int]]:
    keys: list[bytes] = []
    labels: list[int] = []
    start: bytes | None = b""
    with pool(ScanningJob(data_path), 1) as replies:
        while start is not None and len(keys) < _MAX_KEYS:
            ((part_keys, part_labels, start),) = replies([start])
            keys += part_keys
            labels += part_labels
    if not keys:
        raise DatasetError(f"The LMDB {folder} has no pictures.")
    return keys, labels


@dataclass
class ScanningJob:
    """Reads keys and labels from a key on."""

    lmdb_dir: Path

    def run(self, start: bytes) -> tuple[list[bytes], list[int], bytes | None]:
        keys: list[bytes] = []
        labels: list[int] = []
        try:
            with open_source(self.lmdb_dir).begin(buffers=True) as transaction, transaction.cursor() as cursor:
                found = cursor.set_range(start) if start else cursor.first()
                while found:
                    if len(keys) == _TASK_KEYS:
                        return keys, labels, bytes(cursor.key())
                    keys.append(bytes(cursor.key()))
                    labels.append(caffe_pb2.Datum.FromString(bytes(cursor.value())).label)
                    found = cursor.next()
        except lmdb.Error as error:
            raise DatasetError(f"The LMDB is damaged, or not one ({error}).") from None
        except DecodeError:
            raise DatasetError(f"The LMDB does not hold Caffe Datums (at key {keys[-1][:40]!r}).") from None
        return keys, labels, None

    def divide(self, task: bytes) -> list[bytes]:
        return [task]

    def merge(self, replies: list[Any]) -> Any:
        return replies[0]

    def give_up(self, _task: bytes, _reason: str) -> Any:
        raise DatasetError("The LMDB is damaged: reading it crashes LMDB's own code.")

    def time_limit_s(self, _task: bytes) -> float:
        return 300
