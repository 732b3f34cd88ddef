"""Caffe's layers as PyTorch modules, one file per family; importing this package fills the registry."""

from worker.engine.layers import (
    accuracy,
    activation,
    convolution,
    dropout,
    eltwise,
    inner_product,
    loss,
    normalisation,
    pooling,
    reduction,
    scale,
    shape,
)
from worker.engine.layers.registry import LayerModule, Shape, Site, build_layer, layer, supported_types

__all__ = [
    "LayerModule",
    "Shape",
    "Site",
    "accuracy",
    "activation",
    "build_layer",
    "convolution",
    "dropout",
    "eltwise",
    "inner_product",
    "layer",
    "loss",
    "normalisation",
    "pooling",
    "reduction",
    "scale",
    "shape",
    "supported_types",
]
