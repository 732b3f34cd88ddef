"""The mean picture of each class in training, small: it shows what the classes look like on average.

The pictures of a task are summed by class where they were decoded; here the sums are joined and written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.class_means import CLASS_MEANS_FILE

MAX_CLASSES = 2_000  # 50 MB of sums
_LARGE_SIDE, _SMALL_SIDE = 64, 32
_MANY_CLASSES = 100

ClassSums = dict[int, tuple[NDArray[np.uint32], int]]  # label → (sum of small pictures, how many)


def small_side(classes: int) -> int:
    """The longest side of the small pictures; 0 when there are too many classes."""
    if classes > MAX_CLASSES:
        return 0
    return _LARGE_SIDE if classes <= _MANY_CLASSES else _SMALL_SIDE


def sums_by_class(pictures: list[NDArray[np.uint8]], labels: list[int], side: int) -> ClassSums:
    """Sums of the pictures, all of one size, brought to at most `side`."""
    if not pictures or side == 0:
        return {}
    small = np.stack([_small(picture, side) for picture in pictures])
    of = np.array(labels)
    return {
        int(label): (small[of == label].sum(axis=0, dtype=np.uint32), int((of == label).sum()))
        for label in np.unique(of)
    }


def _small(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    longest = max(width, height)
    if longest <= side:
        return pixels
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


class ClassMeans:
    """Joins the sums of all tasks."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._sums: NDArray[np.uint64] | None = None
        self._counts = np.zeros(classes, np.uint64)

    def add(self, sums: ClassSums) -> None:
        for label, (total, count) in sums.items():
            if self._sums is None:
                self._sums = np.zeros((self._classes, *total.shape), np.uint64)
            self._sums[label] += total
            self._counts[label] += np.uint64(count)

    def write(self, folder: Path) -> None:
        """class_means.npy: (classes, H, W) or (classes, H, W, 3) RGB uint8; nothing when there are too many classes."""
        if self._sums is None:
            return
        counts = np.maximum(self._counts, 1).reshape(-1, *[1] * (self._sums.ndim - 1))
        np.save(folder / CLASS_MEANS_FILE, np.rint(self._sums / counts).astype(np.uint8))
