"""From uint8 pixels to a net's input: crop, mirror, mean, scale, in Caffe's order, per batch and on the device.

Decoding and resizing were done when the dataset was made (`app/imaging`); which images make a batch
is decided in `loader.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.preprocessing import MeanMode, Preprocessing
from worker.engine.errors import EngineError


@dataclass(frozen=True)
class Windows:
    """Which part of each image of a batch is taken, and whether it is mirrored left to right."""

    tops: NDArray[np.int64]  # (N,)
    lefts: NDArray[np.int64]  # (N,)
    mirrored: NDArray[np.bool_]  # (N,)
    height: int
    width: int

    def rows_and_columns(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The pixels taken, as indices: (N, height, 1) and (N, 1, width)."""
        rows = self.tops[:, None] + np.arange(self.height)
        across = np.arange(self.width)
        columns = self.lefts[:, None] + np.where(self.mirrored[:, None], across[::-1], across)
        return (
            torch.from_numpy(rows).to(device, non_blocking=True)[:, :, None],
            torch.from_numpy(columns).to(device, non_blocking=True)[:, None, :],
        )


class PixelTransform:
    """The arithmetic of one Preprocessing: (pixel - mean) · scale. The mean is read from the dataset's folder."""

    def __init__(self, preprocessing: Preprocessing, dataset_dir: Path, device: torch.device) -> None:
        self.preprocessing = preprocessing
        self.scale = preprocessing.scale
        self.size = (preprocessing.input_height, preprocessing.input_width)
        self.mean = _mean(preprocessing, dataset_dir, device)  # (H, W, C), (C,) or None
        crop = preprocessing.crop_size
        if crop and crop > min(preprocessing.height, preprocessing.width):
            raise EngineError(
                f"expected a crop size up to the images' {preprocessing.width}×{preprocessing.height}, found {crop}"
            )

    @property
    def draws_windows(self) -> bool:
        """Whether training takes another part of an image each time."""
        return self.preprocessing.mirror or self.size != (self.preprocessing.height, self.preprocessing.width)

    def draw_windows(self, count: int, random: np.random.Generator) -> Windows:
        height, width = self.size
        return Windows(
            random.integers(0, self.preprocessing.height - height + 1, count),
            random.integers(0, self.preprocessing.width - width + 1, count),
            random.random(count) < 0.5 if self.preprocessing.mirror else np.zeros(count, np.bool_),
            height,
            width,
        )

    def windowed(self, pixels: Tensor, windows: Windows) -> Tensor:
        """(N, C, h, w) float32 from pixels (N, h, w, C) uint8 that were cut by `windows` already."""
        return self._arithmetic(pixels, self._mean_of(windows, pixels.device))

    def varied(self, images: Tensor, windows: Windows | None) -> Tensor:
        """(N, C, h, w) float32 from whole images (N, C, H, W) float32, cut by `windows` here."""
        pixels = images.permute(0, 2, 3, 1)
        if windows is None:
            return self.central(pixels)
        rows, columns = windows.rows_and_columns(pixels.device)
        batch = torch.arange(len(pixels), device=pixels.device)[:, None, None]
        return self.windowed(pixels[batch, rows, columns], windows)

    def central(self, pixels: Tensor) -> Tensor:
        """(N, C, h, w) float32 from whole images (N, H, W, C) uint8, without any randomness."""
        height, width = self.size
        top, left = self._central_place()
        return self._arithmetic(pixels[:, top : top + height, left : left + width], self._central_mean())

    def pixels_of(self, inputs: Tensor, windows: Windows | None) -> Tensor:
        """What a person can look at: (N, h, w, C) uint8 of a net's inputs (N, C, h, w), scale and mean undone."""
        values = inputs.permute(0, 2, 3, 1) / self.scale
        mean = self._central_mean() if windows is None else self._mean_of(windows, inputs.device)
        if mean is not None:
            values = values + mean
        return values.round().clamp(0, 255).to(torch.uint8)

    def _mean_of(self, windows: Windows, device: torch.device) -> Tensor | None:
        if self.mean is None or self.mean.dim() != 3:
            return self.mean
        rows, columns = windows.rows_and_columns(device)
        return self.mean[rows, columns]

    def _central_mean(self) -> Tensor | None:
        height, width = self.size
        top, left = self._central_place()
        if self.mean is None or self.mean.dim() != 3:
            return self.mean
        return self.mean[top : top + height, left : left + width]

    def _central_place(self) -> tuple[int, int]:
        height, width = self.size
        return (self.preprocessing.height - height) // 2, (self.preprocessing.width - width) // 2

    def _arithmetic(self, pixels: Tensor, mean: Tensor | None) -> Tensor:
        values = pixels.to(torch.float32, copy=True)  # (N, h, w, C)
        if mean is not None:
            values -= mean
        if self.scale != 1:
            values *= self.scale
        return values.permute(0, 3, 1, 2)  # the memory of NHWC is PyTorch's channels_last


def _mean(preprocessing: Preprocessing, dataset_dir: Path, device: torch.device) -> Tensor | None:
    if preprocessing.mean is MeanMode.NONE:
        return None
    channels = preprocessing.channels.number
    if preprocessing.mean is MeanMode.PIXEL and preprocessing.mean_values:
        if len(preprocessing.mean_values) not in (1, channels):
            raise EngineError(f"expected 1 or {channels} mean values, found {len(preprocessing.mean_values)}")
        return torch.tensor(preprocessing.mean_values, dtype=torch.float32, device=device)
    image = _mean_image(dataset_dir / "mean.npy", (channels, preprocessing.height, preprocessing.width))
    if preprocessing.mean is MeanMode.PIXEL:
        return torch.from_numpy(image.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)).to(device)
    return torch.from_numpy(np.ascontiguousarray(image.transpose(1, 2, 0))).to(device)


def _mean_image(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """(C, H, W)."""
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise EngineError(f"expected the mean image of the dataset in {path}: {error}") from error
    if image.shape != shape:
        raise EngineError(f"{path}: expected a mean image of shape {shape}, found {image.shape}")
    return np.asarray(image, np.float32)
