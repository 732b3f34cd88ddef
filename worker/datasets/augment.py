"""Altered copies of training pictures, made with the dataset: turned, shifted, zoomed, mirrored; originals stay.

Augmentation per batch while training is in `worker/engine`; this one is stored, so that every run sees the same copies.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from worker.datasets.spec import Augmentation


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
