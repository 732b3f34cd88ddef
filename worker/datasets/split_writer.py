"""Writes what belongs to one split: its LMDB, its list (`path label`) and its index of sizes and places in the list."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from app.datasets.lmdb_reader import INDEX_DTYPE
from worker.datasets.encoding_job import Encoded
from worker.datasets.listing import Listing
from worker.datasets.lmdb_writer import LmdbWriter
from worker.datasets.spec import SplitCounts
from worker.datasets.split import Order

SKETCHES_FILE = "{}.sketches"  # for the check-up, which removes it


class SplitWriter:
    """Takes the encoded pictures of one split in order. `folder` is the dataset's."""

    def __init__(self, folder: Path, split: str, listing: Listing, skipped: SkippedFile) -> None:
        self._folder, self._split, self._listing, self._skipped = folder, split, listing, skipped
        self._per_class = np.zeros(len(listing.classes), np.int64)
        self._index: list[NDArray[Any]] = []
        self._digest = hashlib.sha256()
        self._list_bytes = 0
        with ExitStack() as stack:
            self._lmdb = stack.enter_context(LmdbWriter(folder / f"{split}.lmdb"))
            self._list = stack.enter_context((folder / f"{split}.txt").open("wb"))
            self._sketches = stack.enter_context((folder / SKETCHES_FILE.format(split)).open("wb"))
            self._stack = stack.pop_all()

    def add(self, order: Order, encoded: Encoded) -> None:
        """`order` is that of the task which `encoded` answers."""
        for place, reason in encoded.skipped:
            if order.copies[place]:  # its original has said so
                continue
            self._skipped.add(self._listing.path(int(order.rows[place])), reason)
        self._skipped.notes += encoded.notes
        if not encoded.index:
            return
        rows = order.rows[encoded.index]
        labels = self._listing.label[rows]
        digests = np.frombuffer(b"".join(encoded.digests), np.uint8).reshape(-1, 32)
        self._digest.update(np.hstack([digests, labels.astype("<u4").view(np.uint8).reshape(-1, 4)]).tobytes())
        self._per_class += np.bincount(labels, minlength=len(self._per_class))
        self._lmdb.append(encoded.data)
        index = np.zeros(len(rows), INDEX_DTYPE)
        index["label"], index["stored_bytes"], index["copy"] = labels, encoded.stored_bytes, order.copies[encoded.index]
        index["width"], index["height"] = np.array(encoded.sizes).T
        index["digest"] = digests[:, :8].copy().view("<u8").ravel()
        index["fingerprint"] = encoded.fingerprints
        index["list_offset"] = self._write_list(rows, labels)
        self._sketches.write(encoded.sketches.tobytes())
        self._index.append(index)

    def finish(self) -> tuple[SplitCounts, bytes]:
        """The counts, and the digest of pixels and labels in order."""
        self._lmdb.finish()
        self._sketches.flush()
        index = np.concatenate(self._index) if self._index else np.zeros(0, INDEX_DTYPE)
        np.save(self._folder / f"{self._split}.index.npy", index)
        return SplitCounts(self._lmdb.count, self._per_class.tolist()), self._digest.digest()

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _write_list(self, rows: NDArray[np.int64], labels: NDArray[np.int32]) -> NDArray[np.int64]:
        """Writes the lines of the pictures; gives the offset of each."""
        path_bytes = self._listing.path_bytes
        lines = [
            b"%s %d\n" % (path_bytes(row), label) for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
        ]
        self._list.write(b"".join(lines))
        ends = self._list_bytes + np.cumsum([len(line) for line in lines])
        self._list_bytes = int(ends[-1])
        return np.concatenate([ends[:1] - len(lines[0]), ends[:-1]])


class SkippedFile:
    """skipped.csv: every picture that could not be used, with its reason."""

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(["source", "reason"])
        self.reasons: dict[str, int] = {}
        self.notes: Counter[str] = Counter()
        self.count = 0

    def add(self, source: str, reason: str) -> None:
        self._writer.writerow([source, reason])
        self.count += 1
        kind = reason.split(" (")[0].split(":")[0]
        self.reasons[kind] = self.reasons.get(kind, 0) + 1
