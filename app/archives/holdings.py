"""What an archive holds beside its classes: its folders with counts, lists of `path label`, names of classes, LMDBs.

Found once, when an upload is checked; kept with it, so that the wizard can tell what a choice gives without opening the
archive again. Of texts in compressed archives, which cannot be read in any order, only the paths are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.archives.folders import class_folders
from app.archives.lists import Line, looks_like_list, read_list, read_names

MAX_FOLDERS_KEPT = 10_000
MAX_LABELS_KEPT = 2_000
MAX_NAMES_KEPT = 2_000
MAX_NAME = 200
MAX_COUNTED_BYTES = 16 * 1024 * 1024  # of one list; 400,000 lines take a second and 100 MB


@dataclass(frozen=True)
class FoundList:
    """A text file that looks like a list. `labels` counts the lines of each label; None when that is not known."""

    path: str
    labels: dict[str, int] | None = None

    @property
    def count(self) -> int | None:
        return None if self.labels is None else sum(self.labels.values())


@dataclass(frozen=True)
class FoundText:
    """Another text file, perhaps labels.txt. `names` are its lines; None when they are not known, or too many."""

    path: str
    names: list[str] | None = None


@dataclass(frozen=True)
class Holdings:
    """`folders` are (path, pictures directly in it), "" for the top; None when they are too many to keep."""

    folders: list[tuple[str, int]] | None = None
    lists: list[FoundList] = field(default_factory=list)
    texts: list[FoundText] = field(default_factory=list)
    databases: list[str] = field(default_factory=list)  # folders with a data.mdb, "." for the top

    def classes(self, within: str = "") -> dict[str, int] | None:
        """Pictures of each class below a folder, as a build finds them; None when that is not known."""
        if self.folders is None:
            return None
        top = tuple(part for part in within.split("/") if part)
        inside = [(path, count) for path, count in self._parts() if path[: len(top)] == top]
        counts = [count for _, count in inside]
        found = class_folders([path[len(top) :] for path, _ in inside], counts)
        classes = dict.fromkeys(found.names, 0)
        for number, count in zip(found.class_of, counts, strict=True):
            if number >= 0:
                classes[found.names[number]] += count
        return classes

    def image_count(self, within: str = "") -> int:
        """Pictures below a folder, in class folders or not; 0 when that is not known."""
        top = tuple(part for part in within.split("/") if part)
        return sum(count for path, count in self._parts() if path[: len(top)] == top)

    def split_folders(self) -> dict[str, str]:
        """{"train": "mnist/training", …} when the class folders lie in folders that are named like splits."""
        parts = self._parts()
        found = class_folders([path for path, _ in parts], [count for _, count in parts])
        wrapper = f"{found.wrapper}/" if found.wrapper else ""
        return {split: wrapper + name for split, name in found.split_folders.items()}

    def within_choices(self, most: int = 200) -> list[str]:
        """Folders that hold other folders with pictures, the upper ones first: what `within` may usefully be."""
        above = {path[:depth] for path, _ in self._parts() for depth in range(1, len(path))}
        return ["/".join(parts) for parts in sorted(above, key=lambda parts: (len(parts), parts))[:most]]

    def image_folders(self, most: int = 200) -> list[str]:
        """Folders with pictures in or below them, the upper ones first: where the pictures of a list may lie."""
        found = {path[:depth] for path, _ in self._parts() for depth in range(1, len(path) + 1)}
        return ["/".join(parts) for parts in sorted(found, key=lambda parts: (len(parts), parts))[:most]]

    def find_list(self, path: str) -> FoundList | None:
        return next((found for found in self.lists if found.path == path), None)

    def text_paths(self) -> list[str]:
        return [*(found.path for found in self.lists), *(found.path for found in self.texts)]

    def names(self, path: str) -> list[str] | None:
        return next((found.names for found in self.texts if found.path == path), None)

    def _parts(self) -> list[tuple[tuple[str, ...], int]]:
        return [(tuple(path.split("/")) if path else (), count) for path, count in self.folders or []]

    def to_dict(self) -> dict[str, Any]:
        return {
            "folders": None if self.folders is None else [list(entry) for entry in self.folders],
            "lists": [{"path": found.path, "labels": found.labels} for found in self.lists],
            "texts": [{"path": found.path, "names": found.names} for found in self.texts],
            "databases": self.databases,
        }

    @classmethod
    def of_dict(cls, kept: Mapping[str, Any]) -> Holdings:
        """Of {}: an upload from a time when nothing was kept."""
        folders = kept.get("folders")
        return cls(
            None if folders is None else [(str(path), int(count)) for path, count in folders],
            [FoundList(found["path"], found["labels"]) for found in kept.get("lists", [])],
            [FoundText(found["path"], found["names"]) for found in kept.get("texts", [])],
            list(kept.get("databases", [])),
        )


def folders_of(paths: Iterable[tuple[tuple[str, ...], int]]) -> list[tuple[str, int]] | None:
    """(path, pictures) of the folders with pictures; None when they are too many to keep."""
    found = [("/".join(parts), count) for parts, count in paths if count]
    return found if len(found) <= MAX_FOLDERS_KEPT else None


def count_labels(data: bytes) -> dict[str, int] | None:
    """Lines per label of a list; None when it is too long or has too many labels to keep."""
    if len(data) > MAX_COUNTED_BYTES:
        return None
    labels: dict[str, int] = {}
    for line in read_list(data):
        if isinstance(line, Line):
            labels[line.label] = labels.get(line.label, 0) + 1
            if len(labels) > MAX_LABELS_KEPT:
                return None
    return labels


def look_into_text(path: str, data: bytes) -> FoundList | FoundText:
    """What a text file of an archive is, by its content."""
    if looks_like_list(data):
        return FoundList(path, count_labels(data))
    is_short = len(data) <= MAX_NAMES_KEPT * MAX_NAME
    names = read_names(data) if is_short else []
    is_fit = is_short and 0 < len(names) <= MAX_NAMES_KEPT and all(len(name) <= MAX_NAME for name in names)
    return FoundText(path, names if is_fit else None)
