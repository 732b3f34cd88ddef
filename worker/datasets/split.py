"""Which pictures go to which split, and in which order: per class, seeded, the same on every machine.

The draw depends on the names of classes and files alone, never on their order in the archive, so that a zip and a
tar.gz of the same folders give the same dataset.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from app.archives import Archive
from app.split import SPLITS, split_counts

Rows = NDArray[np.int64]  # rows of the archive's table


def divide(archive: Archive, percents: tuple[float, float, float], seed: int) -> dict[str, Rows]:
    """Rows per split, in the order in which they are stored; splits without a share are left out."""
    parts: dict[str, list[Rows]] = {split: [] for split in SPLITS}
    by_class = np.argsort(archive.label, kind="stable")
    bounds = np.searchsorted(archive.label[by_class], np.arange(len(archive.contents.classes) + 1))
    for number, entry in enumerate(archive.contents.classes):
        rows = by_path(archive, by_class[bounds[number] : bounds[number + 1]])
        rows = rows[random_state(seed, "class", entry.name).permutation(len(rows))]
        start = 0
        for split, count in zip(SPLITS, split_counts(len(rows), *percents), strict=True):
            parts[split].append(rows[start : start + count])
            start += count
    return {
        split: _shuffled(np.concatenate(rows), random_state(seed, "order", split))
        for split, rows in parts.items()
        if percents[SPLITS.index(split)] > 0
    }


def by_path(archive: Archive, rows: Rows) -> Rows:
    """`rows` sorted by path inside the archive."""
    paths = [archive.table.path_bytes(row) for row in rows.tolist()]
    return rows[np.array(sorted(range(len(paths)), key=paths.__getitem__), np.int64)]


def random_state(seed: int, *purpose: str) -> np.random.RandomState:
    """A stream of its own for each purpose. RandomState, because its numbers are frozen for ever (NEP 19)."""
    digest = hashlib.sha256("\0".join((str(seed), *purpose)).encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, np.uint32))


def _shuffled(rows: Rows, random: np.random.RandomState) -> Rows:
    return rows[random.permutation(len(rows))]
