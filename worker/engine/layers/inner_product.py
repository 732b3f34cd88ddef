"""InnerProduct: every output sees every input (Caffe, inner_product_layer.cpp)."""

from __future__ import annotations

from math import prod

import torch.nn.functional as F
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, layer


@layer("InnerProduct")
class InnerProduct(LayerModule):
    """Flattens the axes from `axis` on and multiplies; the weight blob is (outputs, inputs), or its transpose."""

    makes_fresh_output = True

    bias: Tensor | None
    weight: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.inner_product_param
        self.axis = site.axis(options.axis)
        self.transpose = bool(options.transpose)
        inputs, outputs = prod(site.shape[self.axis :]), int(options.num_output)
        if outputs < 1:
            raise site.fail(f"num_output: expected 1 or more, found {outputs}")
        self.add_blob("weight", (inputs, outputs) if self.transpose else (outputs, inputs), options.weight_filler)
        if options.bias_term:
            self.add_blob("bias", (outputs,), options.bias_filler)
        else:
            self.bias = None

    def forward(self, values: Tensor) -> Tensor:
        weight = self.weight.t() if self.transpose else self.weight
        return F.linear(values.flatten(self.axis), weight, self.bias)
