"""Kernel, stride, pad and dilation of convolutions and poolings, and Caffe's arithmetic of output sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.topology.errors import LayerFault
from app.topology.layers.registry import positive

LARGEST = 1_000_000  # of a kernel, stride, pad or dilation: more is a slip of the key


@dataclass(frozen=True)
class Window:
    """A window on one axis."""

    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Pixels from its first to its last weight."""
        return self.dilation * (self.kernel - 1) + 1

    def convolved(self, size: int) -> int:
        """Output size of a convolution (Caffe, conv_layer.cpp): places for whole windows."""
        return (size + 2 * self.pad - self.reach) // self.stride + 1

    def deconvolved(self, size: int) -> int:
        """Output size of a deconvolution (Caffe, deconv_layer.cpp)."""
        return self.stride * (size - 1) + self.reach - 2 * self.pad

    def pooled(self, size: int, rounds_up: bool = True) -> int:
        """Output size of a pooling (Caffe, pooling_layer.cpp): rounded up; no window begins beyond image and pad."""
        room = size + 2 * self.pad - self.kernel
        pooled = (-(-room // self.stride) if rounds_up else room // self.stride) + 1
        return pooled - 1 if self._begins_beyond(size, pooled) else pooled

    def ends_empty(self, size: int) -> bool:
        """Whether rounding up gives a last window that holds no pixel."""
        return self._begins_beyond(size, -(-(size + 2 * self.pad - self.kernel) // self.stride) + 1)

    def _begins_beyond(self, size: int, windows: int) -> bool:
        return (windows - 1) * self.stride >= size + self.pad

    def remainder(self, size: int) -> int:
        """Pixels at the end that no whole window reaches."""
        return (size + 2 * self.pad - self.reach) % self.stride


def per_axis(name: str, given: Sequence[int], height: int | None, width: int | None, default: int | None) -> list[int]:
    """An option's values for height and width, from `name: …` (once or twice) or `name_h` and `name_w`."""
    stem = name.removesuffix("_size")
    if height is not None or width is not None:
        if given:
            raise LayerFault(f"has {name} and {stem}_h or {stem}_w; only one form may be given", name)
        if (height is None or width is None) and default is None:
            raise LayerFault(f"has only one of {stem}_h and {stem}_w", f"{stem}_h" if width is None else f"{stem}_w")
        values = [default if value is None else value for value in (height, width)]
    elif not given:
        values = [default, default]
    elif len(given) in (1, 2):
        values = [given[0], given[-1]]
    else:
        raise LayerFault(f"has {len(given)} values of {name}; expected one, or one each for height and width", name)
    numbers = [value for value in values if value is not None]
    if len(numbers) < 2:
        raise LayerFault(f"{name} is missing", name)
    for value in numbers:
        if value > LARGEST:
            raise LayerFault(f"{name} {value} is too large; at most {LARGEST:,}", name)
    return numbers


def windows(kernels: list[int], strides: list[int], pads: list[int], dilations: list[int]) -> tuple[Window, Window]:
    """The windows for height and width."""
    for kernel, stride, dilation in zip(kernels, strides, dilations, strict=True):
        positive(kernel, "kernel_size")
        positive(stride, "stride")
        positive(dilation, "dilation")
    down, across = (Window(*values) for values in zip(kernels, strides, pads, dilations, strict=True))
    return down, across


def size_text(down: int, across: int) -> str:
    return str(down) if down == across else f"{down}×{across}"


def remainder_remarks(down: Window, across: Window, height: int, width: int) -> tuple[str, ...]:
    """A warning where windows that touch or overlap leave pixels over at the lower or right edge (after padding)."""
    if down.reach < down.stride or across.reach < across.stride:
        return ()  # pixels are left out everywhere, on purpose
    rows, columns = max(0, down.remainder(height) - down.pad), max(0, across.remainder(width) - across.pad)
    left = [f"{rows} of {height} rows"] * bool(rows) + [f"{columns} of {width} columns"] * bool(columns)
    if not left:
        return ()
    return (f"stride {size_text(down.stride, across.stride)} leaves {' and '.join(left)} unread",)
