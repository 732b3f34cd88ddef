"""Kernel, pad, stride and dilation of convolutions and poolings, read from Caffe's repeated or _h/_w fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.engine.layers.registry import Site

Pair = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Window:
    kernel: Pair
    pad: Pair
    stride: Pair
    dilation: Pair = (1, 1)


def window(site: Site, options: Any) -> Window:
    """Reads a window; raises EngineError where a size is missing, doubled or out of range."""
    if len(site.shape) != 4:
        raise site.fail(f"expected a bottom with 4 axes (N, C, H, W), found shape {site.shape}")
    kernel = _pair(site, options, "kernel_size", "kernel_h", "kernel_w", default=None)
    pad = _pair(site, options, "pad", "pad_h", "pad_w", default=0)
    stride = _pair(site, options, "stride", "stride_h", "stride_w", default=1)
    dilation = _pair(site, options, "dilation", "", "", default=1) if hasattr(options, "dilation") else (1, 1)
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1 or min(pad) < 0:
        raise site.fail(f"expected kernel, stride and dilation of 1 or more and pad of 0 or more, found {options}")
    return Window(kernel, pad, stride, dilation)


@dataclass(frozen=True)
class Taps:
    """Along one side, the part of a kernel that meets the image, and the pad that is left for it."""

    first: int
    end: int
    pad: int


def taps(size: int, kernel: int, pad: int, stride: int, dilation: int) -> Taps:
    """Leaves out the ends of a kernel that lie in the padding wherever it stands (3 wide, pad 1, on 1 pixel: 2 of 3).

    What is left makes the same windows. The whole kernel where equal pads on both ends cannot do that.
    """
    count = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    starts = range(-pad, count * stride - pad, stride)
    meeting = [tap for tap in range(kernel) if any(0 <= start + tap * dilation < size for start in starts)]
    if meeting:
        first, end = meeting[0], meeting[-1] + 1
        left = pad - first * dilation
        if left >= 0 and (size + 2 * left - dilation * (end - first - 1) - 1) // stride + 1 == count:
            return Taps(first, end, left)
    return Taps(0, kernel, pad)


def _pair(site: Site, options: Any, both: str, height: str, width: str, default: int | None) -> Pair:
    """(height, width) of one size: `both` holds one or two values, or `height` and `width` hold one each."""
    values = _values(options, both)
    apart = [name for name in (height, width) if name and options.HasField(name)]
    if apart and values:
        raise site.fail(f"expected {both} or {height} and {width}, found both")
    if len(apart) == 2:
        return int(getattr(options, height)), int(getattr(options, width))
    if apart and default is None:
        raise site.fail(f"expected both {height} and {width}, found only {apart[0]}")
    if apart:
        return (
            int(getattr(options, height)) if height in apart else int(default or 0),
            int(getattr(options, width)) if width in apart else int(default or 0),
        )
    if len(values) > 2:
        raise site.fail(f"{both}: expected one value or two (height, width), found {len(values)}")
    if not values and default is None:
        raise site.fail(f"{both} is missing")
    return _first_and_last(values) if values else (int(default or 0), int(default or 0))


def _values(options: Any, name: str) -> list[int]:
    """The values given for a field that is repeated in convolutions and single in poolings."""
    value = getattr(options, name)
    if isinstance(value, int):
        return [value] if options.HasField(name) else []
    return [int(item) for item in value]


def _first_and_last(values: list[int]) -> Pair:
    return values[0], values[-1]
