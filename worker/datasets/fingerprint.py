"""A short number per picture that stays nearly the same when the picture is saved again, scaled or brightened.

The signs of the 128 lowest frequencies (a perceptual hash, after Zauner 2010): averaging to 32×32 and the cosine
transform are one matrix product per side, so that a batch costs less than hashing its bytes. The frequencies
themselves, in a byte each, are the picture's sketch: two sketches tell about how much their pictures correlate.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

BITS = 128
_CELLS = 32
_FREQUENCIES = 16
_BATCH_BYTES = 512 * 1024  # stays in the processor's cache
_SKETCH_LENGTH = 127


def fingerprints(pictures: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """(N, 2) fingerprints and (N, BITS) sketches of pictures of one size: (H, W), or (H, W, 3) whose green is taken."""
    found, sketches = np.zeros((len(pictures), 2), np.uint64), np.zeros((len(pictures), BITS), np.int8)
    if not pictures:
        return found, sketches
    height, width = pictures[0].shape[:2]
    down, across = _transform(height), _transform(width).T
    batch = max(1, _BATCH_BYTES // (4 * height * width))
    for start in range(0, len(pictures), batch):
        part = pictures[start : start + batch]
        gray = np.stack([picture if picture.ndim == 2 else picture[:, :, 1] for picture in part]).astype(np.float32)
        waves = (down @ gray @ across).reshape(len(part), -1)[:, _lowest()]
        # Frequencies that are absent would have the sign of noise; they count as negative.
        found[start : start + batch] = np.ascontiguousarray(np.packbits(waves > 2, axis=1)).view(np.uint64)
        length = np.sqrt(np.einsum("ij,ij->i", waves, waves))[:, None]
        sketches[start : start + batch] = np.rint(waves * (_SKETCH_LENGTH / np.maximum(length, 1)))
    return found, sketches


def distances(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Differing bits (0–128) between rows of (…, 2) fingerprints."""
    differing: NDArray[np.uint8] = np.bitwise_count(first ^ second).sum(axis=-1, dtype=np.uint8)
    return differing


def likeness(first: NDArray[np.int8], second: NDArray[np.int8]) -> NDArray[np.float32]:
    """About the correlation of the pictures, by rows of (N, BITS) sketches; 0 where one is flat."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.asarray(np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1), np.float32)


@cache
def _transform(side: int) -> NDArray[np.float32]:
    """(frequencies, side): averages `side` pixels into cells and takes their lowest cosine frequencies."""
    edges = np.linspace(0, side, _CELLS + 1)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    average = np.clip(overlap, 0, None) / np.diff(edges)[:, None]
    angle = np.pi / _CELLS * (np.arange(_CELLS) + 0.5) * np.arange(_FREQUENCIES)[:, None]
    return np.asarray(np.cos(angle) * np.sqrt(2 / _CELLS) @ average, np.float32)


@cache
def _lowest() -> NDArray[np.int64]:
    """The places of the `BITS` lowest frequencies but the mean, lowest first."""
    down, across = np.divmod(np.arange(_FREQUENCIES**2), _FREQUENCIES)
    order = np.lexsort((across, down + across))
    return order[1 : BITS + 1]
