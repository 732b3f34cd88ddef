"""Which pictures go to which split, and in which order: per class, seeded, the same on every machine.

The draw depends on the names of classes and files alone, never on their order in the archive, so that a zip and a
tar.gz of the same folders give the same dataset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.datasets.split import SPLITS, class_problem, split_counts
from app.imaging.copies import copy_seed
from worker.datasets.errors import DatasetError
from worker.datasets.listing import TO_DIVIDE, Listing, Rows
from worker.datasets.spec import BuildSpec


@dataclass(frozen=True)
class Order:
    """What a split holds, in order: pictures of the listing, and which altered copy of them (0: the picture itself)."""

    rows: Rows
    copies: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> Order:
        return Order(self.rows[start:stop], self.copies[start:stop])

    def seed(self, place: int, listing: Listing, seed: int) -> int:
        """What the alteration of the copy at `place` is drawn from."""
        return copy_seed(seed, int(self.copies[place]), listing.path_bytes(int(self.rows[place])))


def divide(listing: Listing, spec: BuildSpec) -> dict[str, Rows]:
    """Pictures per split, in the order in which they are stored; splits without pictures to come are left out."""
    problem = class_problem(_limited(listing.counts(), spec), *spec.percents)
    if problem:
        raise DatasetError(problem)
    parts: dict[str, list[Rows]] = {split: [] for split in SPLITS}
    group = _groups(listing)
    for number, name in enumerate(listing.classes):
        rows = _drawn(listing, group(number, TO_DIVIDE), random_state(spec.seed, "class", name))[: spec.max_per_class]
        start = 0
        for split, count in zip(SPLITS, split_counts(len(rows), *spec.percents), strict=True):
            parts[split].append(rows[start : start + count])
            start += count
        for split in spec.fixed_splits:
            whole = group(number, SPLITS.index(split))
            random = random_state(spec.seed, "class", split, name)
            parts[split].append(_drawn(listing, whole, random)[: spec.max_per_class])
    division = {split: np.concatenate(rows) for split, rows in parts.items()}
    for split in spec.fixed_splits:
        if len(division[split]) == 0:
            raise DatasetError(f"What was given for {split} holds no pictures of the training classes.")
    return {
        split: _shuffled(division[split], random_state(spec.seed, "order", split))
        for split in SPLITS
        if spec.percents[SPLITS.index(split)] > 0 or split in spec.fixed_splits
    }


def without(listing: Listing, division: dict[str, Rows], paths: frozenset[str]) -> dict[str, Rows]:
    """The division less some pictures; all others stay in their split and in their order."""
    if not paths:
        return division
    dropped = {path.encode() for path in paths}
    return {
        split: rows[np.array([listing.path_bytes(row) not in dropped for row in rows.tolist()], bool)]
        for split, rows in division.items()
    }


def with_copies(division: dict[str, Rows], spec: BuildSpec) -> dict[str, Order]:
    """The division in its final order, with the altered copies of training pictures among the others."""
    orders = {split: Order(rows, np.zeros(len(rows), np.uint16)) for split, rows in division.items()}
    if spec.augmentation is not None:
        rows, times = division["train"], spec.augmentation.copies + 1
        mixed = random_state(spec.seed, "order", "copies").permutation(len(rows) * times)
        copies = np.repeat(np.arange(times, dtype=np.uint16), len(rows))
        orders["train"] = Order(np.tile(rows, times)[mixed], copies[mixed])
    return orders


def random_state(seed: int, *purpose: str) -> np.random.RandomState:
    """A stream of its own for each purpose. RandomState, because its numbers are frozen for ever (NEP 19)."""
    digest = hashlib.sha256("\0".join((str(seed), *purpose)).encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, np.uint32))


def _limited(counts: list[tuple[str, int]], spec: BuildSpec) -> list[tuple[str, int]]:
    if spec.max_per_class is None:
        return counts
    return [(name, min(count, spec.max_per_class)) for name, count in counts]


def _groups(listing: Listing) -> Callable[[int, int], Rows]:
    """A function (class, split) → the pictures of that class that lie in that split or are to be divided."""
    key = listing.label.astype(np.int64) * (len(SPLITS) + 1) + listing.split + 1
    order = np.argsort(key, kind="stable")
    in_order = key[order]

    def group(label: int, split: int) -> Rows:
        wanted = label * (len(SPLITS) + 1) + split + 1
        return order[np.searchsorted(in_order, wanted) : np.searchsorted(in_order, wanted, side="right")]

    return group


def _drawn(listing: Listing, rows: Rows, random: np.random.RandomState) -> Rows:
    """`rows` in a random order that only their paths decide."""
    paths = [listing.path_bytes(row) for row in rows.tolist()]
    by_path = rows[np.array(sorted(range(len(paths)), key=paths.__getitem__), np.int64)]
    return _shuffled(by_path, random)


def _shuffled(rows: Rows, random: np.random.RandomState) -> Rows:
    return rows[random.permutation(len(rows))]
