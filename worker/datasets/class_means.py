"""The mean picture of each class in training, small: it shows what the classes look like on average.

The pictures of a task are summed by class where they were decoded; here the sums are joined and written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.datasets.class_means import CLASS_MEANS_FILE

MAX_CLASSES = 2_000  # 50 MB of sums
_LARGE_SIDE, _SMALL_SIDE = 64, 32
_MANY_CLASSES = 100
_FIT_IN_16_BITS = 257

Sums = dict[int, tuple[NDArray[np.uint32], int]]  # label → (sum of pictures, how many)
ClassSums = dict[int, tuple[NDArray[np.float32], int]]  # the same with the sums made small


def small_side(classes: int) -> int:
    """The longest side of the small pictures; 0 when there are too many classes."""
    if classes > MAX_CLASSES:
        return 0
    return _LARGE_SIDE if classes <= _MANY_CLASSES else _SMALL_SIDE


def sums_by_class(pictures: list[NDArray[np.uint8]], labels: list[int]) -> Sums:
    """Sums of the pictures, all of one size, of each label."""
    of_class: dict[int, list[NDArray[np.uint8]]] = {}
    for picture, label in zip(pictures, labels, strict=True):
        of_class.setdefault(label, []).append(picture)
    return {label: (_sum(members), len(members)) for label, members in of_class.items()}


def _sum(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint32]:
    """Adds in 16 bits, which is twice as fast as 32, for as long as they cannot overflow."""
    total = np.zeros(pictures[0].shape, np.uint32)
    for start in range(0, len(pictures), _FIT_IN_16_BITS):
        part = np.zeros(total.shape, np.uint16)
        for picture in pictures[start : start + _FIT_IN_16_BITS]:
            np.add(part, picture, out=part)
        total += part
    return total


def shrunk(sums: Sums, side: int) -> ClassSums:
    """The sums as if the pictures had been brought to at most `side` pixels before."""
    return {
        label: (_small((total / count).astype(np.float32), side) * count, count)
        for label, (total, count) in sums.items()
    }


def _small(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    longest = max(width, height)
    if longest <= side:
        return pixels
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    planes = [pixels] if pixels.ndim == 2 else [pixels[:, :, channel] for channel in range(3)]
    small = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX)) for plane in planes]
    return small[0] if pixels.ndim == 2 else np.stack(small, axis=2)


class ClassMeans:
    """Joins the sums of all tasks."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._sums: NDArray[np.float64] | None = None
        self._counts = np.zeros(classes, np.uint64)

    def add(self, sums: ClassSums) -> None:
        for label, (total, count) in sums.items():
            if self._sums is None:
                self._sums = np.zeros((self._classes, *total.shape))
            self._sums[label] += total
            self._counts[label] += np.uint64(count)

    def write(self, folder: Path) -> None:
        """class_means.npy: (classes, H, W) or (classes, H, W, 3) RGB uint8; nothing when there are too many classes."""
        if self._sums is None:
            return
        counts = np.maximum(self._counts, 1).reshape(-1, *[1] * (self._sums.ndim - 1))
        np.save(folder / CLASS_MEANS_FILE, np.rint(self._sums / counts).astype(np.uint8))
