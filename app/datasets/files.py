"""What a build wrote, as the pages show it: pictures of a split by page and by number, files left out, disk use.

Paths come from `app/storage.py`, LMDBs are read by `app/datasets/lmdb_reader.py`. Nothing is written here.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import lmdb

from app.datasets import lmdb_reader
from app.datasets.checkup import Checkup, read_checkup
from app.datasets.lmdb_reader import Page, StoredImage


class FilesMissing(Exception):
    """The row says the dataset is done, the disk does not have it; the message says what is missing."""


@dataclass(frozen=True)
class SkippedPage:
    rows: list[tuple[str, str]]  # (path in the archive, reason)
    next: str | None  # send it as `after`


@dataclass(frozen=True)
class ShownImage:
    image: StoredImage
    previous: int | None
    next: int | None


@dataclass(frozen=True)
class DatasetFiles:
    folder: Path

    @property
    def mean_image(self) -> Path:
        return self.folder / "mean.png"

    @property
    def skipped_list(self) -> Path:
        return self.folder / "skipped.csv"

    def page(self, split: str, label: int | None = None, after: int = -1, limit: int = 60) -> Page:
        """Pictures of a split in the order they are stored; raises FilesMissing."""
        try:
            with lmdb_reader.open_split(self.folder, split) as reader:
                return reader.page(label, after, limit)
        except (OSError, ValueError, EOFError) as error:
            raise FilesMissing(f"The files of its {split} split are missing or damaged ({error}).") from error

    def about(self, split: str, number: int, label: int | None = None) -> ShownImage | None:
        """One picture, and the numbers of those before and after it, of one class or of all; None if there is none."""
        try:
            with lmdb_reader.open_split(self.folder, split) as reader:
                return ShownImage(reader.about(number), *reader.neighbours(number, label))
        except (IndexError, OSError, ValueError, EOFError):
            return None

    def image(self, split: str, number: int) -> bytes | None:
        """The image file as it is stored (raw pixels as PNG); None when there is no such picture."""
        try:
            with lmdb_reader.open_split(self.folder, split) as reader:
                return reader.image(number)[0]
        except (IndexError, FileNotFoundError, lmdb.Error):
            return None

    def skipped(self, after: str = "", limit: int = 100) -> SkippedPage:
        """Files that were left out, from a place in the list on; any page costs the same as the first."""
        start = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
        try:
            file = self.skipped_list.open("rb")
        except OSError:
            return SkippedPage([], None)
        with file:
            file.seek(start)
            if start == 0:
                file.readline()  # the header
            lines = [line for line in (file.readline() for _ in range(limit)) if line]
            place = file.tell()
            has_more = bool(file.readline())
        rows = csv.reader(line.decode("utf-8", "replace") for line in lines)
        return SkippedPage([(row[0], row[1]) for row in rows if len(row) > 1], str(place) if has_more else None)

    def checkup(self) -> Checkup | None:
        """What the check-up found; None when there was none, or its file cannot be read."""
        try:
            return read_checkup(self.folder)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def size_bytes(self) -> int:
        """Disk use of everything in the folder; sparse files count as what they occupy."""
        total = 0
        for path in self.folder.rglob("*"):
            try:
                total += path.stat().st_blocks * 512 if path.is_file() else 0
            except OSError:
                continue  # deleted meanwhile
        return total
