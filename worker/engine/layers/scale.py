"""Scale and Bias: a factor, a summand, or both, laid along some axes of the bottom; learned, or a second bottom."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Shape, Site, layer


@layer("Scale")
class Scale(LayerModule):
    makes_fresh_output = True
    bias: Tensor | None

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.scale_param
        self.is_learned = len(site.shapes) == 1
        shape, self.view = _extent(site, options)
        self.is_per_channel = self.is_learned and self.view == site.shape[1:2] + (1,) * (len(site.shape) - 2)
        self.starts_at_one = self.is_learned and not options.HasField("filler")
        if self.is_learned:
            self.add_blob("weight", shape, options.filler)
        if options.bias_term:
            self.add_blob("bias", shape, options.bias_filler)
        else:
            self.bias = None

    @torch.no_grad()
    def fill_blobs(self, generator: torch.Generator) -> None:
        super().fill_blobs(generator)
        if self.starts_at_one:
            self.blob("weight").fill_(1)

    def forward(self, values: Tensor, factor: Tensor | None = None) -> Tensor:
        factor = (self.blob("weight") if factor is None else factor).view(self.view).to(values.dtype)
        if self.bias is None:
            return values * factor
        return torch.addcmul(self.bias.view(self.view).to(values.dtype), values, factor)


@layer("Bias")
class Bias(LayerModule):
    makes_fresh_output = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.bias_param
        shape, self.view = _extent(site, options)
        if len(site.shapes) == 1:
            self.add_blob("bias", shape, options.filler)

    def forward(self, values: Tensor, summand: Tensor | None = None) -> Tensor:
        summand = self.blob("bias") if summand is None else summand
        return values + summand.view(self.view).to(values.dtype)


def _extent(site: Site, options: Any) -> tuple[Shape, Shape]:
    """The operand's shape, and the view that broadcasts it over the bottom."""
    whole = site.shape
    if len(site.shapes) == 2:
        shape = site.shapes[1]
        axis = 0 if not shape else site.axis(options.axis)
    elif options.num_axes == 0:
        shape, axis = (), 0
    else:
        axis = site.axis(options.axis)
        end = len(whole) if options.num_axes == -1 else axis + options.num_axes
        if options.num_axes < -1 or end > len(whole):
            raise site.fail(f"num_axes {options.num_axes} from axis {axis} exceeds its bottom's shape {whole}")
        shape = whole[axis:end]
    if tuple(whole[axis : axis + len(shape)]) != tuple(shape):
        raise site.fail(f"expected the second bottom's shape {shape} to match {whole} from axis {axis} on")
    view = shape + (1,) * (len(whole) - axis - len(shape)) if shape else (1,) * len(whole)
    # The batch axis may be of another size at run time.
    return shape, (-1, *view[1:]) if axis == 0 and shape else view
