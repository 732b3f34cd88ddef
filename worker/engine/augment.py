"""Random variations of training images, per batch, on the device, in a fixed order:

HSV → contrast → noise → flips → quarter turns → rotation, zoom and shift → (crop, mean, scale) → cutout.

All numbers per image come from one seeded NumPy generator, so a batch is the same whenever it is made; the noise, one
number per pixel, is drawn on the device from a seed of that generator.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.augmentation import Augmentation, Flip, QuadRotation
from worker.engine.errors import EngineError

_QUARTERS = {QuadRotation.BY_90: (0, 1, 3), QuadRotation.BY_180: (0, 2), QuadRotation.ALL: (0, 1, 2, 3)}
_ZOOM_LIMITS = (0.3, 3.0)


def augment(images: Tensor, settings: Augmentation, random: np.random.Generator) -> Tensor:
    """Varied images (N, C, H, W), float32 pixels from 0 to 255, BGR or grey. Cutout is apart: `cut_out`."""
    if settings.hue or settings.saturation or settings.brightness:
        images = _shift_hsv(images, settings, random)
    if settings.contrast:
        factor = random.uniform(1 - settings.contrast, 1 + settings.contrast, len(images))
        mean = images.mean((2, 3), keepdim=True)
        images = (images - mean) * _per_image(factor, images) + mean
    if settings.noise:
        generator = torch.Generator(images.device).manual_seed(int(random.integers(2**62)))
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = images + noise * (255 * settings.noise)
    images = _flip(images, settings, random)
    if settings.quad_rotation != QuadRotation.NONE:
        images = _turn_quarters(images, QuadRotation(settings.quad_rotation), random)
    if settings.rotation_degrees or settings.zoom or settings.shift:
        images = _warp(images, settings, random)
    return images


def cut_out(inputs: Tensor, settings: Augmentation, random: np.random.Generator) -> Tensor:
    """Sets one square of each of a net's inputs (N, C, H, W) to 0, which is the mean colour where one is subtracted."""
    if not settings.cutout:
        return inputs
    height, width = inputs.shape[2:]
    side = settings.cutout * min(height, width)
    rows = _centre_distances(random, len(inputs), height, inputs)
    columns = _centre_distances(random, len(inputs), width, inputs)
    is_cut = (rows[:, None, :, None] < side / 2) & (columns[:, None, None, :] < side / 2)
    return inputs.masked_fill(is_cut, 0.0)


def check_turns(settings: Augmentation, height: int, width: int) -> None:
    """Raises EngineError where quarter turns would change the images' size."""
    if height != width and settings.quad_rotation in (QuadRotation.BY_90, QuadRotation.ALL):
        raise EngineError(f"turns by 90° need square images, found {width}×{height}; take rot180")


def _centre_distances(random: np.random.Generator, count: int, size: int, like: Tensor) -> Tensor:
    """How far each pixel along a side is from a centre drawn per image: (count, size)."""
    centres = random.uniform(0, size, (count, 1))
    distances = np.abs(np.arange(size) + 0.5 - centres)
    return torch.from_numpy(distances).to(like.device, torch.float32)


def _per_image(values: np.ndarray, images: Tensor) -> Tensor:
    return torch.from_numpy(values).to(images.device, images.dtype).reshape(-1, 1, 1, 1)


def _flip(images: Tensor, settings: Augmentation, random: np.random.Generator) -> Tensor:
    for axis, kinds in ((3, (Flip.LEFT_RIGHT, Flip.BOTH)), (2, (Flip.UP_DOWN, Flip.BOTH))):
        if settings.flip in kinds:
            is_flipped = _per_image(random.random(len(images)) < 0.5, images).bool()
            images = torch.where(is_flipped, images.flip(axis), images)
    return images


def _turn_quarters(images: Tensor, kind: QuadRotation, random: np.random.Generator) -> Tensor:
    turns = _per_image(random.choice(_QUARTERS[kind], len(images)), images)
    for quarter in _QUARTERS[kind][1:]:
        turned = torch.rot90(images, quarter, (2, 3))
        images = torch.where(turns == quarter, turned, images)
        turns = torch.where(turns == quarter, torch.zeros_like(turns), turns)  # once is enough
    return images


def _warp(images: Tensor, settings: Augmentation, random: np.random.Generator) -> Tensor:
    """Rotation, zoom and shift in one bilinear sampling; what comes in from outside repeats the border."""
    count, _, height, width = images.shape
    angle = np.radians(random.uniform(-settings.rotation_degrees, settings.rotation_degrees, count))
    zoom = np.clip(1 + random.normal(0, settings.zoom, count), *_ZOOM_LIMITS)
    shift = random.uniform(-settings.shift, settings.shift, (2, count))
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    # From places in the result to places in the image, both from -1 to 1; x runs over the width.
    rows = [
        [cosine, -sine * height / width, 2 * shift[0]],
        [sine * width / height, cosine, 2 * shift[1]],
    ]
    theta = torch.from_numpy(np.array(rows).transpose(2, 0, 1)).to(images.device, images.dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _shift_hsv(images: Tensor, settings: Augmentation, random: np.random.Generator) -> Tensor:
    """Shifts hue, saturation and value; a grey image has only its value."""
    sigmas = (settings.hue, settings.saturation, settings.brightness)
    shifts = [random.normal(0, 1, len(images)) * sigma for sigma in sigmas]
    hue, saturation, value = (_per_image(shift, images)[:, 0] for shift in shifts)
    if images.shape[1] == 1:
        return (images + 255 * value[:, None]).clamp(0, 255)
    return _bgr(*_moved(*_hsv(images / 255), hue, saturation, value)) * 255


def _moved(
    hue: Tensor, saturation: Tensor, value: Tensor, by_hue: Tensor, by_saturation: Tensor, by_value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return (hue + by_hue) % 1.0, (saturation + by_saturation).clamp(0, 1), (value + by_value).clamp(0, 1)


def _hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value, each (N, H, W) from 0 to 1, of BGR images from 0 to 1."""
    blue, green, red = images.unbind(1)
    value, low = images.amax(1), images.amin(1)
    spread = value - low
    safe = torch.where(spread > 0, spread, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    saturation = torch.where(value > 0, spread / torch.where(value > 0, value, 1.0), 0.0)
    return (hue / 6) % 1.0, saturation, value


def _bgr(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """(N, 3, H, W), the inverse of `_hsv`."""
    channels = []
    for offset in (1, 3, 5):  # blue, green, red
        k = (offset + hue * 6) % 6
        channels.append(value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1)
