"""Layers that normalise: LRN (across and within channels), BatchNorm with Caffe's running sums, MVN."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from app.topology.net import Phase
from worker.engine.layers.registry import LayerModule, Site, exact, layer


@layer("LRN")
class LRN(LayerModule):
    """x · (k + alpha/n · Σ x²)^-beta over n neighbouring channels, or over an n×n window of the same channel.

    Within a channel n counts the window's area, and k is 1 as in Caffe (lrn_layer.cpp).
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.lrn_param
        self.size, self.alpha, self.beta = int(options.local_size), float(options.alpha), float(options.beta)
        self.k = float(options.k)
        if self.size < 1 or self.size % 2 == 0:
            raise site.fail(f"local_size: expected an odd number, found {self.size}")
        if len(site.shape) != 4:
            raise site.fail(f"expected a bottom with 4 axes (N, C, H, W), found shape {site.shape}")
        self.is_across = options.norm_region == type(options).ACROSS_CHANNELS

    def forward(self, values: Tensor) -> Tensor:
        if self.is_across and not (torch.is_grad_enabled() and values.requires_grad):
            return _across_channels(values, self.size, self.alpha, self.beta, self.k)[0]
        if self.is_across:
            normalised: Tensor = _AcrossChannels.apply(values, self.size, self.alpha, self.beta, self.k)
            return normalised
        wide = exact(values)
        mean = F.avg_pool2d(wide * wide, self.size, stride=1, padding=self.size // 2)
        return (wide * (mean * self.alpha + 1).pow(-self.beta)).to(values.dtype)


class _AcrossChannels(torch.autograd.Function):
    """The gradient is written out because autograd would keep four more arrays of the bottom's size."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        normalised, base = _across_channels(values, size, alpha, beta, k)
        ctx.save_for_backward(values, base)
        ctx.numbers = size, alpha, beta
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        values, base = ctx.saved_tensors
        size, alpha, beta = ctx.numbers
        direct = _negative_power(base, beta).mul_(gradients[0])
        wide = exact(values)
        through_base = _channel_window_sum((direct * wide).div_(base), size).mul_(wide)
        result = direct.add_(through_base, alpha=-2 * alpha * beta / size)
        return result.to(values.dtype), None, None, None, None


def _across_channels(values: Tensor, size: int, alpha: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
    """The normalised values, and k + alpha/n · Σ x² in float32."""
    wide = exact(values)
    base = _channel_window_sum(wide * wide, size).mul_(alpha / size).add_(k)
    return _negative_power(base, beta).mul_(wide).to(values.dtype), base


def _channel_window_sum(values: Tensor, size: int) -> Tensor:
    """For each channel the sum over `size` channels around it; (N, C, H, W)."""
    reach, total = size // 2, values.clone()
    for step in range(1, min(reach, values.shape[1] - 1) + 1):
        total[:, step:] += values[:, :-step]
        total[:, :-step] += values[:, step:]
    return total


def _negative_power(base: Tensor, beta: float) -> Tensor:
    if beta == 0.75:  # by far the usual one; two roots are three times as fast as a power
        root = base.rsqrt()
        return root.sqrt().mul_(root)
    return base.pow(-beta)


@layer("BatchNorm")
class BatchNorm(LayerModule):
    """(x - mean) / √(variance + eps) per channel; of the batch in TRAIN, of the running sums in TEST.

    Caffe keeps sums: each batch multiplies mean, variance and factor by the moving average fraction and adds its
    own mean, its unbiased variance, and 1. The running statistics are mean / factor and variance / factor.
    `forward` also takes the weight and bias (C,) of a Scale that follows, and applies them in the same pass.
    """

    makes_fresh_output = True

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.batch_norm_param
        self.eps, self.fraction = float(options.eps), float(options.moving_average_fraction)
        given = options.HasField("use_global_stats")
        self.uses_running = bool(options.use_global_stats) if given else site.phase is Phase.TEST
        channels = site.shape[1] if len(site.shape) > 1 else 1
        for name, count in (("mean", channels), ("variance", channels), ("factor", 1)):
            self.add_blob(name, (count,), learned=False)

    def forward(self, values: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        if values.dim() == 1:
            return self._normalised(values[:, None], weight, bias)[:, 0]
        return self._normalised(values, weight, bias)  # no view: writing over one costs autograd a copy

    def _normalised(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.uses_running:
            return self._with_running(values, weight, bias)
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.variance)
        # Momentum 1 makes PyTorch leave this batch's mean and unbiased variance in the two.
        result = torch.batch_norm(values, weight, bias, mean, variance, True, 1.0, self.eps, True)
        if values.numel() // values.shape[1] == 1:
            variance.zero_()  # one value has no unbiased variance; Caffe takes the biased one
        with torch.no_grad():
            self.mean.mul_(self.fraction).add_(mean)
            self.variance.mul_(self.fraction).add_(variance)
            self.factor.mul_(self.fraction).add_(1)
        return result

    def _with_running(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        inverse = torch.where(self.factor == 0, self.factor, 1 / self.factor)
        mean, variance = self.mean * inverse, self.variance * inverse
        return torch.batch_norm(values, weight, bias, mean, variance, False, 0.0, self.eps, True)


@layer("MVN")
class MVN(LayerModule):
    """(x - mean) / (√variance + eps) per image and channel, or per image with `across_channels`."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.mvn_param
        self.scales, self.eps = bool(options.normalize_variance), float(options.eps)
        self.first_axis = 1 if options.across_channels else 2
        if prod(site.shape[self.first_axis :]) < 1 or len(site.shape) <= self.first_axis:
            raise site.fail(f"expected a bottom with an image (N, C, H, W), found shape {site.shape}")

    def forward(self, values: Tensor) -> Tensor:
        wide = exact(values)
        axes = tuple(range(self.first_axis, values.dim()))
        centred = wide - wide.mean(axes, keepdim=True)
        if self.scales:
            centred = centred / (centred.square().mean(axes, keepdim=True).sqrt() + self.eps)
        return centred.to(values.dtype)
