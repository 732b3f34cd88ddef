"""Pictures whose labels stand in lists of `path label` instead of in the names of folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from app.archives import Archive, OpenTable
from app.archives.entries import DamagedEntry
from app.archives.lists import Line, read_list, read_names
from app.datasets.labels import classes_of, names_problem
from app.datasets.split import SPLITS
from worker.datasets.errors import DatasetError
from worker.datasets.spec import Lists

_MAX_LEFT_OUT = 10_000
FindPath = Callable[[str], int | None]


@dataclass(frozen=True)
class ListedPlace:
    """Where the pictures of a list lie: below the folder `within` of the archive that is `part` of the build."""

    opened: OpenTable
    archive: Archive
    part: int
    within: str
    shown: str  # in messages


class ListedPictures:
    """Parts, rows, labels and splits of the pictures, in the order of the lists. `places` are by split."""

    def __init__(self, lists: Lists, places: Mapping[str, ListedPlace], to_divide: int) -> None:
        self.part: list[int] = []
        self.row: list[int] = []
        self.split: list[int] = []
        self.label: list[int] = []
        self.left_out: list[tuple[str, str]] = []
        self._given = lists
        names = names_of([place.opened for place in places.values()], lists.labels)
        rows_of = {place.part: _rows_by_path(place.archive) for place in places.values()}
        found = {split: self._found(split, given, places, rows_of) for split, given in lists.by_split.items()}
        classes = classes_of({split: {label for *_, label in rows} for split, rows in found.items()}, names)
        self.classes = classes.names
        self.unknown_classes: dict[str, int] = {}
        for split, rows in found.items():
            number_of, part = classes.number_of(split), places[split].part
            counts = Counter(label for _, label in rows)
            for name, count in classes.unknown(split, counts).items():
                self.unknown_classes[name] = self.unknown_classes.get(name, 0) + count
            for label in classes.nameless(split, counts):
                self._leave_out(f"label {label}", "not among the names of the classes")
            for row, label in rows:
                if label in number_of:
                    self.part.append(part)
                    self.row.append(row)
                    self.split.append(to_divide if split == "train" else SPLITS.index(split))
                    self.label.append(number_of[label])

    def _found(
        self, split: str, given: str | Path, places: Mapping[str, ListedPlace], rows_of: Mapping[int, FindPath]
    ) -> list[tuple[int, str]]:
        """(row, label) of each line that names a picture."""
        place, before = places[split], len(self.left_out)
        name = self._given.names.get(split, "") or str(given).rpartition("/")[2]
        folder = given.rpartition("/")[0] if isinstance(given, str) else ""
        find = _finder(place, rows_of[place.part])
        found: list[tuple[int, str]] = []
        for line in read_list(read_text([place.opened, places["train"].opened], given)):
            if not isinstance(line, Line):
                self._leave_out(f"{name}, line {line}", "names no picture and label")
                continue
            row = find(line.path, folder)
            if row is None:
                self._leave_out(line.path, f"listed in {name} (line {line.number}), but not in {place.shown}")
                continue
            found.append((row, line.label))
        if not found:
            first = ": {} {}".format(*self.left_out[before]) if len(self.left_out) > before else ""
            raise DatasetError(f"The list {name} names no picture that is in {place.shown}{first}.")
        return found

    def _leave_out(self, what: str, why: str) -> None:
        if len(self.left_out) < _MAX_LEFT_OUT:
            self.left_out.append((what, why))


def names_of(tables: Sequence[OpenTable], given: str | Path | None) -> list[str] | None:
    """The names of the classes 0, 1, …; raises DatasetError when two are the same."""
    names = None if given is None else read_names(read_text(tables, given))
    problem = names_problem(names)
    if problem:
        raise DatasetError(problem)
    return names


def read_text(tables: Sequence[OpenTable], given: str | Path) -> bytes:
    """A list in the first of several archives that has one by its path, or a file beside them."""
    if isinstance(given, Path):
        return given.read_bytes()
    try:
        for opened in tables:
            data = opened.text(given)
            if data is not None:
                return data
    except DamagedEntry as error:
        raise DatasetError(f"The list {given} is {error}.") from None
    known = ", ".join(list(dict.fromkeys(text.path for opened in tables for text in opened.table.texts))[:10]) or "none"
    raise DatasetError(f"There is no list {given} in the archive; its text files: {known}.")


def _rows_by_path(archive: Archive) -> FindPath:
    """A function (path) → row."""
    table = archive.table
    hashes = np.fromiter((hash(table.path_bytes(row)) for row in range(len(table))), np.int64, len(table))
    order = np.argsort(hashes)
    in_order = hashes[order]

    def find(path: str) -> int | None:
        data = path.encode()
        at = int(np.searchsorted(in_order, hash(data)))
        while at < len(order) and in_order[at] == hash(data):
            if table.path_bytes(int(order[at])) == data:
                return int(order[at])
            at += 1
        return None

    return find


def _finder(place: ListedPlace, row_of: FindPath) -> Callable[[str, str], int | None]:
    """A function (path in a list, folder of the list) → row; paths may carry folders that the archive does not have."""
    top = _common_folders(place.archive, place.within)

    def find(path: str, folder: str) -> int | None:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        bases = (place.within, *top) if place.within else (folder, "", *top)
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            for base in dict.fromkeys(bases):
                row = row_of(f"{base}/{rest}" if base else rest)
                if row is not None:
                    return row
        return None

    return find


def _common_folders(archive: Archive, within: str) -> list[str]:
    """The folders that all pictures below `within` lie below, from the inside out."""
    table = archive.table
    top = tuple(part for part in within.split("/") if part)
    folders = [folder.parts for folder, count in zip(table.folders, table.folder_counts(), strict=True) if count]
    folders = [parts for parts in folders if parts[: len(top)] == top]
    if not folders:
        return []
    pairs = zip(min(folders), max(folders), strict=False)
    common = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return ["/".join(common[:depth]) for depth in range(len(common), len(top), -1)]
