"""Pooling with Caffe's rounding (Caffe, pooling_layer.cpp): the number of windows is rounded up, a last window that
would start in the padding is dropped, and AVE divides by the window's area clipped to the padded image.

PyTorch's `ceil_mode` follows the same rule. It is switched on only where the division leaves a remainder.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from worker.engine.layers.geometry import Pair, window
from worker.engine.layers.registry import LayerModule, Site, layer


@layer("Pooling")
class Pooling(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.pooling_param
        self.is_max = _is_max(site)
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
        has_remainder = any((size + 2 * pad - kernel) % stride for size, kernel, pad, stride in sides)
        rounds_up = options.round_mode == type(options).CEIL and options.ceil_mode
        self.rounds_up = bool(rounds_up and has_remainder)
        # PyTorch takes at most half a kernel of padding; wider pads are laid out, and the surplus windows cut off.
        self.lays_out_pad = any(2 * pad > kernel for _, kernel, pad, _ in sides)
        self.output: Pair = (_windows(*sides[0], self.rounds_up), _windows(*sides[1], self.rounds_up))

    def forward(self, images: Tensor) -> Tensor:
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
    if options.pool not in (type(options).MAX, type(options).AVE):
        raise site.fail(f"pool {type(options).PoolMethod.Name(options.pool)} is not supported; expected MAX or AVE")
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
