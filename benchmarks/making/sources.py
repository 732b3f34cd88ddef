"""The pictures of the dataset benchmark: real digits and thumbnails, and photographs drawn here."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from app.preprocessing import Channels


@dataclass(frozen=True)
class Source:
    name: str
    about: str
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

    @property
    def is_large(self) -> bool:
        """Decoding and packing are what takes the time."""
        return self.side >= 200

    @property
    def is_slow(self) -> bool:
        return self.name == "large"


SOURCES = ("mnist", "cifar", "photos", "large")


def source(name: str, folder: Path, count: int) -> Source:
    """One of SOURCES with at most `count` pictures; what has to be drawn is kept in `folder`."""
    if name == "mnist":
        return Source(name, "MNIST PNGs", _real("mnist-train.zip", count, folder), Channels.GRAY, 28)
    if name == "cifar":
        return Source(name, "CIFAR-10 JPEGs", _real("cifar10-test.zip", count, folder), Channels.COLOR, 32)
    if name == "photos":
        path = _photographs(folder, min(count, 1000), (500, 375), distinct=100)
        return Source(name, "generated JPEGs of 500×375", path, Channels.COLOR, 256)
    path = _photographs(folder, min(count, 500), (4000, 3000), distinct=8)
    return Source(name, "generated JPEGs of 12 megapixels", path, Channels.COLOR, 256)


def _real(filename: str, count: int, folder: Path) -> Path:
    """The archive, or a shorter one with `count` pictures spread over it."""
    archive = Path(os.environ.get("TRAINYARD_REAL_DATA", "../shared/data")) / filename
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


def _photographs(folder: Path, count: int, size: tuple[int, int], distinct: int) -> Path:
    """JPEGs with the statistics of photographs: detail falls off with frequency; quality 90."""
    width, height = size
    path = folder / f"photos-{width}-{count}.zip"
    if path.exists():
        return path
    random = np.random.RandomState(7)
    files = []
    for _ in range(min(distinct, count)):
        picture = np.zeros((height, width, 3), np.float32)
        for cells, strength in ((4, 60), (16, 30), (64, 16), (256, 8)):
            grain = random.randn(max(2, height * cells // width), cells, 3).astype(np.float32) * strength
            picture += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        picture += random.randn(height, width, 1) * 3 + 128
        file = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    partial = path.with_suffix(".part")
    with zipfile.ZipFile(partial, "w") as archive:
        for number in range(count):
            archive.writestr(f"{'ab'[number % 2]}/{number:05d}.jpg", files[number % len(files)])
    partial.replace(path)
    return path
