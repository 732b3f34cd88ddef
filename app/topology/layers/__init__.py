"""The layer types by family, entered in one registry when this package is imported."""

from app.topology.layers import (
    activation,
    combination,
    convolution,
    inner_product,
    loss,
    normalization,
    pooling,
    reshaping,
)
from app.topology.layers.registry import (
    DATA_TYPES,
    LayerType,
    Outcome,
    Shape,
    as_text,
    count,
    layer_type,
    layer_types,
    suggest_type,
)

__all__ = [
    "DATA_TYPES",
    "LayerType",
    "Outcome",
    "Shape",
    "activation",
    "as_text",
    "combination",
    "convolution",
    "count",
    "inner_product",
    "layer_type",
    "layer_types",
    "loss",
    "normalization",
    "pooling",
    "reshaping",
    "suggest_type",
]
