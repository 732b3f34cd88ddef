"""Layers that sum up: Reduction over trailing axes, ArgMax, Softmax."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, exact, layer


@layer("Reduction")
class Reduction(LayerModule):
    """coeff × sum (or sum of magnitudes, of squares, or mean) over `axis` and all that follow."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.reduction_param
        self.operation = type(options).ReductionOp.Name(options.operation)
        self.axis, self.coefficient = site.axis(options.axis), float(options.coeff)

    def forward(self, values: Tensor) -> Tensor:
        rows = exact(values).reshape(*values.shape[: self.axis], -1)
        if self.operation == "ASUM":
            rows = rows.abs()
        if self.operation == "SUMSQ":
            rows = rows.square()
        total = rows.mean(-1) if self.operation == "MEAN" else rows.sum(-1)
        return total * self.coefficient


@layer("ArgMax")
class ArgMax(LayerModule):
    """The places of the top_k largest values, along `axis` or, without one, over everything but the batch.

    With `out_max_val` the values themselves: instead of the places along an axis, beside them without one.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.argmax_param
        self.top_k, self.gives_values = int(options.top_k), bool(options.out_max_val)
        self.axis = site.axis(options.axis) if options.HasField("axis") else None
        size = prod(site.shape[1:]) if self.axis is None else site.shape[self.axis]
        if not 1 <= self.top_k <= size:
            raise site.fail(f"top_k: expected 1 to {size}, found {self.top_k}")

    def forward(self, values: Tensor) -> Tensor:
        if self.axis is not None:
            largest = values.topk(self.top_k, self.axis)
            return largest.values if self.gives_values else largest.indices.to(values.dtype)
        largest = values.flatten(1).topk(self.top_k, 1)
        places = largest.indices.to(values.dtype)
        parts = [places, largest.values] if self.gives_values else [places]
        return torch.stack(parts, 1)[(..., *(None,) * (values.dim() - 3))]  # as many axes as its bottom, at least 3


@layer("Softmax")
class Softmax(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.axis = site.axis(site.options.softmax_param.axis)

    def forward(self, scores: Tensor) -> Tensor:
        return torch.softmax(exact(scores), self.axis)
