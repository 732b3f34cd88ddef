"""Writes what belongs to one split: its LMDB, its list (`path label`) and its index of sizes and places in the list."""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from app.lmdb_reader import INDEX_DTYPE
from worker.datasets.encoding_job import Encoded
from worker.datasets.listing import Listing
from worker.datasets.lmdb_writer import LmdbWriter
from worker.datasets.spec import SplitCounts
from worker.datasets.split import Order


class SplitWriter:
    """Takes the encoded pictures of one split in order. `folder` is the dataset's."""

    def __init__(self, folder: Path, split: str, listing: Listing, skipped: SkippedFile) -> None:
        self._folder, self._split, self._listing, self._skipped = folder, split, listing, skipped
        self._per_class = np.zeros(len(listing.classes), np.int64)
        self._index = {
            name: array("Q") for name in ("label", "width", "height", "stored_bytes", "list_offset", "digest")
        }
        self._fingerprints: list[NDArray[np.uint64]] = []
        self._copies: list[NDArray[np.uint16]] = []
        self._digest = hashlib.sha256()
        self._list_bytes = 0
        with ExitStack() as stack:
            self._lmdb = stack.enter_context(LmdbWriter(folder / f"{split}.lmdb"))
            self._list = stack.enter_context((folder / f"{split}.txt").open("wb"))
            self._stack = stack.pop_all()

    def add(self, order: Order, encoded: Encoded) -> None:
        """`order` is that of the task which `encoded` answers."""
        for place, index in enumerate(encoded.index):
            row = int(order.rows[index])
            label = int(self._listing.label[row])
            self._lmdb.append(encoded.data[place])
            self._digest.update(encoded.digests[place] + label.to_bytes(4, "little"))
            line = b"%s %d\n" % (self._listing.path_bytes(row), label)
            self._list.write(line)
            self._add_to_index(label, *encoded.sizes[place], encoded.stored_bytes[place], encoded.digests[place])
            self._list_bytes += len(line)
            self._per_class[label] += 1
        self._copies.append(order.copies[encoded.index])
        self._fingerprints.append(encoded.fingerprints)
        self._skipped.notes += encoded.notes
        for index, reason in encoded.skipped:
            self._skipped.add(self._listing.path(int(order.rows[index])), reason)

    def finish(self) -> tuple[SplitCounts, bytes]:
        """The counts, and the digest of pixels and labels in order."""
        self._lmdb.finish()
        index = np.zeros(self._lmdb.count, INDEX_DTYPE)
        for name, values in self._index.items():
            index[name] = np.frombuffer(values, np.uint64)
        if self._fingerprints:
            index["fingerprint"] = np.concatenate(self._fingerprints)
            index["copy"] = np.concatenate(self._copies)
        np.save(self._folder / f"{self._split}.index.npy", index)
        return SplitCounts(self._lmdb.count, self._per_class.tolist()), self._digest.digest()

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _add_to_index(self, label: int, width: int, height: int, stored_bytes: int, digest: bytes) -> None:
        values = {
            "label": label,
            "width": width,
            "height": height,
            "stored_bytes": stored_bytes,
            "list_offset": self._list_bytes,
            "digest": int.from_bytes(digest[:8], "little"),
        }
        for name, value in values.items():
            self._index[name].append(value)


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
