"""The job of the build's processes: read pictures from the archive, preprocess, encode, sum and hash them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.archives.entries import DamagedEntry, read_file, read_picture
from app.archives.methods import LMDB_VALUE
from app.imaging.copies import Augmentation, altered
from app.imaging.preprocess import ImageError, Picture, load_picture
from app.preprocessing import Preprocessing
from worker.datasets.class_means import ClassSums, shrunk, sums_by_class
from worker.datasets.encode import datum, encode_all
from worker.datasets.fingerprint import BITS, fingerprints
from worker.datasets.lmdb_values import read_value
from worker.datasets.spec import Encoding

_STARTS = {"png": b"\x89PNG", "jpeg": b"\xff\xd8"}


@dataclass(frozen=True)
class EncodingTask:
    """Some pictures of one split."""

    pictures: NDArray[Any]  # of worker.datasets.listing.PICTURE
    with_sum: bool
    paths: list[bytes | None] = field(default_factory=list)  # of pictures that are files of their own; may be empty

    def __len__(self) -> int:
        return len(self.pictures)

    def part(self, start: int, stop: int) -> EncodingTask:
        return EncodingTask(self.pictures[start:stop], self.with_sum, self.paths[start:stop])


@dataclass
class Encoded:
    """The pictures of a task that could be read; `index` are their places in the task."""

    index: list[int] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)  # serialized Datums
    digests: list[bytes] = field(default_factory=list)  # SHA-256 of the pixels
    fingerprints: NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 2), np.uint64))
    sketches: NDArray[np.int8] = field(default_factory=lambda: np.empty((0, BITS), np.int8))
    sizes: list[tuple[int, int]] = field(default_factory=list)  # original width and height
    stored_bytes: list[int] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    pixel_sum: NDArray[np.uint32] | None = None  # (H, W) or (H, W, 3) RGB
    class_sums: list[ClassSums] = field(default_factory=list)


@dataclass
class EncodingJob:
    data_paths: list[Path]
    preprocessing: Preprocessing
    encoding: Encoding
    jpeg_quality: int
    augmentation: Augmentation | None = None
    class_mean_side: int = 0
    _descriptors: dict[int, int] = field(default_factory=dict)

    def run(self, task: EncodingTask) -> Encoded:
        done = Encoded()
        all_pixels: list[NDArray[np.uint8]] = []
        stored: list[bytes | None] = []
        for index, (_label, part, copy, seed, *entry) in enumerate(task.pictures.tolist()):
            try:
                source = self._read(part, task.paths[index] if task.paths else None, entry)
                picture = load_picture(source, self.preprocessing)
            except (DamagedEntry, ImageError) as error:
                done.skipped.append((index, str(error)))
                continue
            except OSError as error:
                done.skipped.append((index, f"cannot be read ({error.strerror})"))
                continue
            if copy:
                picture = picture._replace(content=self._altered(picture.image, seed), is_source=False)
            pixels = picture.pixels
            stored.append(self._as_it_is(source, picture))
            done.index.append(index)
            done.digests.append(hashlib.sha256(pixels.data).digest())
            done.sizes.append(picture.original_size)
            if picture.note is not None and not copy:
                done.notes[picture.note] += 1
            all_pixels.append(pixels)
        self._store(done, task, all_pixels, stored)
        done.fingerprints, done.sketches = fingerprints(all_pixels)
        if task.with_sum and all_pixels:
            labels = task.pictures["label"][done.index].tolist()
            sums = sums_by_class(all_pixels, labels if self.class_mean_side else [0] * len(labels))
            done.pixel_sum = np.sum([total for total, _ in sums.values()], axis=0, dtype=np.uint32)
            done.class_sums = [shrunk(sums, self.class_mean_side)] if self.class_mean_side else []
        return done

    def _store(
        self, done: Encoded, task: EncodingTask, pictures: list[NDArray[np.uint8]], stored: list[bytes | None]
    ) -> None:
        """Encodes what is not stored as it is, and packs everything."""
        to_encode = [pixels for pixels, data in zip(pictures, stored, strict=True) if data is None]
        encoded = encode_all(to_encode, self.encoding, self.jpeg_quality)
        labels = task.pictures["label"][done.index].tolist()
        for pixels, as_it_is, label in zip(pictures, stored, labels, strict=True):
            data = as_it_is or next(encoded)
            done.data.append(datum(data, self.encoding, pixels.shape, label))
            done.stored_bytes.append(len(data))

    def _read(self, part: int, path: bytes | None, entry: list[int]) -> bytes:
        if path is not None and entry[3] == LMDB_VALUE:
            return read_value(self.data_paths[part], path)
        descriptor = self._descriptor(part)
        if path is None:
            return read_picture(descriptor, *entry)
        return read_file(descriptor, path, size=entry[2])

    def _descriptor(self, part: int) -> int:
        if part not in self._descriptors:
            self._descriptors[part] = os.open(self.data_paths[part], os.O_RDONLY)
        return self._descriptors[part]

    def _altered(self, image: Image.Image, seed: int) -> Image.Image:
        assert self.augmentation is not None
        return altered(image, self.augmentation, seed)

    def _as_it_is(self, source: bytes, picture: Picture) -> bytes | None:
        """The source file when it is what would be stored anyway: nothing is lost by encoding again, nor time."""
        wanted = self.preprocessing
        raw_bytes = wanted.width * wanted.height * wanted.channels.number
        if not picture.is_source or len(source) > 1.1 * raw_bytes + 300:
            return None
        return source if source.startswith(_STARTS.get(self.encoding, b"none")) else None

    def divide(self, task: EncodingTask) -> list[EncodingTask]:
        middle = len(task) // 2
        return [task] if len(task) < 2 else [task.part(0, middle), task.part(middle, len(task))]

    def merge(self, replies: list[Encoded]) -> Encoded:
        merged = Encoded()
        shift = 0
        for reply in replies:
            length = len(reply.index) + len(reply.skipped)
            merged.index += [index + shift for index in reply.index]
            merged.skipped += [(index + shift, reason) for index, reason in reply.skipped]
            for name in ("data", "digests", "sizes", "stored_bytes"):
                getattr(merged, name).extend(getattr(reply, name))
            merged.notes += reply.notes
            merged.class_sums += reply.class_sums
            merged.fingerprints = np.concatenate([merged.fingerprints, reply.fingerprints])
            merged.sketches = np.concatenate([merged.sketches, reply.sketches])
            if reply.pixel_sum is not None:
                merged.pixel_sum = reply.pixel_sum if merged.pixel_sum is None else merged.pixel_sum + reply.pixel_sum
            shift += length
        return merged

    def give_up(self, task: EncodingTask, reason: str) -> Encoded:
        return Encoded(skipped=[(index, reason) for index in range(len(task))])

    def time_limit_s(self, task: EncodingTask) -> float:
        return 60 + 5 * len(task)
