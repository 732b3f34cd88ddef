"""Altered copies of training pictures, made with the dataset: turned, shifted, zoomed, mirrored; originals stay.

Augmentation per batch while training is in `worker/engine`; this one is stored, so that every run sees the same copies.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Augmentation:
    """`copies` altered copies of each training picture; each alteration is drawn evenly from its range."""

    copies: int = 1
    rotation_degrees: float = 0.0  # 0–180, to either side
    shift_x: float = 0.0  # share of the width, 0–0.5, to either side
    shift_y: float = 0.0
    zoom_out: float = 1.0  # 0.5–1
    zoom_in: float = 1.0  # 1–2
    mirror: bool = False  # every second copy, left to right

    @classmethod
    def from_options(cls, chosen: Mapping[str, Any] | None) -> Augmentation | None:
        """Of a dataset's options, which say percent; None when there are no copies to make."""
        if not chosen or not chosen["copies"]:
            return None
        return cls(
            copies=int(chosen["copies"]),
            rotation_degrees=float(chosen["rotation"]),
            shift_x=float(chosen["shift_x"]) / 100,
            shift_y=float(chosen["shift_y"]) / 100,
            zoom_out=float(chosen["zoom_out"]) / 100,
            zoom_in=float(chosen["zoom_in"]) / 100,
            mirror=bool(chosen["mirror"]),
        )

    def problem(self) -> str | None:
        """What is wrong with the values; None when they can be used."""
        ranges = {
            "copies": (self.copies, 1, 20),
            "rotation": (self.rotation_degrees, 0, 180),
            "horizontal shift": (self.shift_x, 0, 0.5),
            "vertical shift": (self.shift_y, 0, 0.5),
            "zoom out": (self.zoom_out, 0.5, 1),
            "zoom in": (self.zoom_in, 1, 2),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                return f"Augmentation: {name} must be {low} to {high}; found {value}."
        if (self.rotation_degrees, self.shift_x, self.shift_y, self.zoom_out, self.zoom_in) == (0, 0, 0, 1, 1):
            return None if self.mirror else "Augmentation: choose at least one alteration, or no copies."
        return None


def copy_seed(seed: int, copy: int, path: bytes) -> int:
    """What a copy's alteration is drawn from: the dataset's seed, the copy's number and the picture's path in lists."""
    return zlib.crc32(b"%d %d " % (seed, copy) + path)


def altered(image: Image.Image, augmentation: Augmentation, seed: int) -> Image.Image:
    """A copy of `image` (mode L or RGB), drawn by `seed`; what comes in from outside is the picture's mirror image."""
    random = np.random.RandomState(seed)
    angle = math.radians(random.uniform(-augmentation.rotation_degrees, augmentation.rotation_degrees))
    low, high = math.log(augmentation.zoom_out), math.log(augmentation.zoom_in)
    zoom = math.exp(random.uniform(low, high))
    right = random.uniform(-augmentation.shift_x, augmentation.shift_x) * image.width
    down = random.uniform(-augmentation.shift_y, augmentation.shift_y) * image.height
    flip = -1 if augmentation.mirror and random.randint(2) else 1
    if (angle, zoom, right, down) == (0, 1, 0, 0):
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip < 0 else image
    return _transformed(image, angle, zoom, right, down, flip)


def _transformed(image: Image.Image, angle: float, zoom: float, right: float, down: float, flip: int) -> Image.Image:
    """Turned by `angle` (radians, counter-clockwise) and zoomed about the middle, then shifted."""
    width, height = image.size
    border = ((height, height), (width, width)) if image.mode == "L" else ((height, height), (width, width), (0, 0))
    canvas = Image.fromarray(np.pad(np.asarray(image), border, mode="symmetric"))
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    # Pillow wants, for each pixel of the result, the place in the canvas that it comes from.
    x_middle, y_middle = width / 2, height / 2
    a, b, d, e = flip * cos, -flip * sin, sin, cos
    c = width + x_middle - a * (x_middle + right) - b * (y_middle + down)
    f = height + y_middle - d * (x_middle + right) - e * (y_middle + down)
    return canvas.transform(image.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
