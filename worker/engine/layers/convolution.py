"""Convolution and Deconvolution (Caffe, base_conv_layer.cpp): grouped, dilated, rectangular, always over (H, W)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from worker.engine.layers.geometry import Window, taps, window
from worker.engine.layers.registry import LayerModule, Site, layer


class _Windowed(LayerModule):
    """What both share: the window, the groups, and a weight blob with an optional bias."""

    makes_fresh_output = True

    bias: Tensor | None
    weight: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.convolution_param
        if options.axis not in (1, -3):
            raise site.fail(f"axis: only 1 (channels) is supported, found {options.axis}")
        self.window: Window = window(site, options)
        self.outputs = int(options.num_output)
        self.group = int(options.group)
        self.inputs = site.shape[1]
        if self.outputs < 1:
            raise site.fail(f"num_output: expected 1 or more, found {self.outputs}")
        if self.group < 1 or self.inputs % self.group or self.outputs % self.group:
            raise site.fail(f"group {self.group} does not divide {self.inputs} inputs and {self.outputs} outputs")
        self.add_blob("weight", self.weight_shape(), options.weight_filler)
        if options.bias_term:
            self.add_blob("bias", (self.outputs,), options.bias_filler)
        else:
            self.bias = None

    def weight_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def convolve(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Every bottom is convolved with the same weights into a top of its own."""
        if len(bottoms) == 1:
            return self.convolve(bottoms[0])
        return tuple(self.convolve(images) for images in bottoms)


@layer("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
class Convolution(_Windowed):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        window = self.window
        for side, size in enumerate(site.shape[2:]):
            reach = window.dilation[side] * (window.kernel[side] - 1) + 1
            if size + 2 * window.pad[side] < reach:
                raise site.fail(f"kernel_size {reach} exceeds its input {site.shape[2]}×{site.shape[3]}")
        sides = zip(site.shape[2:], window.kernel, window.pad, window.stride, window.dilation, strict=True)
        self.rows, self.columns = (taps(*side) for side in sides)
        self.is_whole = (self.rows.end - self.rows.first, self.columns.end - self.columns.first) == window.kernel

    def weight_shape(self) -> tuple[int, ...]:
        return self.outputs, self.inputs // self.group, *self.window.kernel

    def convolve(self, images: Tensor) -> Tensor:
        window, rows, columns = self.window, self.rows, self.columns
        weight = self.weight
        if not self.is_whole:  # cut with the channels last, so that the gradient is laid out as the weight is
            last = weight.permute(0, 2, 3, 1)
            weight = last[:, rows.first : rows.end, columns.first : columns.end].permute(0, 3, 1, 2)
        pad = rows.pad, columns.pad
        return F.conv2d(images, weight, self.bias, window.stride, pad, window.dilation, self.group)


@layer("Deconvolution")
class Deconvolution(_Windowed):
    """The gradient of a convolution as a layer of its own: the output is larger than the input by the stride."""

    def weight_shape(self) -> tuple[int, ...]:
        return self.inputs, self.outputs // self.group, *self.window.kernel

    def convolve(self, images: Tensor) -> Tensor:
        window = self.window
        return F.conv_transpose2d(
            images, self.weight, self.bias, window.stride, window.pad, 0, self.group, window.dilation
        )
