"""How large the pictures of a dataset were before they were brought to one size, from the index of each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_SHOWN = 8


@dataclass(frozen=True)
class Sizes:
    count: int  # pictures
    distinct: int
    common: list[tuple[int, int, int]]  # (width, height, pictures), the most common first
    widths: tuple[int, int, int]  # smallest, middle, largest
    heights: tuple[int, int, int]
    longer_sides: list[tuple[int, int, int]]  # (from, to, pictures), without gaps


def original_sizes(folder: Path, splits: Sequence[str], version: str) -> Sizes | None:
    """None when the files are gone. `version` changes with the content: what was counted is remembered."""
    try:
        return _count(folder, tuple(splits), version)
    except (OSError, ValueError, EOFError):
        return None


@lru_cache(maxsize=128)
def _count(folder: Path, splits: tuple[str, ...], _version: str) -> Sizes | None:
    """Altered copies are no pictures of the upload."""
    indexes = [_originals(np.load(folder / f"{split}.index.npy", mmap_mode="r")) for split in splits]
    width = np.concatenate([index["width"] for index in indexes]) if indexes else np.empty(0, np.uint32)
    height = np.concatenate([index["height"] for index in indexes]) if indexes else np.empty(0, np.uint32)
    if len(width) == 0:
        return None
    pairs, counts = np.unique(width.astype(np.uint64) << np.uint64(32) | height, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_SHOWN]
    common = [
        (int(pairs[at] >> np.uint64(32)), int(pairs[at] & np.uint64(0xFFFFFFFF)), int(counts[at])) for at in order
    ]
    return Sizes(len(width), len(pairs), common, _range(width), _range(height), _bins(np.maximum(width, height)))


def _originals(index: NDArray[Any]) -> NDArray[Any]:
    is_original = index["copy"] == 0
    return index if is_original.all() else index[is_original]


def _bins(sides: NDArray[np.uint32]) -> list[tuple[int, int, int]]:
    """Bounds are powers of two and the values between them that divide evenly: 64, 96, 128, 192, …"""
    bounds = np.unique([bound for power in range(32) for bound in (2**power, 3 * 2**power // 2)]).astype(np.uint64)
    places = np.searchsorted(bounds, sides, side="right")
    counts = np.bincount(places, minlength=len(bounds) + 1)
    used = range(int(places.min()), int(places.max()) + 1)
    return [(int(bounds[at - 1]), int(bounds[at]) - 1, int(counts[at])) for at in used]


def _range(values: np.ndarray) -> tuple[int, int, int]:
    return int(values.min()), int(np.median(values)), int(values.max())
