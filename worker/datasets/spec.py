"""What a dataset build is given, reports while it runs, and returns. Values only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.imaging.copies import Augmentation
from app.preprocessing import Channels, Color, Preprocessing, ResizeMode

Phase = Literal["scanning", "encoding", "mean", "finishing"]
Encoding = Literal["png", "jpeg", "raw"]


def available_processes() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Source:
    """Where pictures come from: an archive, or what lies below the folder `within` of it."""

    path: Path
    filename: str
    within: str = ""


@dataclass(frozen=True)
class Lists:
    """Lists of `path label` in place of class folders: paths of text files in the archive, or files beside it.

    A list is looked for where its split's pictures lie, then where those of training lie; `labels` in all of them.
    `labels` names class 0, 1, …; without it, labels that are numbers name themselves. `names` are what files beside the
    archive are called in messages.
    """

    train: str | Path
    val: str | Path | None = None
    test: str | Path | None = None
    labels: str | Path | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_split(self) -> dict[str, str | Path]:
        given = (("train", self.train), ("val", self.val), ("test", self.test))
        return {split: one for split, one in given if one is not None}


@dataclass(frozen=True)
class Databases:
    """Caffe LMDBs in place of class folders: folders in the archive that hold a data.mdb, "." for its top.

    `labels` names class 0, 1, …; without it, the numbers name themselves.
    """

    train: str
    val: str | None = None
    test: str | None = None
    labels: str | Path | None = None

    @property
    def by_split(self) -> dict[str, str]:
        given = (("train", self.train), ("val", self.val), ("test", self.test))
        return {split: one for split, one in given if one is not None}


@dataclass(frozen=True)
class BuildSpec:
    """One dataset. The percentages add up to 100; `seed` decides the split and the order.

    `archive` and `more` are divided by the percentages; `val` and `test` are whole splits of their own, whose share
    is then 0. With `lists` or `databases` they say where the pictures of that split's list, or its LMDB, lie. Classes
    with fewer pictures than `min_per_class` are left out, of those with more than `max_per_class` a seeded sample is
    taken.
    """

    archive: Path
    filename: str
    out_dir: Path
    name: str
    train_percent: float
    val_percent: float
    test_percent: float
    channels: Channels
    width: int
    height: int
    resize_mode: ResizeMode = ResizeMode.SQUASH
    fill_color: Color | None = None  # of the borders that fill and half crop leave; None: noise
    encoding: Encoding = "png"
    seed: int = 1
    processes: int = field(default_factory=available_processes)
    jpeg_quality: int = 90
    within: str = ""  # of `archive`
    more: tuple[Source, ...] = ()
    val: Source | None = None
    test: Source | None = None
    lists: Lists | None = None  # instead of class folders and `more`
    databases: Databases | None = None  # instead of all those and `within`
    min_per_class: int = 1
    max_per_class: int | None = None
    augmentation: Augmentation | None = None
    drop: frozenset[str] = frozenset()  # paths, as the lists hold them, that are left out after the division

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.channels, self.width, self.height, self.resize_mode, self.fill_color)

    @property
    def percents(self) -> tuple[float, float, float]:
        return self.train_percent, self.val_percent, self.test_percent

    @property
    def whole_splits(self) -> dict[str, Source]:
        """Sources that are a split of their own."""
        return {split: source for split, source in (("val", self.val), ("test", self.test)) if source is not None}

    @property
    def fixed_splits(self) -> tuple[str, ...]:
        """Splits that the percentages do not make, because a folder or a list of their own does."""
        given = self.databases or self.lists
        return tuple(split for split in (given.by_split if given else self.whole_splits) if split != "train")

    @property
    def list_sources(self) -> list[Source]:
        """What the pictures of lists lie in, each file once, in the order of the splits."""
        found: dict[Path, Source] = {}
        for split in self.lists.by_split if self.lists else ():
            found.setdefault(self.source_of(split).path, self.source_of(split))
        return list(found.values())

    def source_of(self, split: str) -> Source:
        """Where the pictures of a split's list, or its LMDB, lie: with those of training unless elsewhere."""
        return self.whole_splits.get(split) or Source(self.archive, self.filename, self.within)


@dataclass(frozen=True)
class BuildProgress:
    """`done` of `total` pictures in this phase; total 0 while it is not known."""

    phase: Phase
    done: int
    total: int


@dataclass(frozen=True)
class SplitCounts:
    count: int
    per_class: list[int]


@dataclass(frozen=True)
class BuildResult:
    classes: list[str]
    splits: dict[str, SplitCounts]  # only those with a share
    skipped_count: int
    content_hash: str  # SHA-256 over pixels, labels and order
    mean: list[float]  # per channel, 0–255, BGR or one grey value
    unknown_classes: dict[str, int] = field(default_factory=dict)  # of whole splits: name → pictures left out
