"""Small grey versions of stored pictures, for comparing them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.datasets.lmdb_reader import open_lmdb
from app.imaging.small_files import decode_plain
from app.topology import caffe_pb2
from worker.datasets.errors import DatasetError
from worker.datasets.processes import pool

SIDE = 32
_TASK_PICTURES = 256
_FEW_PICTURES = 5_000


def thumbnails(
    lmdb_dir: Path, numbers: NDArray[np.int64], processes: int, look: Callable[[], None]
) -> NDArray[np.uint8]:
    """(N, pixels) grey pixels of the pictures with these numbers, of one size; `look` is called now and then."""
    tasks = [numbers[start : start + _TASK_PICTURES] for start in range(0, len(numbers), _TASK_PICTURES)]
    job = ThumbnailJob(lmdb_dir)
    found = []
    if len(numbers) <= _FEW_PICTURES:  # not worth starting processes
        return np.concatenate([job.run(task) for task in tasks])
    with pool(job, min(processes, len(tasks))) as replies:
        for reply in replies(tasks):
            found.append(reply)
            look()
    return np.concatenate(found)


@dataclass
class ThumbnailJob:
    lmdb_dir: Path

    def run(self, task: NDArray[np.int64]) -> NDArray[np.uint8]:
        with open_lmdb(self.lmdb_dir) as env, env.begin() as transaction:
            return np.stack(
                [_small(caffe_pb2.Datum.FromString(transaction.get(b"%08d" % number))) for number in task.tolist()]
            )

    def divide(self, task: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [task]

    def merge(self, replies: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return np.concatenate(replies)

    def give_up(self, task: NDArray[np.int64], reason: str) -> NDArray[np.uint8]:
        raise DatasetError(f"Stored pictures {task[0]:,} to {task[-1]:,} cannot be read again: {reason}.")

    def time_limit_s(self, _task: NDArray[np.int64]) -> float:
        return 120


def _small(datum: Any) -> NDArray[np.uint8]:
    image = _decoded(datum).convert("L")
    if max(image.size) > SIDE:
        image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image).ravel()


def _decoded(datum: Any) -> Image.Image:
    if not datum.encoded:
        pixels = np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width)
        return Image.fromarray(np.ascontiguousarray(pixels[min(1, datum.channels - 1)]))
    plain = decode_plain(datum.data)
    return plain.image if plain is not None else Image.open(io.BytesIO(datum.data))
