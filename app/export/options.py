"""Layers' options as the writers need them: numbers for both sides, defaults filled in, axes counted from 0.

The rules behind them are those of `app/topology/layers/`; by the time a net is written it has passed them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.export.trained_net import Site
from app.topology import caffe_pb2
from app.topology.layers import Shape
from app.topology.layers.convolution import convolution_windows
from app.topology.layers.pooling import pooling_windows, rounds_up
from app.topology.layers.windows import Window

Pair = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Convolution:
    kernel: Pair
    stride: Pair
    pad: Pair
    dilation: Pair
    group: int


def convolution(site: Site) -> Convolution:
    given = site.options.convolution_param
    down, across = convolution_windows(given)
    return Convolution(
        (down.kernel, across.kernel),
        (down.stride, across.stride),
        (down.pad, across.pad),
        (down.dilation, across.dilation),
        given.group,
    )


LEAST_SUM = 1.1754944e-38  # FLT_MIN: what Caffe divides the weights of stochastic pooling by, at least


@dataclass(frozen=True)
class Pooling:
    is_max: bool
    is_stochastic: bool  # when a net predicts: the mean of a window's values, weighed by themselves
    is_global: bool
    kernel: Pair
    stride: Pair
    pad: Pair  # above and to the left; Caffe's windows may reach further below and to the right
    size: Pair  # of the input
    output: Pair
    rounds_up: bool  # and a remainder is left

    @property
    def pad_after(self) -> Pair:
        """Below and to the right, so that the last window just fits."""
        down, across = (
            max(0, (count - 1) * stride + kernel - size - pad)
            for count, stride, kernel, size, pad in zip(
                self.output, self.stride, self.kernel, self.size, self.pad, strict=True
            )
        )
        return down, across

    def area_factors(self) -> NDArray[np.float32] | None:
        """(1, 1, H, W): what corrects a mean over whole windows where Caffe divides by less (pooling_layer.cpp: the
        window's area within image and pad); None where it never does."""
        down, across = (self._lengths(side) for side in (0, 1))
        factors = self.kernel[0] * self.kernel[1] / np.outer(down, across)
        return None if (factors == 1).all() else factors.astype(np.float32)[None, None]

    def _lengths(self, side: int) -> NDArray[np.int64]:
        starts = np.arange(self.output[side]) * self.stride[side]  # counted from the first padded pixel
        end = self.size[side] + 2 * self.pad[side]
        return np.minimum(starts + self.kernel[side], end) - starts


def pooling(site: Site) -> Pooling:
    given = site.options.pooling_param
    if len(site.layer.tops) > 1:
        raise site.fail("a Pooling with a mask of maxima as second top cannot be exported")
    size = (site.shape[2], site.shape[3])
    sides: tuple[Window, Window] = pooling_windows(given, *size)
    is_up = rounds_up(given)
    return Pooling(
        is_max=given.pool == caffe_pb2.PoolingParameter.MAX,
        is_stochastic=given.pool == caffe_pb2.PoolingParameter.STOCHASTIC,
        is_global=given.global_pooling,
        kernel=(sides[0].kernel, sides[1].kernel),
        stride=(sides[0].stride, sides[1].stride),
        pad=(sides[0].pad, sides[1].pad),
        size=size,
        output=(sides[0].pooled(size[0], is_up), sides[1].pooled(size[1], is_up)),
        rounds_up=is_up and any(side.remainder(length) for side, length in zip(sides, size, strict=True)),
    )


def concat_axis(site: Site) -> int:
    given = site.options.concat_param
    return site.axis(given.concat_dim if given.HasField("concat_dim") else given.axis)


def slice_axis(site: Site) -> int:
    given = site.options.slice_param
    return site.axis(given.slice_dim if given.HasField("slice_dim") else given.axis)


def slice_sizes(site: Site) -> list[int]:
    axis = slice_axis(site)
    return [shape[axis] for shape in site.info.top_shapes]


def reshape_sizes(site: Site) -> list[int]:
    """The new shape: −1 for the batch, or for what is left over; the sizes of all other axes."""
    given = site.options.reshape_param
    start = given.axis if given.axis >= 0 else len(site.shape) + given.axis + 1
    sizes = list(site.info.top_shapes[0])
    wanted = list(given.shape.dim)
    if start == 0 and wanted and wanted[0] > 0:
        if -1 in wanted:
            sizes[wanted.index(-1)] = -1
        return sizes
    return [-1, *sizes[1:]]


def crop_offsets(site: Site) -> list[tuple[int, int, int]]:
    """(axis, offset, size) of every axis that is cut."""
    given = site.options.crop_param
    axis = site.axis(given.axis)
    offsets = list(given.offset) or [0]
    offsets = offsets * (len(site.shape) - axis) if len(offsets) == 1 else offsets
    return [(at, offset, site.shapes[1][at]) for at, offset in enumerate(offsets, start=axis)]


def operand_shape(site: Site, axis: int) -> Shape:
    """What a factor or summand is reshaped to, so that it lies along the bottom from `axis` on; −1 is the batch."""
    weight = site.weights.get("weight") or site.weights.get("bias")
    shape = site.shapes[1] if len(site.shapes) > 1 else weight.shape if weight else ()
    if not shape:
        return (1,) * len(site.shape)
    first = site.axis(axis)
    return (-1 if first == 0 else shape[0], *shape[1:], *(1,) * (len(site.shape) - first - len(shape)))


def log_of_base(base: float) -> float:
    return 1.0 if base == -1 else math.log(base)
