"""What the page says of each layer before it is drawn."""

from __future__ import annotations

import math
from typing import Any

from app.predictions.filters import Weights
from app.predictions.layer_views import scale_of, view_layers


def layer(name: str, kind: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "type": kind, "shape": list(shape), "min": -1.0, "max": 2.0}


LENET = [
    layer("data", "Data", 1, 28, 28),
    layer("conv1", "Convolution", 20, 24, 24),
    layer("pool2", "Pooling", 50, 4, 4),
    layer("ip1", "InnerProduct", 500),
    layer("ip2", "InnerProduct", 10),
]
WEIGHTS = {
    "conv1": Weights((20, 1, 5, 5), 520),
    "ip1": Weights((500, 800), 400_500),
    "ip2": Weights((10, 500), 5010),
}


def test_filters_are_seen_of_convolutions_and_of_the_first_inner_product() -> None:
    views = view_layers(LENET, WEIGHTS)
    assert [view.name for view in views if view.filters] == ["conv1", "ip1"]
    ip1 = views[3].filters
    assert ip1 is not None
    assert ip1.shape == (500, 50, 4, 4)


def test_layers_without_weights_in_the_file_are_shown_all_the_same() -> None:
    assert [view.weights for view in view_layers(LENET, {})] == [None] * 5


def test_the_input_is_a_picture_and_a_vector_is_not() -> None:
    views = view_layers(LENET, {})
    assert [view.is_picture for view in views] == [True, False, False, False, False]
    assert [view.is_vector for view in views] == [False, False, False, True, True]


def test_probabilities_are_drawn_from_zero_to_one() -> None:
    scale = scale_of("Softmax", {"min": 0.1, "max": 0.4})
    assert (scale.low, scale.high) == (0.0, 1.0)


def test_a_range_that_is_unknown_or_not_finite_still_has_a_scale() -> None:
    for numbers in ({}, {"min": None, "max": 1.0}, {"min": math.nan, "max": math.nan}, {"min": -math.inf, "max": 0.0}):
        scale = scale_of("Convolution", numbers)
        assert (scale.low, scale.high) == (0.0, 1.0)
