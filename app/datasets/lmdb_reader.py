"""Reads a dataset's splits for its pages: pictures as they are stored, by number, by page and by class.

Opens nothing but files, on first use; no torch. Writing them is `worker/datasets/split_writer.py`.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.topology import caffe_pb2

# One row per picture in <split>.index.npy, so that a page of one class is found without reading the LMDB.
INDEX_DTYPE = np.dtype(
    [
        ("label", "<i4"),
        ("width", "<u4"),  # of the original picture
        ("height", "<u4"),
        ("stored_bytes", "<u4"),
        ("list_offset", "<u8"),  # of the picture's line in <split>.txt
        ("digest", "<u8"),  # the first bytes of the SHA-256 of its pixels
        ("fingerprint", "<u8", (2,)),  # nearly the same for nearly the same picture
        ("copy", "<u2"),  # 0 for the picture itself, else the number of its altered copy
    ]
)


@dataclass(frozen=True)
class StoredImage:
    """One picture of a split; `number` is its key."""

    number: int
    label: int
    source: str
    width: int
    height: int
    stored_bytes: int
    copy: int = 0  # 0 for the picture itself, else the number of its altered copy


@dataclass(frozen=True)
class Page:
    images: list[StoredImage]
    next: int | None  # pass as `after` for the page that follows
    total: int


class SplitReader:
    """One split of the dataset in `folder`."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._index: NDArray[Any] = np.load(folder / f"{split}.index.npy", mmap_mode="r")
        self._stack = ExitStack()
        self._env: Any = None

    @property
    def count(self) -> int:
        return len(self._index)

    def image(self, number: int) -> tuple[bytes, int]:
        """(image file, label) of picture `number`: PNG or JPEG as stored, raw pixels as PNG; IndexError if none."""
        self._refuse_unknown(number)
        if self._env is None:
            self._env = self._stack.enter_context(open_lmdb(self._folder / f"{self._split}.lmdb"))
        with self._env.begin(buffers=True) as transaction:
            datum = caffe_pb2.Datum.FromString(bytes(transaction.get(b"%08d" % number)))
        return (datum.data if datum.encoded else _as_png(datum)), int(datum.label)

    def page(self, label: int | None = None, after: int = -1, limit: int = 50) -> Page:
        """Up to `limit` pictures with numbers above `after`, of one class or of all."""
        if label is None:
            numbers = np.arange(after + 1, min(after + 1 + limit, self.count))
            total, more = self.count, after + 1 + limit < self.count
        else:
            of_class = np.flatnonzero(self._index["label"] == label)
            start = int(np.searchsorted(of_class, after, side="right"))
            numbers = of_class[start : start + limit]
            total, more = len(of_class), start + limit < len(of_class)
        with (self._folder / f"{self._split}.txt").open("rb") as file:
            images = [self._describe(int(number), file) for number in numbers]
        return Page(images, images[-1].number if more and images else None, total)

    def about(self, number: int) -> StoredImage:
        """All but the pixels of picture `number`; IndexError if there is none."""
        self._refuse_unknown(number)
        with (self._folder / f"{self._split}.txt").open("rb") as file:
            return self._describe(number, file)

    def source(self, number: int) -> str:
        """The path of picture `number` in its upload."""
        return self.about(number).source

    def neighbours(self, number: int, label: int | None = None) -> tuple[int | None, int | None]:
        """The pictures before and after `number`, of one class or of all."""
        if label is None:
            return number - 1 if number > 0 else None, number + 1 if number + 1 < self.count else None
        of_class = np.flatnonzero(self._index["label"] == label)
        before, after = np.searchsorted(of_class, number), np.searchsorted(of_class, number, side="right")
        return (
            int(of_class[before - 1]) if before > 0 else None,
            int(of_class[after]) if after < len(of_class) else None,
        )

    def close(self) -> None:
        self._stack.close()
        self._env = None

    def __enter__(self) -> SplitReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_unknown(self, number: int) -> None:
        if not 0 <= number < self.count:
            raise IndexError(f"{self._split} has pictures 0 to {self.count - 1}, not {number}")

    def _describe(self, number: int, list_file: io.BufferedReader) -> StoredImage:
        row = self._index[number]
        list_file.seek(int(row["list_offset"]))
        source = list_file.readline().rstrip(b"\n").rpartition(b" ")[0].decode("utf-8", "replace")
        numbers = (int(row[name]) for name in ("width", "height", "stored_bytes", "copy"))
        return StoredImage(number, int(row["label"]), source, *numbers)


_open: dict[tuple[int, int], list[Any]] = {}  # data file → [environment, users]
_open_lock = threading.Lock()


@contextmanager
def open_lmdb(folder: Path) -> Iterator[Any]:
    """The LMDB in `folder` for reading; shared, because a process may open each only once."""
    about = (folder / "data.mdb").stat()
    key = (about.st_dev, about.st_ino)
    with _open_lock:
        if key not in _open:
            _open[key] = [lmdb.open(str(folder), readonly=True, lock=False, max_readers=512, readahead=False), 0]
        _open[key][1] += 1
        environment = _open[key][0]
    try:
        yield environment
    finally:
        with _open_lock:
            _open[key][1] -= 1
            if _open[key][1] == 0:
                del _open[key]
                environment.close()


def open_split(folder: Path, split: str) -> SplitReader:
    """The split of the dataset in `folder`; raises FileNotFoundError when it has none."""
    return SplitReader(folder, split)


def media_type(image: bytes) -> str:
    return "image/jpeg" if image.startswith(b"\xff\xd8") else "image/png"


def _as_png(datum: Any) -> bytes:
    """Caffe's raw (C, H, W) BGR bytes as a PNG."""
    pixels = np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width)
    picture = pixels[0] if datum.channels == 1 else np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()
