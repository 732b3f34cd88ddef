"""What every layer made of one image: statistics, a histogram, and the values themselves in a file.

The pages draw the files (`float16` arrays) without torch; nothing is drawn here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

HISTOGRAM_BINS = 20
LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True)
class Histogram:
    counts: list[int]
    edges: list[float]  # one more than counts


@dataclass(frozen=True)
class LayerActivation:
    """One top of one layer, for the first image of the batch."""

    name: str  # the layer's; with the blob's beside it where the layer has several
    type: str
    shape: tuple[int, ...]  # without the batch
    mean: float
    std: float
    min: float
    max: float
    histogram: Histogram
    file: str  # below the prediction's folder


class ActivationWriter:
    """Writes one file per blob, numbered in the order of the layers."""

    def __init__(self, out_dir: Path) -> None:
        self.folder = out_dir / "activations"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.written: list[LayerActivation] = []

    def add(self, name: str, type_: str, blob: Tensor) -> None:
        """Notes a blob (1, …): it may be overwritten afterwards."""
        values = blob.detach()[0].float().contiguous().cpu().numpy() if blob.dim() else blob.detach().cpu().numpy()
        path = self.folder / f"{len(self.written):03d}.npy"
        np.save(path, np.clip(values, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16))
        mean, std, low, high = statistics(values)
        self.written.append(
            LayerActivation(
                name, type_, values.shape, mean, std, low, high, histogram(values), f"activations/{path.name}"
            )
        )


def statistics(values: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Mean, standard deviation, smallest and largest value."""
    return (
        float(values.mean(dtype=np.float64)),
        float(values.std(dtype=np.float64)),
        float(values.min()),
        float(values.max()),
    )


def histogram(values: NDArray[np.float32]) -> Histogram:
    """How many values lie in each of 20 equal steps from the smallest to the largest."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Histogram([0] * HISTOGRAM_BINS, np.linspace(0, 1, HISTOGRAM_BINS + 1).tolist())
    counts, edges = np.histogram(finite.astype(np.float64), HISTOGRAM_BINS)
    return Histogram(counts.tolist(), edges.tolist())
