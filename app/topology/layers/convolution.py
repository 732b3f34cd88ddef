"""Convolution and Deconvolution."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, as_text, count, images, layer, positive
from app.topology.layers.windows import Window, per_axis, remainder_remarks, size_text, windows


@layer("Convolution", "convolution_param", bottoms=(1, None), tops=(1, None), has_weights=True)
def convolution(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.convolution_param
    batch, channels, height, width = _input(given, bottoms)
    outputs, group = _outputs(given, channels)
    down, across = convolution_windows(given)
    if down.reach > height + 2 * down.pad or across.reach > width + 2 * across.pad:
        raise LayerFault(_too_large(down, across, height, width), "kernel_size" if given.kernel_size else "kernel_h")
    top = (batch, outputs, down.convolved(height), across.convolved(width))
    weights = (outputs, channels // group, down.kernel, across.kernel)
    return Outcome(
        tops=(top,) * len(bottoms),
        weights=(weights, (outputs,)) if given.bias_term else (weights,),
        multiply_adds=count(top) * count(weights[1:]) * len(bottoms),
        remarks=remainder_remarks(down, across, height, width),
    )


@layer("Deconvolution", "convolution_param", bottoms=(1, None), tops=(1, None), has_weights=True)
def deconvolution(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.convolution_param
    batch, channels, height, width = _input(given, bottoms)
    outputs, group = _outputs(given, channels)
    down, across = convolution_windows(given)
    top = (batch, outputs, down.deconvolved(height), across.deconvolved(width))
    if min(top[2:]) < 1:
        raise LayerFault(f"pad leaves nothing of its output: {top[2]}×{top[3]}", "pad")
    weights = (channels, outputs // group, down.kernel, across.kernel)
    return Outcome(
        tops=(top,) * len(bottoms),
        weights=(weights, (outputs,)) if given.bias_term else (weights,),
        multiply_adds=batch * height * width * count(weights) * len(bottoms),
    )


def convolution_windows(given: caffe_pb2.ConvolutionParameter) -> tuple[Window, Window]:
    """(height, width) windows of a Convolution or Deconvolution."""
    kernels = per_axis("kernel_size", given.kernel_size, *_pair(given, "kernel"), None)
    strides = per_axis("stride", given.stride, *_pair(given, "stride"), 1)
    pads = per_axis("pad", given.pad, *_pair(given, "pad"), 0)
    return windows(kernels, strides, pads, per_axis("dilation", given.dilation, None, None, 1))


def _pair(given: caffe_pb2.ConvolutionParameter, stem: str) -> tuple[int | None, int | None]:
    height, width = (getattr(given, name) if given.HasField(name) else None for name in (f"{stem}_h", f"{stem}_w"))
    return height, width


def _input(given: caffe_pb2.ConvolutionParameter, bottoms: tuple[Shape, ...]) -> tuple[int, int, int, int]:
    if given.axis not in (1, -3):
        raise LayerFault(f"axis {given.axis} is not supported; channels are axis 1", "axis")
    if any(shape != bottoms[0] for shape in bottoms):
        raise LayerFault(f"its inputs differ: {', '.join(map(as_text, bottoms))}", "bottom")
    return images(bottoms[0])


def _outputs(given: caffe_pb2.ConvolutionParameter, channels: int) -> tuple[int, int]:
    if not given.num_output:
        raise LayerFault("num_output is missing", "num_output")
    group = positive(given.group, "group")
    if channels % group or given.num_output % group:
        found = f"{channels} channels and num_output {given.num_output}"
        raise LayerFault(f"group {group} does not divide {found}", "group")
    return given.num_output, group


def _too_large(down: Window, across: Window, height: int, width: int) -> str:
    kernel = f"kernel_size {size_text(down.kernel, across.kernel)}"
    if (down.dilation, across.dilation) != (1, 1):
        kernel += f" with dilation {size_text(down.dilation, across.dilation)}"
    padding = f" with pad {size_text(down.pad, across.pad)}" if down.pad or across.pad else ""
    return f"{kernel} exceeds its input {height}×{width}{padding}"
