"""Which images make which batch: a pure function of the seed and the iteration, so that a resumed run goes on exactly.

Every epoch goes through the training split once, in an order of its own. All batches are full: the last one of an
epoch is filled up with images from the beginning of the same order (Caffe goes on into the next epoch instead, so
that its epochs drift against its iterations; a smaller batch would give its images a larger weight and would break
batch normalisation when it has one image). An epoch has ceil(N / (batch_size · batch_accumulation)) iterations.

Evaluation goes through a split in order, each image once; its last batch may be smaller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.augmentation import Augmentation
from worker.engine.augment import augment, check_turns, cut_out
from worker.engine.pixels import PixelTransform, Windows
from worker.engine.stores import Store

AHEAD = 3  # batches that are prepared while the device works

# Apart from the order of an epoch, every draw has a stream of its own.
_ORDER, _WINDOWS, _VARIATIONS = 0, 1, 2

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) float32, labels (B,) int64


@dataclass(frozen=True)
class Split:
    """A split of the dataset, ready for a device."""

    name: str
    store: Store
    labels: Tensor  # (N,) int64, on the device
    transform: PixelTransform
    device: torch.device

    @property
    def count(self) -> int:
        return self.store.count


@dataclass(frozen=True)
class Seen:
    """A batch as a person can look at it: cut and varied, before mean and scale."""

    indices: NDArray[np.int64]  # (B,) places in the split
    pixels: Tensor  # (B, h, w, C) uint8


class TrainingBatches:
    """The batches of every iteration of a run."""

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        accumulation: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.split = split
        self.augmentation = augmentation if augmentation is not None and augmentation.is_on else None
        if self.augmentation is not None:
            check_turns(self.augmentation, split.transform.preprocessing.height, split.transform.preprocessing.width)
        self.batch_size, self.accumulation, self.seed = batch_size, accumulation, seed
        self.iterations_per_epoch = -(-split.count // (batch_size * accumulation))
        self._order: tuple[int, NDArray[np.int64]] | None = None  # epoch, permutation
        self._ahead = None if split.store.is_quick else _Ahead(self._take)

    def at(self, iteration: int) -> Iterator[Batch]:
        """The batches that iteration `iteration` accumulates over."""
        for number in self._numbers(iteration):
            taken = self._take(number) if self._ahead is None else self._ahead.get(number)
            yield self._fed(number, taken), _labels(self.split, taken)

    def seen(self, iteration: int) -> Iterator[Seen]:
        """The same batches as a person can look at them."""
        for number in self._numbers(iteration):
            taken = self._take(number)
            yield Seen(taken.indices, self.split.transform.pixels_of(self._fed(number, taken), taken.windows))

    def _numbers(self, iteration: int) -> range:
        return range(iteration * self.accumulation, (iteration + 1) * self.accumulation)

    def indices(self, number: int) -> NDArray[np.int64]:
        """Which images batch `number` of the whole run holds; (B,)."""
        epoch, place = divmod(number, self.iterations_per_epoch * self.accumulation)
        order = self._order_of(epoch)
        places = np.arange(place * self.batch_size, (place + 1) * self.batch_size) % self.split.count
        return order[places]

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng((self.seed, _ORDER, epoch))
            self._order = epoch, random.permutation(self.split.count)
        return self._order[1]

    def _take(self, number: int) -> _Taken:
        indices, windows = self.indices(number), None
        if self.split.transform.draws_windows:
            random = np.random.default_rng((self.seed, _WINDOWS, number))
            windows = self.split.transform.draw_windows(len(indices), random)
        cut = windows if self.augmentation is None else None  # what is varied is varied whole, and cut afterwards
        return _Taken(indices, windows, self.split.store.take(indices, cut))

    def _fed(self, number: int, taken: _Taken) -> Tensor:
        """What the net gets of a batch: (B, C, h, w) float32."""
        transform = self.split.transform
        pixels = taken.pixels.to(self.split.device, non_blocking=True)
        if self.augmentation is not None:
            random = np.random.default_rng((self.seed, _VARIATIONS, number))
            varied = augment(pixels.permute(0, 3, 1, 2).float(), self.augmentation, random)
            return cut_out(transform.varied(varied, taken.windows), self.augmentation, random)
        return transform.central(pixels) if taken.windows is None else transform.windowed(pixels, taken.windows)


def in_order(split: Split, batch_size: int) -> Iterator[Batch]:
    """The whole split once, without randomness."""
    starts = range(0, split.count, batch_size)

    def take(number: int) -> _Taken:
        start = starts[number]
        indices = np.arange(start, min(start + batch_size, split.count))
        return _Taken(indices, None, split.store.take(indices, None))

    ahead = None if split.store.is_quick else _Ahead(take, len(starts))
    for number in range(len(starts)):
        taken = take(number) if ahead is None else ahead.get(number)
        yield split.transform.central(taken.pixels.to(split.device, non_blocking=True)), _labels(split, taken)


@dataclass(frozen=True)
class _Taken:
    indices: NDArray[np.int64]
    windows: Windows | None
    pixels: Tensor  # (B, h, w, C) uint8


def _labels(split: Split, taken: _Taken) -> Tensor:
    return split.labels.index_select(0, torch.from_numpy(taken.indices).to(split.device, non_blocking=True))


class _Ahead:
    """Prepares the next batches in a thread while the device works on this one."""

    def __init__(self, take: Callable[[int], _Taken], count: int | None = None) -> None:
        self._take, self._count = take, count
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._waiting: deque[tuple[int, Future[_Taken]]] = deque()

    def get(self, number: int) -> _Taken:
        if not self._waiting or self._waiting[0][0] != number:
            self._waiting.clear()  # another place in the data than expected: begin anew there
        next_number = self._waiting[-1][0] + 1 if self._waiting else number
        while len(self._waiting) <= AHEAD and (self._count is None or next_number < self._count):
            self._waiting.append((next_number, self._pool.submit(self._take, next_number)))
            next_number += 1
        return self._waiting.popleft()[1].result()
