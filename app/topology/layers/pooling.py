"""Pooling, with Caffe's rounding."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, images, layer
from app.topology.layers.windows import Window, per_axis, size_text, windows

_STOCHASTIC = caffe_pb2.PoolingParameter.STOCHASTIC


@layer("Pooling", "pooling_param")
def pooling(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.pooling_param
    batch, channels, height, width = images(bottoms[0])
    down, across = pooling_windows(given, height, width)
    if given.pool == _STOCHASTIC and (down.pad or across.pad):  # Caffe, pooling_layer.cpp
        raise LayerFault("pool STOCHASTIC takes no pad; only MAX and AVE do", "pad")
    if down.kernel > height + 2 * down.pad or across.kernel > width + 2 * across.pad:
        # Caffe would cut such a window to its input; here as in the papers it is a slip.
        kernel = f"kernel_size {size_text(down.kernel, across.kernel)}"
        raise LayerFault(f"{kernel} exceeds its input {height}×{width}", "kernel_size")
    rounds = rounds_up(given)
    if rounds and not (down.pad or across.pad) and (down.ends_empty(height) or across.ends_empty(width)):
        # Caffe leaves such a window out only where there is a pad; without one its value is no number of the image.
        window = (
            f"kernel_size {size_text(down.kernel, across.kernel)} with stride {size_text(down.stride, across.stride)}"
        )
        raise LayerFault(
            f"{window} ends in an empty window on its input {height}×{width}; set round_mode: FLOOR", "stride"
        )
    return Outcome(tops=((batch, channels, down.pooled(height, rounds), across.pooled(width, rounds)),))


def pooling_windows(given: caffe_pb2.PoolingParameter, height: int, width: int) -> tuple[Window, Window]:
    """(height, width) windows of a Pooling that is fed images of this size."""
    if given.global_pooling:
        if given.HasField("kernel_size") or given.HasField("kernel_h") or given.HasField("kernel_w"):
            raise LayerFault("has global_pooling and a kernel size; only one of them may be given", "kernel_size")
        return Window(height), Window(width)
    kernels = per_axis("kernel_size", *_given(given, "kernel_size"), None)
    strides = per_axis("stride", *_given(given, "stride"), 1)
    pads = per_axis("pad", *_given(given, "pad"), 0)
    down, across = windows(kernels, strides, pads, [1, 1])
    if down.pad >= down.kernel or across.pad >= across.kernel:
        pad, kernel = size_text(down.pad, across.pad), size_text(down.kernel, across.kernel)
        raise LayerFault(f"pad {pad} is not smaller than kernel_size {kernel}", "pad")
    return down, across


def rounds_up(given: caffe_pb2.PoolingParameter) -> bool:
    """Whether a last window that is cut off by the edge counts (Caffe: yes, unless told otherwise)."""
    return given.round_mode == caffe_pb2.PoolingParameter.CEIL and given.ceil_mode


def _given(given: caffe_pb2.PoolingParameter, name: str) -> tuple[list[int], int | None, int | None]:
    stem = name.removesuffix("_size")
    one, height, width = (
        getattr(given, field) if given.HasField(field) else None for field in (name, f"{stem}_h", f"{stem}_w")
    )
    return [] if one is None else [one], height, width
