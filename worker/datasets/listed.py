"""Pictures whose labels stand in lists of `path label` instead of in the names of folders."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress, takewhile
from pathlib import Path

import numpy as np

from app.archives import Archive, OpenTable
from app.archives.entries import DamagedEntry
from app.archives.lists import Line, read_list, read_names
from app.datasets.split import SPLITS
from worker.datasets.errors import DatasetError
from worker.datasets.spec import Lists

_MAX_LEFT_OUT = 10_000


class ListedPictures:
    """Rows of the archive, labels and splits, in the order of the lists."""

    def __init__(self, lists: Lists, opened: OpenTable, to_divide: int) -> None:
        self.archive = opened.everything()
        self.rows: list[int] = []
        self.split: list[int] = []
        self.left_out: list[tuple[str, str]] = []
        self._labels: list[str] = []
        self._find = _finder(self.archive)
        self._opened = opened
        names = None if lists.labels is None else read_names(read_text(opened, lists.labels))
        self._take(lists.train, to_divide, lists.names.get("train", ""))
        for split, given in lists.whole_splits.items():
            self._take(given, SPLITS.index(split), lists.names.get(split, ""))
        self.classes, number_of = classes_of(self._labels, names)
        self._drop_unknown(number_of)
        self.label = [number_of[label] for label in self._labels]

    def _take(self, given: str | Path, split: int, name: str) -> None:
        name = name or str(given).rpartition("/")[2]
        folder = given.rpartition("/")[0] if isinstance(given, str) else ""
        taken = len(self.rows)
        for line in read_list(read_text(self._opened, given)):
            if not isinstance(line, Line):
                self._leave_out(f"{name}, line {line}", "names no picture and label")
                continue
            row = self._find(line.path, folder)
            if row is None:
                self._leave_out(line.path, f"listed in {name} (line {line.number}), but not in the archive")
                continue
            self.rows.append(row)
            self.split.append(split)
            self._labels.append(line.label)
        if len(self.rows) == taken:
            first = f": {self.left_out[0][0]} {self.left_out[0][1]}" if self.left_out else ""
            raise DatasetError(f"The list {name} names no picture that is in the archive{first}.")

    def _drop_unknown(self, number_of: dict[str, int]) -> None:
        for label in set(self._labels) - set(number_of):
            self._leave_out(f"label {label}", "not among the names of the classes")
        keep = [label in number_of for label in self._labels]
        self.rows = list(compress(self.rows, keep))
        self.split = list(compress(self.split, keep))
        self._labels = list(compress(self._labels, keep))

    def _leave_out(self, what: str, why: str) -> None:
        if len(self.left_out) < _MAX_LEFT_OUT:
            self.left_out.append((what, why))


def read_text(opened: OpenTable, given: str | Path) -> bytes:
    """A list in the archive by its path, or a file beside it."""
    if isinstance(given, Path):
        return given.read_bytes()
    try:
        data = opened.text(given)
    except DamagedEntry as error:
        raise DatasetError(f"The list {given} is {error}.") from None
    if data is None:
        known = ", ".join(text.path for text in opened.table.texts[:10]) or "none"
        raise DatasetError(f"There is no list {given} in the archive; its text files: {known}.")
    return data


def _finder(archive: Archive) -> Callable[[str, str], int | None]:
    """A function (path in a list, folder of the list) → row; paths may carry folders that the archive does not have."""
    table = archive.table
    hashes = np.fromiter((hash(table.path_bytes(row)) for row in range(len(table))), np.int64, len(table))
    order = np.argsort(hashes)
    in_order = hashes[order]
    top = _common_folders(archive)

    def exact(path: str) -> int | None:
        data = path.encode()
        at = int(np.searchsorted(in_order, hash(data)))
        while at < len(order) and in_order[at] == hash(data):
            if table.path_bytes(int(order[at])) == data:
                return int(order[at])
            at += 1
        return None

    def find(path: str, folder: str) -> int | None:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            for base in dict.fromkeys((folder, "", *top)):
                row = exact(f"{base}/{rest}" if base else rest)
                if row is not None:
                    return row
        return None

    return find


def _common_folders(archive: Archive) -> list[str]:
    """The folders that all pictures lie below, from the inside out."""
    table = archive.table
    folders = [folder.parts for folder, count in zip(table.folders, table.folder_counts(), strict=True) if count]
    if not folders:
        return []
    pairs = zip(min(folders), max(folders), strict=False)
    common = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return ["/".join(common[:depth]) for depth in range(len(common), 0, -1)]


def classes_of(labels: list[str], names: list[str] | None) -> tuple[list[str], dict[str, int]]:
    """The names of the classes in order, and the class of each label."""
    found = set(labels)
    is_numbered = all(label.isascii() and label.isdigit() for label in found)
    if names is None:
        classes = sorted(found, key=int) if is_numbered else sorted(found)
        return classes, {label: number for number, label in enumerate(classes)}
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"The names of the classes hold “{twice}” twice.")
    if is_numbered:
        used = sorted({int(label) for label in found if int(label) < len(names)})
        place = {number: place for place, number in enumerate(used)}
        return [names[number] for number in used], {label: place[int(label)] for label in found if int(label) in place}
    classes = [name for name in names if name in found]
    return classes, {name: number for number, name in enumerate(classes)}
