"""Eltwise: several bottoms of one shape become one, by product, weighted sum or maximum."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, layer


@layer("Eltwise")
class Eltwise(LayerModule):
    makes_fresh_output = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.eltwise_param
        self.operation = type(options).EltwiseOp.Name(options.operation)
        self.coefficients = [float(value) for value in options.coeff]
        if len(site.shapes) < 2 or any(shape != site.shape for shape in site.shapes):
            raise site.fail(f"expected two or more bottoms of one shape, found {', '.join(map(str, site.shapes))}")
        if self.coefficients and self.operation != "SUM":
            raise site.fail(f"coeff belongs to SUM, found it with {self.operation}")
        if self.coefficients and len(self.coefficients) != len(site.shapes):
            raise site.fail(f"coeff: expected one per bottom ({len(site.shapes)}), found {len(self.coefficients)}")

    def forward(self, *bottoms: Tensor) -> Tensor:
        if self.operation == "PROD":
            return reduce(torch.mul, bottoms)
        if self.operation == "MAX":
            return reduce(_first_maximum, bottoms)
        if not self.coefficients:
            return reduce(torch.add, bottoms)
        parts = [bottom * factor for bottom, factor in zip(bottoms, self.coefficients, strict=True)]
        return reduce(torch.add, parts)


def _first_maximum(left: Tensor, right: Tensor) -> Tensor:
    """The larger value; of equal ones the left, which alone gets the gradient, as in Caffe."""
    return torch.where(left >= right, left, right)
