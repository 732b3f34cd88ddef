"""All pictures of a build in one numbering, whatever they come from: one archive or several, with classes in common.

A picture is a number here; where it lies is known to the archive it comes from. The classes are those of the sources
that are divided; sources that are a whole split (another folder for validation or testing) are matched to them by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.archives import Archive, ArchiveError, Contents, OpenTable, open_table
from app.archives.reading import ENTRY
from app.datasets.labels import classes_of
from app.datasets.made_of import list_prefixes
from app.datasets.split import SPLITS
from worker.datasets.errors import DatasetError
from worker.datasets.listed import ListedPictures, ListedPlace, names_of
from worker.datasets.lmdb_source import read_database
from worker.datasets.spec import BuildSpec, Databases, Lists, Source

Rows = NDArray[np.int64]
Opened = Callable[[Source], OpenTable]
TO_DIVIDE = -1

# What a picture process needs of a picture: `part` says in which file the offset lies, `seed` draws an altered copy.
PICTURE = np.dtype(
    [
        ("label", "i4"),
        ("part", "u2"),
        ("copy", "u2"),
        ("seed", "u4"),
        *((name, ENTRY[name]) for name in ENTRY.names or ()),
    ]
)


class Paths(Protocol):
    def path_bytes(self, row: int) -> bytes: ...


class Part(Protocol):
    """A file that pictures come from: an archive, a folder, an LMDB."""

    @property
    def data_path(self) -> Path: ...
    @property
    def contents(self) -> Contents: ...
    @property
    def table(self) -> Paths: ...
    @property
    def names_on_disk(self) -> dict[int, bytes] | None: ...
    def entries(self, rows: Rows) -> NDArray[Any]: ...
    def path_on_disk(self, row: int) -> bytes | None: ...


@dataclass(frozen=True)
class Listing:
    """`label`, `split` and `part` have one value per picture."""

    classes: list[str]
    archives: Sequence[Part]
    label: NDArray[np.int32]
    split: NDArray[np.int8]  # index in SPLITS, or TO_DIVIDE
    part: NDArray[np.uint16]  # index in archives
    row: Rows  # of the archive's table
    unknown_classes: dict[str, int] = field(default_factory=dict)  # of whole splits: name → pictures left out
    small_classes: dict[str, int] = field(default_factory=dict)  # left out for having too few: name → pictures
    left_out: tuple[tuple[str, str], ...] = ()  # (what, why) of lines of lists that name nothing
    prefixes: tuple[str, ...] = ("",)  # what precedes the paths of each archive in lists

    def __len__(self) -> int:
        return len(self.label)

    def path_bytes(self, number: int) -> bytes:
        part = int(self.part[number])
        return self.prefixes[part].encode() + self.archives[part].table.path_bytes(int(self.row[number]))

    def path(self, number: int) -> str:
        return self.path_bytes(number).decode("utf-8")

    def pictures(self, numbers: Rows) -> NDArray[Any]:
        """What the picture processes need, as an array of `PICTURE`."""
        pictures = np.zeros(len(numbers), PICTURE)
        pictures["label"], pictures["part"] = self.label[numbers], self.part[numbers]
        for part, archive in enumerate(self.archives):
            here = np.flatnonzero(self.part[numbers] == part)
            entries = archive.entries(self.row[numbers[here]])
            for name in ENTRY.names or ():
                pictures[name][here] = entries[name]
        return pictures

    def paths_on_disk(self, numbers: Rows) -> list[bytes | None]:
        """Where pictures lie that are files of their own; empty when none is."""
        if all(archive.names_on_disk is None for archive in self.archives):
            return []
        return [
            self.archives[part].path_on_disk(row)
            for part, row in zip(self.part[numbers].tolist(), self.row[numbers].tolist(), strict=True)
        ]

    def size_bytes(self, numbers: Rows) -> NDArray[np.uint64]:
        return np.asarray(self.pictures(numbers)["size"])

    def counts(self, split: int = TO_DIVIDE) -> list[tuple[str, int]]:
        """(class, pictures) of one split, or of those that are still to be divided."""
        found = np.bincount(self.label[self.split == split], minlength=len(self.classes))
        return [(name, int(count)) for name, count in zip(self.classes, found, strict=True)]


@contextmanager
def open_listing(spec: BuildSpec, spool_dir: Path) -> Iterator[Listing]:
    """Opens and checks every source of `spec`; compressed tars are unpacked into `spool_dir` for as long as needed."""
    with ExitStack() as stack:
        tables: dict[Path, OpenTable] = {}

        def opened(source: Source) -> OpenTable:
            if source.path not in tables:
                tables[source.path] = stack.enter_context(open_table(source.path, source.filename, spool_dir))
            return tables[source.path]

        if spec.databases is not None:
            yield listing_of_databases(spec, spec.databases, opened, spool_dir)
        elif spec.lists is not None:
            yield listing_of_lists(spec, spec.lists, opened)
        else:
            yield listing_of_folders(spec, opened)


def listing_of_folders(spec: BuildSpec, opened: Opened) -> Listing:
    """The pictures in class folders of one or several sources."""
    sources = [
        (TO_DIVIDE, Source(spec.archive, spec.filename, spec.within)),
        *((TO_DIVIDE, more) for more in spec.more),
        *((SPLITS.index(split), source) for split, source in spec.whole_splits.items()),
    ]
    archives = [_view(opened(source), source) for _, source in sources]
    return _combined([split for split, _ in sources], [source for _, source in sources], archives)


def listing_of_lists(spec: BuildSpec, lists: Lists, opened: Opened) -> Listing:
    """The pictures that lists name, with the labels that they give."""
    sources = {split: spec.source_of(split) for split in lists.by_split}
    parts = [source.path for source in spec.list_sources]
    archives = {source.path: opened(source).everything() for source in spec.list_sources}
    places = {
        split: ListedPlace(
            opened(source), archives[source.path], parts.index(source.path), source.within, _shown(source, len(parts))
        )
        for split, source in sources.items()
    }
    listed = ListedPictures(lists, places, TO_DIVIDE)
    return Listing(
        classes=listed.classes,
        archives=[archives[path] for path in parts],
        label=np.array(listed.label, np.int32),
        split=np.array(listed.split, np.int8),
        part=np.array(listed.part, np.uint16),
        row=np.array(listed.row, np.int64),
        unknown_classes=listed.unknown_classes,
        left_out=tuple(listed.left_out),
        prefixes=list_prefixes([(source.path, source.filename) for source in spec.list_sources]),
    )


def _shown(source: Source, part_count: int) -> str:
    archive = source.filename if part_count > 1 else "the archive"
    return f"the folder {source.within} of {archive}" if source.within else archive


def listing_of_databases(spec: BuildSpec, databases: Databases, opened: Opened, spool_dir: Path) -> Listing:
    """The pictures of Caffe LMDBs, with the labels that they carry."""
    sources = {split: spec.source_of(split) for split in databases.by_split}
    parts = {
        split: read_database(opened(sources[split]), folder, spool_dir) for split, folder in databases.by_split.items()
    }
    names = names_of([opened(source) for source in sources.values()], databases.labels)
    counts = {split: _label_counts(part.labels) for split, part in parts.items()}
    classes = classes_of(counts, names)
    left_out = dict.fromkeys(label for split, found in counts.items() for label in classes.nameless(split, found))
    unknown: Counter[str] = Counter()
    columns: list[tuple[NDArray[Any], ...]] = []
    for number, (split, part) in enumerate(parts.items()):
        unknown.update(classes.unknown(split, counts[split]))
        number_of = classes.number_of(split)
        values, place = np.unique(part.labels, return_inverse=True)
        label = np.array([number_of.get(str(value), -1) for value in values.tolist()], np.int32)[place]
        rows = np.flatnonzero(label >= 0)
        split_number = TO_DIVIDE if split == "train" else SPLITS.index(split)
        columns.append((label[rows], np.full(len(rows), split_number, "i1"), np.full(len(rows), number, "u2"), rows))
    label, split_of, part_of, row = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Listing(
        classes=classes.names,
        archives=list(parts.values()),
        label=label,
        split=split_of,
        part=part_of,
        row=row,
        unknown_classes=dict(unknown),
        left_out=tuple((f"label {name}", "not among the names of the classes") for name in left_out),
        prefixes=list_prefixes([(source.path, source.filename) for source in sources.values()]),
    )


def _label_counts(labels: NDArray[np.int64]) -> dict[str, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {str(value): int(count) for value, count in zip(values.tolist(), counts, strict=True)}


def _view(opened: OpenTable, source: Source) -> Archive:
    try:
        return opened.view(source.within)
    except ArchiveError as error:
        raise DatasetError(f"{source.filename}: {error}" if source.within else str(error)) from error


def _combined(splits: list[int], sources: list[Source], archives: list[Archive]) -> Listing:
    divided = [archive for split, archive in zip(splits, archives, strict=True) if split == TO_DIVIDE]
    classes = sorted({entry.name for archive in divided for entry in archive.contents.classes})
    number_of = {name: number for number, name in enumerate(classes)}
    unknown: dict[str, int] = {}
    columns: list[tuple[NDArray[Any], ...]] = []
    for part, (split, archive) in enumerate(zip(splits, archives, strict=True)):
        names = [entry.name for entry in archive.contents.classes]
        numbers = np.array([number_of.get(name, -1) for name in names] + [-1], np.int32)
        for entry in archive.contents.classes:
            if entry.name not in number_of:
                unknown[entry.name] = unknown.get(entry.name, 0) + entry.count
        label = numbers[archive.label]
        rows = np.flatnonzero(label >= 0)
        columns.append((label[rows], np.full(len(rows), split, "i1"), np.full(len(rows), part, "u2"), rows))
    label, split_of, part_of, row = (np.concatenate(column) for column in zip(*columns, strict=True))
    prefixes = list_prefixes([(source.path, source.filename) for source in sources])
    return Listing(classes, archives, label, split_of, part_of, row, unknown, prefixes=prefixes)


def without_small_classes(listing: Listing, minimum: int) -> Listing:
    """The listing without classes that have fewer than `minimum` pictures to divide."""
    counts = listing.counts()
    small = {name: count for name, count in counts if count < minimum}
    if not small:
        return listing
    keep = np.array([name not in small for name in listing.classes])
    label = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)[listing.label]
    rows = np.flatnonzero(label >= 0)
    columns = {name: getattr(listing, name)[rows] for name in ("split", "part", "row")}
    classes = [name for name in listing.classes if name not in small]
    return replace(listing, classes=classes, label=label[rows], small_classes=small, **columns)
