"""How fast a dataset is made, beside what people would write: pictures per second, one table.

    python -m benchmarks.datasets [--only mnist,photos] [--count N] [--repeat 3]

Peers, each one process on the same zip, as a competent user would write them: Pillow + lmdb at their defaults; the
scheme of DIGITS (loader threads, Pillow, default PNG); OpenCV + lmdb, which is what Caffe's convert_imageset does.
The real pictures come from TRAINYARD_REAL_DATA, the photographs are drawn here.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import queue
import resource
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import lmdb
import numpy as np
from PIL import Image

from app.preprocessing import Channels
from app.topology.caffe_pb2 import Datum
from worker.datasets.build import BuildSpec, build

MAP_BYTES = 1 << 36


@dataclass(frozen=True)
class Source:
    name: str
    archive: Path
    channels: Channels
    side: int

    def files(self) -> Iterator[tuple[bytes, int]]:
        """(file, label) as a user would read them out of the zip, shuffled."""
        with zipfile.ZipFile(self.archive) as archive:
            names = archive.namelist()
            labels = {name: number for number, name in enumerate(sorted({name.split("/")[0] for name in names}))}
            for index in np.random.RandomState(1).permutation(len(names)):
                yield archive.read(names[index]), labels[names[index].split("/")[0]]

    @property
    def count(self) -> int:
        with zipfile.ZipFile(self.archive) as archive:
            return len(archive.namelist())


def photographs(path: Path, count: int, width: int, height: int, distinct: int) -> Path:
    """JPEGs with the statistics of photographs: detail falls off with frequency; quality 90."""
    if path.exists():
        return path
    random = np.random.RandomState(7)
    files = []
    for _ in range(distinct):
        picture = np.zeros((height, width, 3), np.float32)
        for cells, strength in ((4, 60), (16, 30), (64, 16), (256, 8)):
            grain = random.randn(max(2, height * cells // width), cells, 3).astype(np.float32) * strength
            picture += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        picture += random.randn(height, width, 1) * 3 + 128
        file = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{'ab'[number % 2]}/{number:05d}.jpg", files[number % distinct])
    return path


def first_of(archive: Path, count: int, folder: Path) -> Path:
    """The archive, or a shorter one with `count` pictures spread over it."""
    with zipfile.ZipFile(archive) as source:
        names = source.namelist()
        if count >= len(names):
            return archive
        path = folder / f"{archive.stem}-{count}.zip"
        if not path.exists():
            with zipfile.ZipFile(path, "w") as target:
                for name in names[:: len(names) // count][:count]:
                    target.writestr(name, source.read(name))
    return path


class Store:
    """What the peers write to: lmdb at its defaults but for the map size, a commit per 100 pictures as in DIGITS."""

    def __init__(self, folder: Path) -> None:
        self.env = lmdb.open(str(folder), map_size=MAP_BYTES)
        self.batch: list[tuple[bytes, bytes]] = []
        self.count = 0
        self.sum: np.ndarray | float = 0.0

    def add(self, data: bytes, pixels: np.ndarray, label: int, encoded: bool = True) -> None:
        self.sum = self.sum + pixels
        height, width = pixels.shape[:2]
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        datum = Datum(channels=channels, height=height, width=width, data=data, label=label, encoded=encoded)
        self.batch.append((b"%08d_%d" % (self.count, label), datum.SerializeToString()))
        self.count += 1
        if len(self.batch) == 100:
            self.commit()

    def commit(self) -> None:
        with self.env.begin(write=True) as transaction:
            for key, value in self.batch:
                transaction.put(key, value)
        self.batch = []

    def close(self) -> None:
        self.commit()
        self.env.close()


def pillow_pixels(data: bytes, source: Source) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("L" if source.channels is Channels.GRAY else "RGB")
    size = (source.side, source.side)
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def pillow_peer(source: Source, folder: Path) -> None:
    store = Store(folder)
    for data, label in source.files():
        image = pillow_pixels(data, source)
        file = io.BytesIO()
        image.save(file, "PNG")
        store.add(file.getvalue(), np.asarray(image), label)
    store.close()


def digits_peer(source: Source, folder: Path) -> None:
    """Loader threads decode and resize; one writer encodes (digits/tools/create_db.py)."""
    work: queue.Queue[tuple[bytes, int] | None] = queue.Queue(40)
    done: queue.Queue[tuple[Image.Image, int] | None] = queue.Queue(40)
    threads = 10

    def load() -> None:
        while (item := work.get()) is not None:
            done.put((pillow_pixels(item[0], source), item[1]))
        done.put(None)

    def feed() -> None:
        for item in source.files():
            work.put(item)
        for _ in range(threads):
            work.put(None)

    for target in [load] * threads + [feed]:
        threading.Thread(target=target, daemon=True).start()
    store = Store(folder)
    while threads:
        item = done.get()
        if item is None:
            threads -= 1
            continue
        file = io.BytesIO()
        item[0].save(file, "PNG")
        store.add(file.getvalue(), np.asarray(item[0]), item[1])
    store.close()


def opencv_peer(encoding: str) -> Callable[[Source, Path], None]:
    def run(source: Source, folder: Path) -> None:
        cv2.setNumThreads(1)
        flag = cv2.IMREAD_GRAYSCALE if source.channels is Channels.GRAY else cv2.IMREAD_COLOR
        store = Store(folder)
        for data, label in source.files():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
            if pixels.shape[:2] != (source.side, source.side):
                pixels = cv2.resize(pixels, (source.side, source.side))
            if encoding == "raw":
                store.add(
                    pixels.transpose(2, 0, 1).tobytes() if pixels.ndim == 3 else pixels.tobytes(), pixels, label, False
                )
            else:
                store.add(cv2.imencode({"png": ".png", "jpeg": ".jpg"}[encoding], pixels)[1].tobytes(), pixels, label)
        store.close()

    return run


def ours(encoding: str, processes: int) -> Callable[[Source, Path], None]:
    def run(source: Source, folder: Path) -> None:
        spec = BuildSpec(
            source.archive, source.archive.name, folder / "dataset", source.name, 70, 10, 20,
            source.channels, source.side, source.side, encoding=encoding, processes=processes,
        )  # fmt: skip
        build(spec, lambda _: None, lambda: False)

    return run


def measure(run: Callable[[Source, Path], None], source: Source, folder: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds of all processes, megabytes written)"""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before, started = _cpu_s(), time.perf_counter()
    run(source, folder)
    seconds, cpu = time.perf_counter() - started, _cpu_s() - before
    size = sum(path.stat().st_blocks * 512 for path in folder.rglob("data.mdb"))
    return seconds, cpu, size / 1e6


