"""Pooling with Caffe's rounding (Caffe, pooling_layer.cpp): the number of windows is rounded up, a last window that
would start in the padding is dropped, and AVE divides by the window's area clipped to the padded image.

PyTorch's `ceil_mode` follows the same rule. It is switched on only where the division leaves a remainder.

STOCHASTIC (Zeiler and Fergus, 2013; Caffe, pooling_layer.cu) takes one value of each window in training, with a
probability that is its share of the window's sum, and otherwise their mean weighed by those shares. It is meant for
values that are not negative; those below 0 have no share here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from app.topology.net import Phase
from worker.engine.layers.geometry import Pair, window
from worker.engine.layers.registry import LayerModule, Site, exact, layer

LEAST_SUM = 1.1754944e-38  # FLT_MIN, as in Caffe: a window of zeros gives 0


@layer("Pooling")
class Pooling(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.pooling_param
        self.is_max = _is_max(site)
        self.is_stochastic = options.pool == type(options).STOCHASTIC
        self.draws = self.is_stochastic and site.phase is Phase.TRAIN
        self.is_global = bool(options.global_pooling)
        if self.is_global:
            _expect_no_window(site)
            return
        self.window = window(site, options)
        sides = list(zip(site.shape[2:], self.window.kernel, self.window.pad, self.window.stride, strict=True))
        if any(pad >= kernel for _, kernel, pad, _ in sides):
            raise site.fail(f"expected pad smaller than kernel_size, found {self.window.pad} and {self.window.kernel}")
        if any(size + 2 * pad < kernel for size, kernel, pad, _ in sides):
            raise site.fail(f"kernel_size {self.window.kernel} exceeds its input {site.shape[2]}×{site.shape[3]}")
        if self.is_stochastic and any(self.window.pad):
            raise site.fail("pool STOCHASTIC takes no pad; only MAX and AVE do")
        has_remainder = any((size + 2 * pad - kernel) % stride for size, kernel, pad, stride in sides)
        rounds_up = options.round_mode == type(options).CEIL and options.ceil_mode
        self.rounds_up = bool(rounds_up and has_remainder)
        # PyTorch takes at most half a kernel of padding; wider pads are laid out, and the surplus windows cut off.
        self.lays_out_pad = any(2 * pad > kernel for _, kernel, pad, _ in sides)
        self.output: Pair = (_windows(*sides[0], self.rounds_up), _windows(*sides[1], self.rounds_up))

    def forward(self, images: Tensor) -> Tensor:
        if self.is_stochastic:
            return self._drawn(exact(images)) if self.draws else self._weighed(exact(images))
        return self._pooled(images)

    def _drawn(self, images: Tensor) -> Tensor:
        """Draws from the default generator, whose state is part of a snapshot."""
        windows = self._windows_of(images)  # (N, C, h, w, values), row by row as Caffe goes through them
        shares = windows.relu().cumsum(-1)
        threshold = (1 - torch.rand_like(shares[..., :1])) * shares[..., -1:]
        chosen = (shares >= threshold).int().argmax(-1, keepdim=True)  # the first that reaches it
        return windows.gather(-1, chosen).squeeze(-1)

    def _weighed(self, images: Tensor) -> Tensor:
        weights = images.relu()
        return self._pooled(weights * images) / self._pooled(weights).clamp(min=LEAST_SUM)

    def _windows_of(self, images: Tensor) -> Tensor:
        if self.is_global:
            return images.flatten(2)[:, :, None, None]
        (down, across), (high, wide), (rows, columns) = self.window.stride, self.window.kernel, self.output
        below = max(0, (rows - 1) * down + high - images.shape[2])
        right = max(0, (columns - 1) * across + wide - images.shape[3])
        whole = F.pad(images, (0, right, 0, below))  # what is beyond the edge has no share
        return whole.unfold(2, high, down).unfold(3, wide, across)[:, :, :rows, :columns].flatten(4)

    def _pooled(self, images: Tensor) -> Tensor:
        if self.is_global:
            return images.amax((2, 3), True) if self.is_max else images.mean((2, 3), True)
        kernel, stride, pad = self.window.kernel, self.window.stride, self.window.pad
        if self.lays_out_pad:
            images = F.pad(images, (pad[1], pad[1], pad[0], pad[0]), value=float("-inf") if self.is_max else 0)
            pad = (0, 0)
        if self.is_max:
            pooled = F.max_pool2d(images, kernel, stride, pad, ceil_mode=self.rounds_up)
        else:
            pooled = F.avg_pool2d(images, kernel, stride, pad, ceil_mode=self.rounds_up)
        return pooled[:, :, : self.output[0], : self.output[1]] if self.lays_out_pad else pooled


def _is_max(site: Site) -> bool:
    options = site.options.pooling_param
    if len(site.layer.tops) > 1:
        raise site.fail(f"expected one top, found {len(site.layer.tops)}; the mask of maxima is not supported")
    return bool(options.pool == type(options).MAX)


def _expect_no_window(site: Site) -> None:
    options = site.options.pooling_param
    if len(site.shape) != 4:
        raise site.fail(f"expected a bottom with 4 axes (N, C, H, W), found shape {site.shape}")
    if any(options.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
        raise site.fail("global_pooling covers the whole image, so kernel_size cannot be given as well")


def _windows(size: int, kernel: int, pad: int, stride: int, rounds_up: bool) -> int:
    """How many windows along one side."""
    room = size + 2 * pad - kernel
    count = (-(-room // stride) if rounds_up else room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad else count
