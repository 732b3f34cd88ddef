"""The mean image of the training split, for people (PNG), for NumPy and for Caffe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.topology import caffe_pb2


def mean_image(pixel_sum: NDArray[np.uint64], count: int) -> NDArray[np.float32]:
    """(C, H, W) float32, BGR or grey, from the exact sum (H, W) or (H, W, 3) RGB of `count` pictures."""
    mean = pixel_sum.astype(np.float64) / count
    channels_first = mean[None] if mean.ndim == 2 else mean[:, :, ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(channels_first, np.float32)


def write_mean(folder: Path, mean: NDArray[np.float32]) -> None:
    """mean.npy, mean.png and mean.binaryproto in `folder`."""
    np.save(folder / "mean.npy", mean)
    pixels = np.clip(np.rint(mean), 0, 255).astype(np.uint8)
    picture = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    Image.fromarray(picture).save(folder / "mean.png")
    channels, height, width = mean.shape
    blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width, data=mean.ravel().tolist())
    (folder / "mean.binaryproto").write_bytes(blob.SerializeToString())


def channel_means(mean: NDArray[np.float32]) -> list[float]:
    """One value per channel, as Caffe's `mean_value`."""
    return [float(value) for value in mean.mean(axis=(1, 2), dtype=np.float64)]
