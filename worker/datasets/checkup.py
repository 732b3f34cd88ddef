"""Looks through a finished dataset for pictures that are there twice: in a class, under two labels, in two splits.

Exact duplicates have the same pixels. For near duplicates, fingerprints that share a quarter are compared bit by bit;
pairs within `MAX_DISTANCE` whose sketches are alike are confirmed by the correlation of their pixels. Measured on
CIFAR-10's test pictures: JPEG 75–90, ±15 % brightness or contrast and rescaling are found in 99 of 100, with 2 of
10,000 pictures found besides.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.datasets.checkup import COLUMNS, DUPLICATES_FILE, Checkup, Group, Member, group_of
from app.datasets.lmdb_reader import open_split
from worker.datasets.fingerprint import BITS, distances, likeness
from worker.datasets.split_writer import SKETCHES_FILE
from worker.datasets.thumbnails import thumbnails

MAX_DISTANCE = 16  # of 128 bits
MIN_CORRELATION = 0.98
_MAX_COMPARISONS = 400_000_000
_MAX_CANDIDATES = 1_000_000
_MAX_LOOKED_AT = 40_000
_BATCH_PAIRS = 4_000
_SHOWN_GROUPS, _SHOWN_MEMBERS = 300, 24

Pairs = NDArray[np.int64]  # (N, 2) places in the whole dataset


@dataclass(frozen=True)
class Pictures:
    """The indexes of all splits behind each other; places count through all of them."""

    splits: list[str]
    starts: NDArray[np.int64]  # place of the first picture of each split, and the total
    label: NDArray[np.int32]
    digest: NDArray[np.uint64]
    fingerprint: NDArray[np.uint64]  # (N, 2)
    copy: NDArray[np.uint16]

    def where(self, place: int) -> tuple[str, int]:
        split = int(np.searchsorted(self.starts, place, side="right")) - 1
        return self.splits[split], place - int(self.starts[split])


def check_up(
    folder: Path, classes: list[str], unreadable: dict[str, int], processes: int, look: Callable[[], None]
) -> Checkup:
    """Examines the dataset in `folder` and writes duplicates.csv; `look` is called now and then and may raise."""
    pictures = _pictures(folder)
    candidates, is_complete = _candidates(pictures, look)
    candidates = candidates[pictures.digest[candidates[:, 0]] != pictures.digest[candidates[:, 1]]]
    candidates = _alike(folder, pictures, candidates)
    confirmed = _confirmed(folder, pictures, candidates, processes, look)
    groups = _groups(folder, pictures, confirmed)
    groups.sort(key=lambda group: (not group.has_two_labels, not group.is_leak, group.kind == "near", -group.size))
    _write(folder / DUPLICATES_FILE, groups)
    per_class = {split: _per_class(folder, split, classes) for split in pictures.splits}
    train = per_class["train"]
    return Checkup(
        groups=tuple(_shortened(group) for group in groups[:_SHOWN_GROUPS]),
        group_counts=_counts(groups, lambda _: 1),
        picture_counts=_counts(groups, lambda group: group.size),
        unreadable=unreadable,
        smallest_class=min(train, key=lambda entry: entry[1]),
        largest_class=max(train, key=lambda entry: entry[1]),
        is_complete=is_complete,
        absent=tuple((name, split) for split in per_class for name, count in per_class[split] if count == 0),
    )


def _pictures(folder: Path) -> Pictures:
    splits = [split for split in ("train", "val", "test") if (folder / f"{split}.index.npy").exists()]
    indexes: list[NDArray[Any]] = [np.load(folder / f"{split}.index.npy", mmap_mode="r") for split in splits]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([index[name] for index in indexes])

    starts = np.cumsum([0, *(len(index) for index in indexes)])
    return Pictures(splits, starts, column("label"), column("digest"), column("fingerprint"), column("copy"))


def _per_class(folder: Path, split: str, classes: list[str]) -> list[tuple[str, int]]:
    """(class, originals) of a split."""
    index = np.load(folder / f"{split}.index.npy", mmap_mode="r")
    counts = np.bincount(index["label"][index["copy"] == 0], minlength=len(classes))
    return [(name, int(count)) for name, count in zip(classes, counts, strict=True)]


def _candidates(pictures: Pictures, look: Callable[[], None]) -> tuple[Pairs, bool]:
    """Pairs of originals within `MAX_DISTANCE`, and whether all were compared that share a quarter."""
    originals = np.flatnonzero(pictures.copy == 0)
    prints = np.ascontiguousarray(pictures.fingerprint[originals].T)
    found: list[NDArray[np.int64]] = []
    is_complete = True
    for quarter in prints[0].view(np.uint16).reshape(-1, 4).T:
        pairs, is_whole = _close_pairs(prints, quarter, look)
        found.append(pairs)
        is_complete &= is_whole
    numbers = np.sort(np.concatenate(found))  # np.unique takes three times as long
    numbers = numbers[np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]]
    pairs = np.stack(np.divmod(numbers, max(1, len(originals))), axis=1)
    if len(pairs) > _MAX_CANDIDATES:
        nearest = np.argsort(distances(prints.T[pairs[:, 0]], prints.T[pairs[:, 1]]), kind="stable")
        pairs, is_complete = pairs[nearest[:_MAX_CANDIDATES]], False
    return originals[pairs], is_complete


def _close_pairs(
    prints: NDArray[np.uint64], key: NDArray[np.uint16], look: Callable[[], None]
) -> tuple[NDArray[np.int64], bool]:
    """Close pairs (first · N + second) among those with equal `key`, and whether all were compared.

    Each of `prints` (2, N) is compared with its first, second, … neighbour in order of the key.
    """
    order = np.argsort(key, kind="stable")
    in_order, low, high = key[order], prints[0][order], prints[1][order]
    at = np.arange(len(order) - 1)
    found: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    kept = compared = 0
    for shift in range(1, len(order) + 1):
        at = at[: np.searchsorted(at, len(order) - shift)]
        at = at[in_order[at] == in_order[at + shift]]
        compared += len(at)
        if len(at) == 0:
            return np.concatenate(found), True
        if compared > _MAX_COMPARISONS or kept > 5 * _MAX_CANDIDATES:
            break
        apart = np.bitwise_count(low[at] ^ low[at + shift])
        near = np.flatnonzero(apart <= MAX_DISTANCE)  # few are, so that the other half is seldom looked at
        close = at[near]
        close = close[apart[near] + np.bitwise_count(high[close] ^ high[close + shift]) <= MAX_DISTANCE]
        kept += len(close)
        first, second = order[close], order[close + shift]
        found.append(np.minimum(first, second) * len(order) + np.maximum(first, second))
        look()
    return np.concatenate(found), len(order) < 2


def _alike(folder: Path, pictures: Pictures, pairs: Pairs) -> Pairs:
    """The pairs whose sketches are alike; the sketches are of no use afterwards and are removed."""
    places, rows = _places(pictures, pairs)
    sketches = np.empty((len(places), BITS), np.int8)
    for split, name in enumerate(pictures.splits):
        path = folder / SKETCHES_FILE.format(name)
        here = (places >= pictures.starts[split]) & (places < pictures.starts[split + 1])
        if here.any():
            stored = np.memmap(path, np.int8, "r").reshape(-1, BITS)
            sketches[here] = stored[places[here] - pictures.starts[split]]
        path.unlink()
    keep = [
        likeness(*(sketches[side] for side in rows[start : start + _BATCH_PAIRS].T)) >= MIN_CORRELATION
        for start in range(0, max(1, len(pairs)), _BATCH_PAIRS)
    ]
    return pairs[np.concatenate(keep)]


def _places(pictures: Pictures, pairs: Pairs) -> tuple[NDArray[np.int64], Pairs]:
    """The places that are in a pair, and the pairs as rows among those."""
    is_in = np.zeros(int(pictures.starts[-1]), bool)
    is_in[pairs] = True
    return np.flatnonzero(is_in), (np.cumsum(is_in) - 1)[pairs]


def _confirmed(folder: Path, pictures: Pictures, pairs: Pairs, processes: int, look: Callable[[], None]) -> Pairs:
    """The pairs whose pixels correlate, of as many pictures as can be looked at."""
    places, rows = _places(pictures, pairs)
    if len(places) == 0:
        return pairs
    if len(places) > _MAX_LOOKED_AT:
        places = places[:_MAX_LOOKED_AT]
        is_within = (rows < _MAX_LOOKED_AT).all(axis=1)
        pairs, rows = pairs[is_within], rows[is_within]
    looks = np.empty((len(places), 0), np.float32)
    for split, name in enumerate(pictures.splits):
        here = (places >= pictures.starts[split]) & (places < pictures.starts[split + 1])
        if not here.any():
            continue
        small = thumbnails(folder / f"{name}.lmdb", places[here] - pictures.starts[split], processes, look)
        if looks.shape[1] == 0:
            looks = np.zeros((len(places), small.shape[1]), np.float32)
        looks[here] = _standardised(small)
    correlation = np.concatenate(
        [
            np.einsum("ij,ij->i", *(looks[side] for side in rows[start : start + _BATCH_PAIRS].T))
            for start in range(0, max(1, len(pairs)), _BATCH_PAIRS)
        ]
    )
    return pairs[correlation >= MIN_CORRELATION]


def _standardised(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows less their mean, of length 1; flat pictures become zeros and correlate with nothing."""
    rows = pixels.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1, rows / np.maximum(length, 1), 0).astype(np.float32)


