"""Layers that work on each value alone: ReLU and its kin, Sigmoid, TanH, and arithmetic (Power, Exp, Log, …)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, layer


@layer("ReLU")
class ReLU(LayerModule):
    inplace_possible = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.negative_slope = float(site.options.relu_param.negative_slope)

    def forward(self, values: Tensor) -> Tensor:
        if self.negative_slope:
            return F.leaky_relu(values, self.negative_slope)
        return F.relu(values, inplace=self.inplace)


@layer("PReLU")
class PReLU(LayerModule):
    """Slope learned per channel, 0.25 at the start unless a filler says otherwise."""

    weight: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.prelu_param
        self.starts_at_default = not options.HasField("filler")
        channels = 1 if options.channel_shared else site.shape[1]
        # Caffe's shared slope is a blob without axes.
        self.add_blob("weight", () if options.channel_shared else (channels,), options.filler)

    @torch.no_grad()
    def fill_blobs(self, generator: torch.Generator) -> None:
        if self.starts_at_default:
            self.weight.fill_(0.25)
        else:
            super().fill_blobs(generator)

    def forward(self, values: Tensor) -> Tensor:
        return F.prelu(values, self.weight.reshape(-1).to(values.dtype))


@layer("ELU")
class ELU(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.alpha = float(site.options.elu_param.alpha)

    def forward(self, values: Tensor) -> Tensor:
        return F.elu(values, self.alpha)


@layer("Sigmoid")
class Sigmoid(LayerModule):
    def forward(self, values: Tensor) -> Tensor:
        return torch.sigmoid(values)


@layer("TanH")
class TanH(LayerModule):
    def forward(self, values: Tensor) -> Tensor:
        return torch.tanh(values)


@layer("AbsVal")
class AbsVal(LayerModule):
    def forward(self, values: Tensor) -> Tensor:
        return values.abs()


@layer("BNLL")
class BNLL(LayerModule):
    """log(1 + eˣ), the binomial normal log likelihood."""

    def forward(self, values: Tensor) -> Tensor:
        return F.softplus(values)


@layer("Power")
class Power(LayerModule):
    """(shift + scale · x) ^ power."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.power_param
        self.power, self.scale, self.shift = float(options.power), float(options.scale), float(options.shift)

    def forward(self, values: Tensor) -> Tensor:
        line = values if self.scale == 1 else values * self.scale
        line = line if self.shift == 0 else line + self.shift
        return line if self.power == 1 else line.pow(self.power)


@layer("Exp")
class Exp(LayerModule):
    """base ^ (shift + scale · x); base −1 stands for e."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.exp_param
        logarithm = _log_of_base(site, float(options.base))
        self.factor, self.summand = options.scale * logarithm, options.shift * logarithm

    def forward(self, values: Tensor) -> Tensor:
        return torch.exp(values * self.factor + self.summand)


@layer("Log")
class Log(LayerModule):
    """log_base(shift + scale · x); base −1 stands for e."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.log_param
        self.scale, self.shift = float(options.scale), float(options.shift)
        logarithm = _log_of_base(site, float(options.base))
        if logarithm == 0:
            raise site.fail("base: a logarithm to base 1 does not exist")
        self.factor = 1 / logarithm

    def forward(self, values: Tensor) -> Tensor:
        return torch.log(values * self.scale + self.shift) * self.factor


@layer("Threshold")
class Threshold(LayerModule):
    """1 where the value is above the threshold, 0 elsewhere; no gradient passes."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.threshold = float(site.options.threshold_param.threshold)

    def forward(self, values: Tensor) -> Tensor:
        return (values > self.threshold).to(values.dtype)


def _log_of_base(site: Site, base: float) -> float:
    if base != -1 and base <= 0:
        raise site.fail(f"base: expected a positive number, or -1 for e, found {base:g}")
    return 1.0 if base == -1 else math.log(base)
