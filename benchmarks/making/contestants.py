"""Who makes a dataset in the benchmark: three peers as a competent user would write them, and we.

Pillow + lmdb in one process at their defaults; the scheme of DIGITS (loader threads, Pillow, default PNG, the mean);
and OpenCV + lmdb in one process, which is what Caffe's convert_imageset does. The peers only fill an LMDB. We split,
hash, list, sum the mean and those of the classes and look for duplicates as well.
"""

from __future__ import annotations

import io
import os
import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import lmdb
import numpy as np
from PIL import Image

from app.preprocessing import Channels
from app.topology.caffe_pb2 import Datum
from benchmarks.making.sources import Source
from worker.datasets.build import BuildSpec, build

Run = Callable[[Source, Path], None]
PILLOW, DIGITS, OPENCV = "Pillow + lmdb", "DIGITS scheme", "OpenCV + lmdb"
MAP_BYTES = 1 << 36
CORES = len(os.sched_getaffinity(0))


def ours(encoding: str, processes: int) -> str:
    return f"ours, {encoding}, {processes} process{'es' if processes > 1 else ''}"


def ours_on_one_core(encoding: str) -> str:
    return f"ours, {encoding}, one core"


def contestants(source: Source) -> dict[str, Run]:
    """All that are measured on these pictures, by name; the peer of an encoding before us."""
    encodings = ("png", "raw", "jpeg") if source.is_large else ("png",)
    runs: dict[str, Run] = {f"{PILLOW}, png": _pillow, f"{DIGITS}, png": _digits}
    for encoding in encodings:
        runs[f"{OPENCV}, {encoding}"] = partial(_opencv, encoding)
        runs[ours_on_one_core(encoding)] = partial(_ours_on_one_core, encoding)
        for processes in dict.fromkeys((1, CORES)):
            runs[ours(encoding, processes)] = partial(_ours, encoding, processes)
    return runs


class _Store:
    """lmdb at its defaults but for the map size, a commit for so many pictures at once."""

    def __init__(self, folder: Path, at_once: int) -> None:
        self.env = lmdb.open(str(folder), map_size=MAP_BYTES)
        self.at_once = at_once
        self.batch: list[tuple[bytes, bytes]] = []
        self.count = 0

    def add(self, data: bytes, pixels: np.ndarray, label: int, encoded: bool = True) -> None:
        height, width = pixels.shape[:2]
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        datum = Datum(channels=channels, height=height, width=width, data=data, label=label, encoded=encoded)
        self.batch.append((b"%08d_%d" % (self.count, label), datum.SerializeToString()))
        self.count += 1
        if len(self.batch) == self.at_once:
            self.commit()

    def commit(self) -> None:
        with self.env.begin(write=True) as transaction:
            for key, value in self.batch:
                transaction.put(key, value)
        self.batch = []

    def close(self) -> None:
        self.commit()
        self.env.close()


def _loaded(data: bytes, source: Source) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("L" if source.channels is Channels.GRAY else "RGB")
    size = (source.side, source.side)
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def _pillow(source: Source, folder: Path) -> None:
    store = _Store(folder, 1000)
    for data, label in source.files():
        image = _loaded(data, source)
        file = io.BytesIO()
        image.save(file, "PNG")
        store.add(file.getvalue(), np.asarray(image), label)
    store.close()


def _digits(source: Source, folder: Path) -> None:
    """Loader threads decode and resize; one writer encodes and sums (digits/tools/create_db.py)."""
    work: queue.Queue[tuple[bytes, int] | None] = queue.Queue(40)
    done: queue.Queue[tuple[Image.Image, int] | None] = queue.Queue(40)
    threads = 10

    def load() -> None:
        while (item := work.get()) is not None:
            done.put((_loaded(item[0], source), item[1]))
        done.put(None)

    def feed() -> None:
        for item in source.files():
            work.put(item)
        for _ in range(threads):
            work.put(None)

    for target in [load] * threads + [feed]:
        threading.Thread(target=target, daemon=True).start()
    store = _Store(folder, 100)
    pixel_sum: np.ndarray | None = None
    while threads:
        item = done.get()
        if item is None:
            threads -= 1
            continue
        pixels, file = np.asarray(item[0]), io.BytesIO()
        pixel_sum = pixels.astype(np.float64) if pixel_sum is None else pixel_sum + pixels
        item[0].save(file, "PNG")
        store.add(file.getvalue(), pixels, item[1])
    store.close()


def _opencv(encoding: str, source: Source, folder: Path) -> None:
    cv2.setNumThreads(1)
    flag = cv2.IMREAD_GRAYSCALE if source.channels is Channels.GRAY else cv2.IMREAD_COLOR
    store = _Store(folder, 1000)
    for data, label in source.files():
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
        if pixels.shape[:2] != (source.side, source.side):
            pixels = cv2.resize(pixels, (source.side, source.side))
        if encoding == "raw":
            channels_first = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels
            store.add(channels_first.tobytes(), pixels, label, False)
        else:
            store.add(cv2.imencode({"png": ".png", "jpeg": ".jpg"}[encoding], pixels)[1].tobytes(), pixels, label)
    store.close()


def _ours(encoding: str, processes: int, source: Source, folder: Path) -> None:
    spec = BuildSpec(
        source.archive, source.archive.name, folder / "dataset", source.name, 70, 10, 20,
        source.channels, source.side, source.side, encoding=encoding, processes=processes,
    )  # fmt: skip
    build(spec, lambda _: None, lambda: False)


def _ours_on_one_core(encoding: str, source: Source, folder: Path) -> None:
    """One picture process and the process that writes beside it, which take turns on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    _ours(encoding, 1, source, folder)