def _groups(folder: Path, pictures: Pictures, near: Pairs) -> list[Group]:
    parent: dict[int, int] = {}

    def root(place: int) -> int:
        while parent.setdefault(place, place) != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    near_roots = set()
    for first, second in [*_exact_pairs(pictures).tolist(), *near.tolist()]:
        parent[root(second)] = root(first)
    for first, _ in near.tolist():
        near_roots.add(root(first))
    members: dict[int, list[int]] = {}
    for place in sorted(parent):
        members.setdefault(root(place), []).append(place)
    sources = _Sources(folder, pictures)
    return [
        group_of("near" if first in near_roots else "exact", tuple(sources.member(place) for place in places))
        for first, places in members.items()
    ]


def _exact_pairs(pictures: Pictures) -> Pairs:
    """Each original with the same pixels as the one before it in order of digests, with that one."""
    originals = np.flatnonzero(pictures.copy == 0)
    order = originals[np.argsort(pictures.digest[originals], kind="stable")]
    same = np.flatnonzero(pictures.digest[order][1:] == pictures.digest[order][:-1])
    return np.stack([order[same], order[same + 1]], axis=1)


class _Sources:
    def __init__(self, folder: Path, pictures: Pictures) -> None:
        self._pictures = pictures
        self._readers = {split: open_split(folder, split) for split in pictures.splits}

    def member(self, place: int) -> Member:
        split, number = self._pictures.where(place)
        return Member(split, number, int(self._pictures.label[place]), self._readers[split].source(number))


def _counts(groups: list[Group], weigh: Callable[[Group], int]) -> dict[str, int]:
    findings: dict[str, Callable[[Group], bool]] = {
        "exact": lambda group: group.kind == "exact",
        "near": lambda group: group.kind == "near",
        "two_labels": lambda group: group.has_two_labels,
        "leaks": lambda group: group.is_leak,
    }
    return {name: sum(weigh(group) for group in groups if concerns(group)) for name, concerns in findings.items()}


def _shortened(group: Group) -> Group:
    return Group(group.kind, group.size, group.members[:_SHOWN_MEMBERS], group.has_two_labels, group.is_leak)


def _write(path: Path, groups: list[Group]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, group in enumerate(groups, start=1):
            for member in group.members:
                writer.writerow([number, group.kind, member.split, member.number, member.label, member.source])
