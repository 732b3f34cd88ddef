"""Which class each label of lists and LMDBs is, for counts before a build and for the build alike.

Training decides which classes there are. A label is matched to them by its number in labels.txt, or by its name; what
training does not have is no class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.archives.holdings import count_labels
from app.archives.lists import read_names

EXAMPLE = "such as “cats/1.png cat” or “images/7.png 3”"


@dataclass(frozen=True)
class Classes:
    """`names` are those of the classes in order; `of` gives, by split, the class that each label names.

    `of` also has labels whose class training lacks; labels that `labels.txt` has no name for are missing.
    """

    names: list[str]
    of: dict[str, dict[str, str]]

    def number_of(self, split: str) -> dict[str, int]:
        """The number of the class of each label of a split that is one of training's."""
        place = {name: number for number, name in enumerate(self.names)}
        return {label: place[name] for label, name in self.of[split].items() if name in place}

    def unknown(self, split: str, counts: Mapping[str, int]) -> dict[str, int]:
        """Of (label → pictures) of a split: the classes that training lacks, with their pictures."""
        found: dict[str, int] = {}
        for label, count in counts.items():
            name = self.of[split].get(label)
            if name is not None and name not in self.names:
                found[name] = found.get(name, 0) + count
        return found

    def nameless(self, split: str, counts: Mapping[str, int]) -> dict[str, int]:
        """Of (label → pictures) of a split: those that labels.txt has no name for."""
        return {label: count for label, count in counts.items() if label not in self.of[split]}


def classes_of(labels: Mapping[str, Collection[str]], names: Sequence[str] | None) -> Classes:
    """The classes of labels by split, one of which is "train"; `names` are those of the classes 0, 1, …"""
    of = {split: _by_name(found, names) for split, found in labels.items()}
    used = set(of["train"].values())
    if names is not None:
        return Classes([name for name in names if name in used], of)
    return Classes(sorted(used, key=int) if _are_numbers(used) else sorted(used), of)


def _by_name(labels: Collection[str], names: Sequence[str] | None) -> dict[str, str]:
    if names is None:
        return {label: label for label in labels}
    if _are_numbers(labels):
        return {label: names[int(label)] for label in labels if int(label) < len(names)}
    known = set(names)
    return {label: label for label in labels if label in known}


def _are_numbers(labels: Collection[str]) -> bool:
    return all(label.isascii() and label.isdigit() and len(label) < 10 for label in labels)


def names_problem(names: Sequence[str] | None) -> str | None:
    """What is wrong with the names of classes; None when they can be used."""
    found: set[str] = set()
    for number, name in enumerate(names or (), start=1):
        if name in found:
            return (
                f"The names of the classes hold “{name}” twice, the second time as number {number}; expected it once."
            )
        found.add(name)
    return None


@dataclass(frozen=True)
class Labels:
    """`by_split` counts the lines of each class; None when a list is too long to be counted now."""

    classes: list[str] = field(default_factory=list)
    by_split: dict[str, dict[str, int]] | None = None
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)  # split → classes that training lacks
    nameless: dict[str, dict[str, int]] = field(default_factory=dict)  # split → labels without a name in labels.txt
    problem: str | None = None


def count_lists(
    lists: Mapping[str, bytes | Mapping[str, int] | None], names: bytes | list[str] | None = None
) -> Labels:
    """`lists` by split, as texts or already counted; `names` of the classes 0, 1, …, as text or read."""
    labels: dict[str, dict[str, int]] = {}
    for split, given in lists.items():
        counted = count_labels(given) if isinstance(given, bytes) else given
        if counted is None:
            return Labels()
        if not counted:
            return Labels(problem=f"No line of this list names a picture and its label, {EXAMPLE}.")
        labels[split] = dict(counted)
    classes = classes_of(labels, read_names(names) if isinstance(names, bytes) else names)
    by_split: dict[str, dict[str, int]] = {split: {} for split in labels}
    for split, counts in labels.items():
        number_of = classes.number_of(split)
        for label, count in counts.items():
            if label in number_of:
                name = classes.of[split][label]
                by_split[split][name] = by_split[split].get(name, 0) + count
    unknown = {split: left for split, counts in labels.items() if (left := classes.unknown(split, counts))}
    nameless = {split: left for split, counts in labels.items() if (left := classes.nameless(split, counts))}
    return Labels(classes.names, by_split, unknown, nameless)
