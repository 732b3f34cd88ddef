"""The weights of a snapshot, as pictures: what the filters of a layer look like, and their numbers.

Reads `weights.safetensors` piece by piece, with NumPy; how numbers become pixels is in `activations.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open

from app.predictions.activations import GAP, MAX_PIXELS, Scale, Tiling, draw_colors, draw_maps, tile
from app.pretrained.weights_files import WeightsError, weight_shapes

MAX_ROWS = 32  # filters of a layer with many inputs: one row each, one column per input
MAX_COLUMNS = 64
HISTOGRAM_BINS = 20
PIECE = 4_000_000  # numbers read at once


@dataclass(frozen=True)
class Weights:
    """The shape of one layer's weight, and how many numbers the layer keeps in all (biases, statistics)."""

    weight: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Summary:
    """The numbers of a layer's weights (without its biases)."""

    mean: float
    std: float
    min: float
    max: float
    histogram: dict[str, list[float]]


@dataclass(frozen=True)
class FilterView:
    """A layer's weights seen as N filters of (channels, height, width)."""

    shape: tuple[int, int, int, int]
    tiling: Tiling

    @property
    def is_colored(self) -> bool:
        return self.shape[1] == 3

    @property
    def has_row_per_filter(self) -> bool:
        return self.shape[1] not in (1, 3)

    @property
    def filters_shown(self) -> int:
        return self.tiling.rows if self.has_row_per_filter else self.tiling.shown

    @property
    def inputs_shown(self) -> int:
        return self.tiling.columns if self.has_row_per_filter else self.shape[1]


def read_shapes(path: Path) -> dict[str, Weights]:
    """Layer → its weight's shape, from the file's header alone; raises WeightsError."""
    shapes = weight_shapes(path)
    counts: dict[str, int] = {}
    for key, shape in shapes.items():
        layer = key.rpartition(".")[0]
        counts[layer] = counts.get(layer, 0) + math.prod(shape)
    weights = {key.rpartition(".")[0]: shape for key, shape in shapes.items() if key.endswith(".weight")}
    return {layer: Weights(shape, counts[layer]) for layer, shape in weights.items()}


def view_filters(kind: str, weight: Sequence[int], input_shape: Sequence[int] = ()) -> FilterView | None:
    """How to look at a layer's weights; None where pictures say nothing.

    `input_shape` (C, H, W) of an inner product's input lets each output be seen as a picture of it.
    """
    if kind in ("Convolution", "Deconvolution") and len(weight) == 4:
        outputs, channels, height, width = weight
    elif kind == "InnerProduct" and len(weight) == 2 and len(input_shape) == 3 and _fits(weight, input_shape):
        outputs, (channels, height, width) = weight[0], input_shape
    else:
        return None
    if channels in (1, 3):
        return FilterView((outputs, channels, height, width), tile(outputs, height, width))
    columns = min(channels, MAX_COLUMNS)
    rows = max(1, min(outputs, MAX_ROWS, MAX_PIXELS // (columns * (height + GAP) * (width + GAP))))
    tiling = tile(rows * columns, height, width, columns)
    return FilterView((outputs, channels, height, width), tiling)


def draw_filters(path: Path, layer: str, view: FilterView) -> Image.Image:
    """The filters side by side, in one scale: in colours if they look at BGR, else one map per filter and input."""
    outputs = view.filters_shown
    values = _read(path, layer, outputs).reshape(outputs, *view.shape[1:])
    if view.is_colored:
        return draw_colors(values, view.tiling, Scale.of(values))
    maps = values[:, : view.inputs_shown].reshape(-1, *view.shape[2:])
    return draw_maps(maps, view.tiling, Scale.of(maps))


def summarize(path: Path, layer: str) -> Summary:
    """Mean, standard deviation, range and histogram of a layer's weights; raises WeightsError.

    Reads piece by piece, twice: the largest layers of known nets hold 400 MB.
    """
    count, total, low, high = 0, 0.0, math.inf, -math.inf
    for values in _pieces(path, layer):
        count, total = count + values.size, total + float(values.sum(dtype=np.float64))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if count == 0 or not math.isfinite(total):
        return Summary(math.nan, math.nan, math.nan, math.nan, {"counts": [], "edges": []})
    mean, squares = total / count, 0.0
    edges = np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)
    counts = np.zeros(HISTOGRAM_BINS)
    for values in _pieces(path, layer):
        squares += float(np.square(values - np.float32(mean)).sum(dtype=np.float64))
        counts += np.histogram(values, edges)[0]
    return Summary(mean, math.sqrt(squares / count), low, high, {"counts": counts.tolist(), "edges": edges.tolist()})


def _pieces(path: Path, layer: str) -> Iterator[NDArray[Any]]:
    """All weights of a layer, a few outputs at a time."""
    try:
        with safe_open(path, framework="numpy") as file:
            weight = file.get_slice(f"{layer}.weight")
            if not weight.get_shape():
                yield np.asarray(file.get_tensor(f"{layer}.weight")).reshape(1)
                return
            outputs, *rest = weight.get_shape()
            step = max(1, PIECE // max(1, math.prod(rest)))
            for start in range(0, outputs, step):
                yield np.asarray(weight[start : min(outputs, start + step)])
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"the weights of {layer} cannot be read from {path.name}: {error}") from error


def _fits(weight: Sequence[int], input_shape: Sequence[int]) -> bool:
    return math.prod(input_shape) == weight[1] and input_shape[1] * input_shape[2] > 1


def _read(path: Path, layer: str, outputs: int) -> NDArray[Any]:
    """The weights of a layer's first outputs."""
    try:
        with safe_open(path, framework="numpy") as file:
            values = file.get_slice(f"{layer}.weight")[:outputs]
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"the weights of {layer} cannot be read from {path.name}: {error}") from error
    return np.asarray(values)
