"""What the check-up of a dataset found, as its page shows it, and which pictures a new version would leave out.

The check-up is made at the end of a build (`worker/datasets/checkup.py`). checkup.json holds counts and the first
groups; duplicates.csv holds every picture of every group.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

CHECKUP_FILE, DUPLICATES_FILE = "checkup.json", "duplicates.csv"
COLUMNS = ("group", "kind", "split", "number", "label", "source")
Finding = Literal["exact", "near", "two_labels", "leaks"]
_SPLIT_ORDER = {"train": 0, "val": 1, "test": 2}


@dataclass(frozen=True)
class Member:
    """A picture of a group: `number` is its key in the split's LMDB."""

    split: str
    number: int
    label: int
    source: str


@dataclass(frozen=True)
class Group:
    """Pictures with the same pixels ("exact") or nearly; `size` counts those that a shortened list leaves out."""

    kind: Literal["exact", "near"]
    size: int
    members: tuple[Member, ...]
    has_two_labels: bool
    is_leak: bool  # in several splits


@dataclass(frozen=True)
class Checkup:
    """Groups and the pictures in them by finding; a group may count for several findings."""

    groups: tuple[Group, ...]  # the first few hundred, the most serious first
    group_counts: dict[str, int]  # by Finding
    picture_counts: dict[str, int]
    unreadable: dict[str, int]  # reason → pictures
    smallest_class: tuple[str, int]  # in training
    largest_class: tuple[str, int]
    is_complete: bool  # False when there was too much to compare
    absent: tuple[tuple[str, str], ...] = ()  # (class, split): no picture of it was left there
    small_classes: dict[str, int] = field(default_factory=dict)  # left out for being smaller than the minimum
    notes: dict[str, int] = field(default_factory=dict)  # what was done to pictures → originals

    @property
    def imbalance(self) -> float:
        """How many times larger the largest class is than the smallest."""
        return self.largest_class[1] / max(1, self.smallest_class[1])


def write_checkup(folder: Path, checkup: Checkup) -> None:
    (folder / CHECKUP_FILE).write_text(json.dumps(asdict(checkup), ensure_ascii=False), encoding="utf-8")


def read_checkup(folder: Path) -> Checkup | None:
    """The check-up of the dataset in `folder`; None for datasets made before there was one."""
    path = folder / CHECKUP_FILE
    if not path.exists():
        return None
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    groups = tuple(
        Group(**(group | {"members": tuple(Member(**member) for member in group["members"])}))
        for group in values["groups"]
    )
    values["absent"] = tuple((name, split) for name, split in values.get("absent", ()))
    classes = {name: (values[name][0], int(values[name][1])) for name in ("smallest_class", "largest_class")}
    return Checkup(**(values | classes | {"groups": groups}))


def all_groups(folder: Path) -> Iterator[Group]:
    """Every group with every member, from duplicates.csv."""
    with (folder / DUPLICATES_FILE).open(encoding="utf-8", newline="") as file:
        for _, rows in groupby(csv.DictReader(file), key=lambda row: row["group"]):
            found = list(rows)
            members = tuple(Member(row["split"], int(row["number"]), int(row["label"]), row["source"]) for row in found)
            yield group_of("near" if found[0]["kind"] == "near" else "exact", members)


def group_of(kind: Literal["exact", "near"], members: tuple[Member, ...]) -> Group:
    return Group(
        kind,
        len(members),
        members,
        has_two_labels=len({member.label for member in members}) > 1,
        is_leak=len({member.split for member in members}) > 1,
    )


def pictures_to_drop(folder: Path, findings: set[Finding], keep_one: bool) -> set[str]:
    """Sources that a new version leaves out for these findings.

    With `keep_one`, one picture of each group stays, of training before validation before testing; of a group with two
    labels none does, because nobody knows which label is right.
    """
    dropped: set[str] = set()
    for group in all_groups(folder):
        if not _concerns(group, findings):
            continue
        members = sorted(group.members, key=lambda member: (_SPLIT_ORDER[member.split], member.number))
        kept = members[:1] if keep_one and not group.has_two_labels else []
        dropped.update(member.source for member in members if member not in kept)
    return dropped


def _concerns(group: Group, findings: set[Finding]) -> bool:
    return (
        group.kind in findings
        or ("two_labels" in findings and group.has_two_labels)
        or ("leaks" in findings and group.is_leak)
    )
