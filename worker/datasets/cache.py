"""The decoded pictures of a split as one memory-mapped array, made once and shared by all runs of a dataset.

The LMDB stays the truth; the cache can be removed at any time and is made again from it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.datasets.lmdb_reader import open_lmdb
from app.imaging.preprocess import pixels_bgr
from app.imaging.small_files import decode_plain
from app.topology import caffe_pb2
from worker.datasets.errors import DatasetError
from worker.datasets.processes import pool
from worker.datasets.spec import available_processes

_TASK_PICTURES = 512


@dataclass(frozen=True)
class Cached:
    images: NDArray[np.uint8]  # (N, H, W, C), BGR or grey, read-only memory map
    labels: NDArray[np.int64]  # (N,)


def open_cache(
    dataset_dir: Path,
    split: str,
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Cached:
    """The split decoded; made on the first call, under a lock, with `on_progress(done, total)`."""
    folder = dataset_dir / "cache"
    images, labels = folder / f"{split}.u8", folder / f"{split}.labels.npy"
    if not (images.exists() and labels.exists()):
        folder.mkdir(exist_ok=True)
        with _lock(folder / f"{split}.lock"):
            if not (images.exists() and labels.exists()):
                _make(dataset_dir, split, processes or available_processes(), on_progress)
    loaded = np.load(labels, mmap_mode=None)
    count, shape = len(loaded), _shape(dataset_dir, split)
    if images.stat().st_size != count * int(np.prod(shape)):
        raise DatasetError(f"{images} is damaged; delete the folder {folder} and try again.")
    return Cached(np.memmap(images, np.uint8, "r", shape=(count, *shape)), loaded.astype(np.int64))


def count_records(dataset_dir: Path, split: str) -> int:
    with open_lmdb(dataset_dir / f"{split}.lmdb") as env:
        return int(env.stat()["entries"])


def read_records(dataset_dir: Path, split: str, indices: NDArray[np.int64]) -> Cached:
    """A few pictures straight out of the LMDB, in the order asked for, without a cache being made."""
    images = np.empty((len(indices), *_shape(dataset_dir, split)), np.uint8)
    labels = np.empty(len(indices), np.int64)
    with open_lmdb(dataset_dir / f"{split}.lmdb") as env, env.begin(buffers=True) as transaction:
        for row, number in enumerate(indices.tolist()):
            datum = caffe_pb2.Datum.FromString(bytes(transaction.get(b"%08d" % number)))
            images[row], labels[row] = _pixels(datum), datum.label
    return Cached(images, labels)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _shape(dataset_dir: Path, split: str) -> tuple[int, int, int]:
    """(H, W, C) of the pictures, from the first one."""
    with open_lmdb(dataset_dir / f"{split}.lmdb") as env, env.begin() as transaction:
        value = transaction.get(b"%08d" % 0)
        if value is None:
            raise DatasetError(f"The {split} split has no pictures.")
        datum = caffe_pb2.Datum.FromString(value)
    return datum.height, datum.width, datum.channels


def _make(dataset_dir: Path, split: str, processes: int, on_progress: Callable[[int, int], None] | None) -> None:
    folder = dataset_dir / "cache"
    shape = _shape(dataset_dir, split)
    count = count_records(dataset_dir, split)
    partial = folder / f"{split}.u8.part"
    with partial.open("wb") as file:
        file.truncate(count * int(np.prod(shape)))
    tasks = [(start, min(start + _TASK_PICTURES, count)) for start in range(0, count, _TASK_PICTURES)]
    labels = np.empty(count, np.int64)
    job = DecodingJob(dataset_dir / f"{split}.lmdb", partial, (count, *shape))
    with pool(job, min(processes, len(tasks))) as replies:
        for (start, stop), part in zip(tasks, replies(tasks), strict=True):
            labels[start:stop] = part
            if on_progress is not None:
                on_progress(stop, count)
    _replace(partial, folder / f"{split}.u8")
    partial_labels = folder / f"{split}.labels.part.npy"
    np.save(partial_labels, labels)
    _replace(partial_labels, folder / f"{split}.labels.npy")


def _replace(partial: Path, final: Path) -> None:
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(final)


@dataclass
class DecodingJob:
    """Decodes ranges of an LMDB straight into the file; the replies are the labels."""

    lmdb_dir: Path
    out: Path
    shape: tuple[int, int, int, int]
    _images: NDArray[np.uint8] | None = None

    def run(self, task: tuple[int, int]) -> NDArray[np.int64]:
        if self._images is None:
            self._images = np.memmap(self.out, np.uint8, "r+", shape=self.shape)
        start, stop = task
        labels = np.empty(stop - start, np.int64)
        with open_lmdb(self.lmdb_dir) as env, env.begin(buffers=True) as transaction:
            for number in range(start, stop):
                datum = caffe_pb2.Datum.FromString(bytes(transaction.get(b"%08d" % number)))
                self._images[number] = _pixels(datum)
                labels[number - start] = datum.label
        return labels

    def divide(self, task: tuple[int, int]) -> list[tuple[int, int]]:
        return [task]

    def merge(self, replies: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.concatenate(replies)

    def give_up(self, task: tuple[int, int], reason: str) -> NDArray[np.int64]:
        raise DatasetError(f"Pictures {task[0]:,} to {task[1]:,} of {self.lmdb_dir.name} cannot be decoded: {reason}.")

    def time_limit_s(self, task: tuple[int, int]) -> float:  # noqa: ARG002
        return 300


def _pixels(datum: Any) -> NDArray[np.uint8]:
    """(H, W, C) uint8, BGR or grey."""
    if datum.encoded:
        plain = decode_plain(datum.data)
        return pixels_bgr(plain.image if plain is not None else Image.open(BytesIO(datum.data)))
    return np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width).transpose(1, 2, 0)
