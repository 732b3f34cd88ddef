"""What a dataset is made of, as its row keeps it: places with class folders, lists of `path label`, or Caffe LMDBs.

Values and their form in `Dataset.options["source"]`, for web and worker alike. A dataset made of the class folders of
one whole upload has no such entry. What a client may ask for is in `app/schemas/sources.py`, what the choices give in
`app/datasets/sources.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

LISTS_FOLDER = "lists"  # of a dataset's folder: lists that came beside the archive
TEXTS = ("train", "val", "test", "labels")


class SourceKind(StrEnum):
    FOLDERS = "folders"
    LISTS = "lists"
    DATABASES = "databases"


@dataclass(frozen=True)
class Place:
    """An upload, or a folder on the server; of it, what lies below the folder `within`."""

    upload_id: int | None = None
    folder: str | None = None
    within: str = ""
    name: str = ""  # of the upload, for when it is gone

    @property
    def where(self) -> tuple[int | None, str | None]:
        return self.upload_id, self.folder

    def overlaps(self, other: Place) -> bool:
        """Whether one lies inside the other."""
        parts, others = (
            [*place.folder_parts(), *(part for part in place.within.split("/") if part)] for place in (self, other)
        )
        shortest = min(len(parts), len(others))
        return self.upload_id == other.upload_id and parts[:shortest] == others[:shortest]

    def folder_parts(self) -> list[str]:
        return [part for part in (self.folder or "").split("/") if part]


@dataclass(frozen=True)
class Text:
    """A list or labels.txt: a path in the archive, or a file beside it, kept with the dataset under its purpose."""

    path: str | None = None
    name: str = ""  # of a file beside the archive

    @property
    def shown(self) -> str:
        return self.path if self.path is not None else self.name


@dataclass(frozen=True)
class MadeOf:
    """`more` is divided with the main place; `whole` are splits of their own. `lists` and `databases` (LMDB folders)
    by split take the place of class folders, and `whole` says where those of val and test lie if not in the main
    place; `labels` names their classes."""

    main: Place
    more: tuple[Place, ...] = ()
    whole: Mapping[str, Place] = field(default_factory=dict)
    lists: Mapping[str, Text] = field(default_factory=dict)
    databases: Mapping[str, str] = field(default_factory=dict)
    labels: Text | None = None
    expected: Mapping[str, int] | None = None  # classes and train_count, as far as they were known beforehand

    @property
    def kind(self) -> SourceKind:
        if self.databases:
            return SourceKind.DATABASES
        return SourceKind.LISTS if self.lists else SourceKind.FOLDERS

    @property
    def whole_splits(self) -> frozenset[str]:
        """Splits that percentages do not make."""
        given = self.databases or self.lists or self.whole
        return frozenset(given) - {"train"}

    @property
    def is_plain(self) -> bool:
        return self == MadeOf(Place(self.main.upload_id, name=self.main.name), expected=self.expected)

    def place_of(self, split: str) -> Place:
        """Where the pictures of a split's list, or its LMDB, lie."""
        return self.whole.get(split, self.main)

    def places(self) -> Iterator[tuple[str, Place]]:
        """(field, place) of all, the main one as ""."""
        yield "", self.main
        for number, place in enumerate(self.more):
            yield f"more.{number}", place
        yield from self.whole.items()

    @property
    def upload_ids(self) -> list[int]:
        return sorted({place.upload_id for _, place in self.places() if place.upload_id is not None})

    def texts(self) -> Iterator[tuple[str, Text]]:
        """(purpose, text) of the lists and the names of classes."""
        yield from self.lists.items()
        if self.labels is not None:
            yield "labels", self.labels

    def to_dict(self) -> dict[str, Any]:
        return {
            "main": asdict(self.main),
            "more": [asdict(place) for place in self.more],
            "whole": {split: asdict(place) for split, place in self.whole.items()},
            "lists": {split: asdict(text) for split, text in self.lists.items()},
            "databases": dict(self.databases),
            "labels": asdict(self.labels) if self.labels else None,
            "expected": dict(self.expected) if self.expected else None,
        }

    @classmethod
    def of(cls, options: Mapping[str, Any], upload_id: int | None) -> MadeOf:
        """Of a row's options and its upload."""
        kept = options.get("source")
        if not kept:
            return cls(Place(upload_id))
        return cls(
            Place(**kept["main"]),
            tuple(Place(**place) for place in kept["more"]),
            {split: Place(**place) for split, place in kept["whole"].items()},
            {split: Text(**text) for split, text in kept["lists"].items()},
            dict(kept["databases"]),
            Text(**kept["labels"]) if kept["labels"] else None,
            kept["expected"],
        )


def list_prefixes(files: Sequence[tuple[Path, str]]) -> tuple[str, ...]:
    """What precedes paths in a dataset's lists, for the (path, name) of each source.

    Nothing when all pictures come from one file; else its name, numbered when two files share it.
    """
    paths = list(dict.fromkeys(path for path, _ in files))
    if len(paths) == 1:
        return ("",) * len(files)
    names = [unicodedata.normalize("NFC", name).replace("/", "_") for _, name in files]
    of_name: dict[str, set[Path]] = {}
    for (path, _), name in zip(files, names, strict=True):
        of_name.setdefault(name, set()).add(path)
    return tuple(
        f"{name}#{paths.index(path) + 1}/" if len(of_name[name]) > 1 else f"{name}/"
        for (path, _), name in zip(files, names, strict=True)
    )


def text_file(dataset_dir: Path, purpose: str) -> Path:
    """Where a list, or names of classes, that came beside the archive is kept."""
    return dataset_dir / LISTS_FOLDER / f"{purpose}.txt"