def _cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def contestants(source: Source) -> dict[str, Callable[[Source, Path], None]]:
    cores = len(os.sched_getaffinity(0))
    runs = {
        "Pillow + lmdb, png": pillow_peer,
        "DIGITS scheme, png": digits_peer,
        "OpenCV + lmdb, png": opencv_peer("png"),
        "ours, png, 1 process": ours("png", 1),
        f"ours, png, {cores} processes": ours("png", cores),
    }
    if source.side >= 200:
        for encoding in ("raw", "jpeg"):
            runs[f"OpenCV + lmdb, {encoding}"] = opencv_peer(encoding)
            runs[f"ours, {encoding}, {cores} processes"] = ours(encoding, cores)
    return runs


def sources(only: list[str], count: int, folder: Path) -> list[Source]:
    real = Path(os.environ.get("TRAINYARD_REAL_DATA", "../shared/data"))
    makers = {
        "mnist": lambda: Source(
            "mnist", first_of(real / "mnist-train.zip", min(count, 60_000), folder), Channels.GRAY, 28
        ),
        "cifar": lambda: Source(
            "cifar", first_of(real / "cifar10-test.zip", min(count, 10_000), folder), Channels.COLOR, 32
        ),
        "photos": lambda: Source("photos", _photos(folder, min(count, 1000), 500, 375), Channels.COLOR, 256),
        "large": lambda: Source("large", _photos(folder, min(count, 500), 4000, 3000), Channels.COLOR, 256),
    }
    return [make() for name, make in makers.items() if name in only]


def _photos(folder: Path, count: int, width: int, height: int) -> Path:
    distinct = 100 if width < 1000 else 8
    return photographs(folder / f"photos-{width}-{count}.zip", count, width, height, distinct)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="mnist,cifar,photos,large")
    parser.add_argument("--count", type=int, default=60_000, help="at most this many pictures of each source")
    parser.add_argument("--repeat", type=int, default=1, help="the fastest of so many")
    parser.add_argument("--runs", default="", help="only runs whose name holds this")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "trainyard-benchmark")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for source in sources(arguments.only.split(","), arguments.count, arguments.work):
        count = source.count
        print(f"\n{source.name}: {count:,} pictures to {source.side}×{source.side} {source.channels.value}")
        print(f"{'':26} {'pictures/s':>11} {'CPU µs each':>12} {'MB':>8}")
        for name, run in contestants(source).items():
            if arguments.runs not in name:
                continue
            folder = arguments.work / "run"
            results = [measure(run, source, folder) for _ in range(arguments.repeat)]
            seconds, cpu, size = min(results)
            print(f"{name:26} {count / seconds:11,.0f} {cpu / count * 1e6:12,.0f} {size:8,.1f}", flush=True)
    shutil.rmtree(arguments.work / "run", ignore_errors=True)


if __name__ == "__main__":
    main()
