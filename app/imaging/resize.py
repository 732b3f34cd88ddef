"""The five resize modes, with the arithmetic of DIGITS 6.1 (`digits/utils/image.py`) and an anti-aliased filter.

Noise is drawn from the picture itself, so that the same picture always gives the same result, in a dataset and in a
prediction alike.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from PIL import Image

from app.preprocessing import Color, ResizeMode

MAX_SCALED_PIXELS = 64_000_000  # before cropping, for a picture that is very long and thin
_BILINEAR = Image.Resampling.BILINEAR


class ResizeError(Exception):
    """The picture cannot be brought to the size; the text says why."""


def resize(
    image: Image.Image, width: int, height: int, mode: ResizeMode, fill_color: Color | None = None
) -> Image.Image:
    """`image` (mode L or RGB) at exactly width × height. `fill_color` takes the place of noise at the borders."""
    if image.size == (width, height):
        return image
    if mode is ResizeMode.NONE:
        raise ResizeError(f"is {image.width}×{image.height}, not {width}×{height}, and resizing is off")
    if mode is ResizeMode.SQUASH or image.width * height == image.height * width:
        return image.resize((width, height), _BILINEAR)
    across, down = scaled_size(image.size, width, height, mode)
    if across * down > MAX_SCALED_PIXELS:
        raise ResizeError(f"is too long and thin: {across:,}×{down:,} when it is scaled, before its ends are cut off")
    scaled = image.resize((across, down), _BILINEAR)
    cropped = _center_crop(scaled, width, height)
    return cropped if cropped.size == (width, height) else _fill(cropped, width, height, fill_color)


def scaled_size(size: tuple[int, int], width: int, height: int, mode: ResizeMode) -> tuple[int, int]:
    """What the picture is scaled to before it is cropped or filled."""
    across, down = size[0] / width, size[1] / height
    ratio = {
        ResizeMode.CROP: min(across, down),  # covers the target
        ResizeMode.FILL: max(across, down),  # fits inside the target
        ResizeMode.HALF_CROP: (across + down) / 2,
    }[mode]
    scaled_width, scaled_height = _round(size[0] / ratio), _round(size[1] / ratio)
    if mode is not ResizeMode.CROP:  # equal borders need an even gap
        scaled_width += _is_odd_gap(width - scaled_width)
        scaled_height += _is_odd_gap(height - scaled_height)
    return scaled_width, scaled_height


def _is_odd_gap(gap: int) -> bool:
    return gap > 0 and gap % 2 == 1


def _round(value: float) -> int:
    return max(1, math.floor(value + 0.5))


def _center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Cuts what sticks out of width × height, equally on both sides."""
    left = _round_start(image.width - width)
    top = _round_start(image.height - height)
    box = (left, top, left + min(width, image.width), top + min(height, image.height))
    return image if box == (0, 0, *image.size) else image.crop(box)


def _round_start(excess: int) -> int:
    return math.floor(excess / 2 + 0.5) if excess > 0 else 0


def _fill(image: Image.Image, width: int, height: int, color: Color | None) -> Image.Image:
    if color is None:
        canvas = _noise(image, width, height)
    else:
        canvas = Image.new("RGB", (width, height), color).convert(image.mode)
    canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return canvas


def _noise(image: Image.Image, width: int, height: int) -> Image.Image:
    random = np.random.RandomState(zlib.crc32(image.tobytes()))
    shape = (height, width) if image.mode == "L" else (height, width, 3)
    return Image.fromarray(random.randint(0, 255, shape, np.uint8))
