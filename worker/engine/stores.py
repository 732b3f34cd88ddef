"""Where a split's pixels are kept while a run needs them, and how a batch of them gets to the device.

Three ways, one question (`take`): on the GPU as a whole, in host memory for the CPU, or in host memory for a GPU that
they do not fit on. Which images are asked for is decided in `loader.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.pixels import Windows

GPU_SHARE = 0.4  # of the memory that is free; the rest is for the net and its activations


class Store(Protocol):
    """A split's images as (N, H, W, C) uint8."""

    count: int
    is_quick: bool  # whether `take` costs next to nothing, so that nobody needs to prepare batches ahead

    def take(self, indices: NDArray[np.int64], windows: Windows | None) -> Tensor:
        """The images at `indices`, whole or cut by `windows`: (B, h, w, C) uint8, on the device or pinned for it."""


def make_store(images: NDArray[np.uint8], device: torch.device) -> Store:
    if device.type == "cpu":
        return HostStore(images)
    free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    return DeviceStore(images, device) if images.nbytes <= GPU_SHARE * free_bytes else PinningStore(images)


class HostStore:
    """For the CPU: batches are copied out of the memory map, whose pages all runs of a dataset share."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images
        self.count = len(images)
        self.is_quick = images.nbytes <= _available_bytes() / 2

    def take(self, indices: NDArray[np.int64], windows: Windows | None) -> Tensor:
        size = self.images.shape[1:] if windows is None else (windows.height, windows.width, self.images.shape[3])
        batch = torch.empty((len(indices), *size), dtype=torch.uint8)
        _copy(self.images, indices, windows, batch.numpy())
        return batch


class PinningStore:
    """For a GPU that the split does not fit on: batches are copied into pinned memory, ready to be sent."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images
        self.count = len(images)
        self.is_quick = False

    def take(self, indices: NDArray[np.int64], windows: Windows | None) -> Tensor:
        size = self.images.shape[1:] if windows is None else (windows.height, windows.width, self.images.shape[3])
        batch = torch.empty((len(indices), *size), dtype=torch.uint8, pin_memory=True)
        _copy(self.images, indices, windows, batch.numpy())
        return batch


class ReadingStore:
    """For a look at a few images: each batch is read where the split lies, and nothing else is decoded."""

    is_quick = True  # nobody asks for the next one

    def __init__(self, count: int, read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]) -> None:
        self.count, self._read = count, read

    def take(self, indices: NDArray[np.int64], windows: Windows | None) -> Tensor:
        return HostStore(self._read(indices)).take(np.arange(len(indices)), windows)


class DeviceStore:
    """The whole split on the device."""

    def __init__(self, images: NDArray[np.uint8], device: torch.device) -> None:
        self.device = device
        self.images = torch.empty(images.shape, dtype=torch.uint8, device=device)
        step = max(1, 2**28 // max(1, images[0].nbytes))
        for start in range(0, len(images), step):
            part = np.ascontiguousarray(images[start : start + step])
            self.images[start : start + step].copy_(torch.from_numpy(part))
        self.count = len(images)
        self.is_quick = True

    def take(self, indices: NDArray[np.int64], windows: Windows | None) -> Tensor:
        places = torch.from_numpy(indices).to(self.device, non_blocking=True)
        if windows is None:
            return self.images.index_select(0, places)
        rows, columns = windows.rows_and_columns(self.device)
        return self.images[places[:, None, None], rows, columns]


def _copy(
    images: NDArray[np.uint8], indices: NDArray[np.int64], windows: Windows | None, batch: NDArray[np.uint8]
) -> None:
    if windows is None:
        np.take(images, indices, axis=0, out=batch, mode="clip")  # "clip" writes to `out` directly, "raise" does not
        return
    # A loop of plain copies takes 2 ms for 64 crops of 227×227, one gather by indices 39 ms.
    places = zip(
        indices.tolist(), windows.tops.tolist(), windows.lefts.tolist(), windows.mirrored.tolist(), strict=True
    )
    for row, (index, top, left, is_mirrored) in enumerate(places):
        part = images[index, top : top + windows.height, left : left + windows.width]
        batch[row] = part[:, ::-1] if is_mirrored else part


def _available_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
