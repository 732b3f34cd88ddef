"""What a prediction's page says about each layer before anything is drawn: sizes, scales, and where its weights are.

The numbers come from the prediction's row and from the header of the weights; pictures are made when they are asked
for (`app/predictions/activations.py`, `app/predictions/filters.py`), so that a net of a hundred layers opens at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.predictions.activations import Scale, Tiling, maps_shape, tile, tiling_of
from app.predictions.filters import FilterView, Weights, view_filters

INPUT_TYPES = frozenset({"Input", "Data", "ImageData"})
PICTURE_WIDTH = 224  # px
PROBABILITIES = frozenset({"Softmax", "Sigmoid"})  # their scale is 0 to 1, whatever came out


@dataclass(frozen=True)
class LayerView:
    number: int
    name: str
    type: str
    shape: tuple[int, ...]
    numbers: Mapping[str, Any]  # mean, std, min, max, histogram
    weights: Weights | None = None
    filters: FilterView | None = None

    @property
    def tiling(self) -> Tiling:
        if self.is_picture:
            return tile(1, *self.maps[1:], wanted_width=PICTURE_WIDTH)
        return tiling_of(self.shape)

    @property
    def maps(self) -> tuple[int, int, int]:
        return maps_shape(self.shape)

    @property
    def is_vector(self) -> bool:
        return len([size for size in self.shape if size > 1]) <= 1

    @property
    def is_picture(self) -> bool:
        """What the net is fed: grey or BGR."""
        return self.type in INPUT_TYPES and len(self.shape) > 2 and self.maps[0] in (1, 3)

    @property
    def scale(self) -> Scale:
        return scale_of(self.type, self.numbers)


def scale_of(kind: str, numbers: Mapping[str, Any]) -> Scale:
    """The scale of a layer's picture, from its range; 0 to 1 for probabilities."""
    low, high = numbers.get("min"), numbers.get("max")
    if kind in PROBABILITIES:
        return Scale(0.0, 1.0)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return Scale(0.0, 1.0)
    limit = max(abs(low), abs(high))
    return Scale(-limit, limit) if low < 0 else Scale(low, high)


def view_layers(layers: Sequence[Mapping[str, Any]], shapes: Mapping[str, Weights]) -> list[LayerView]:
    """One view per layer, in the order of the net; `shapes` are those of the snapshot's parameters."""
    return list(_views(layers, shapes))


def _views(layers: Sequence[Mapping[str, Any]], shapes: Mapping[str, Weights]) -> Iterator[LayerView]:
    has_inner_product = False
    for number, layer in enumerate(layers):
        name, kind = str(layer["name"]), str(layer["type"])
        weights, filters = shapes.get(name), None
        if weights is not None:
            input_shape: tuple[int, ...] = ()
            if kind == "InnerProduct" and not has_inner_product:
                has_inner_product = True
                input_shape = _input_shape(layers[:number], weights.weight)
            filters = view_filters(kind, weights.weight, input_shape)
        yield LayerView(number, name, kind, tuple(layer["shape"]), layer, weights, filters)


def _input_shape(before: Sequence[Mapping[str, Any]], weight: Sequence[int]) -> tuple[int, ...]:
    """(C, H, W) of the last output before an inner product that has as many numbers as it has inputs."""
    for layer in reversed(before):
        shape = tuple(layer["shape"])
        maps = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
        if len(maps) == 3 and len(weight) == 2 and math.prod(maps) == weight[1]:
            return maps
    return ()
