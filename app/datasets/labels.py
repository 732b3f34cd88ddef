"""How many pictures of which class lists of `path label` name; the rules are those of `worker/datasets/listed.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.archives.holdings import count_labels
from app.archives.lists import read_names

EXAMPLE = "such as “cats/1.png cat” or “images/7.png 3”"


@dataclass(frozen=True)
class Labels:
    """`by_split` counts the lines of each class; None when a list is too long to be counted now."""

    classes: list[str] = field(default_factory=list)
    by_split: dict[str, dict[str, int]] | None = None
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)  # split → labels that have no name
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
    known = read_names(names) if isinstance(names, bytes) else names
    found = {label for counts in labels.values() for label in counts}
    name_of = _names(found, known)
    by_split = {split: _by_name(counts, name_of) for split, counts in labels.items()}
    unknown = {
        split: left for split, counts in labels.items()
        if (left := {label: count for label, count in counts.items() if label not in name_of})
    }  # fmt: skip
    return Labels(list(dict.fromkeys(name_of.values())), by_split, unknown)


def _by_name(counts: Mapping[str, int], name_of: Mapping[str, str]) -> dict[str, int]:
    """Labels that are one number, such as 1 and 01, are one class."""
    found: dict[str, int] = {}
    for label, count in counts.items():
        if label in name_of:
            found[name_of[label]] = found.get(name_of[label], 0) + count
    return found


def _names(found: set[str], names: list[str] | None) -> dict[str, str]:
    """The class of each label, in order of the classes."""
    is_numbered = all(label.isascii() and label.isdigit() for label in found)
    if names is None:
        return {label: label for label in (sorted(found, key=int) if is_numbered else sorted(found))}
    if is_numbered:
        return {label: names[int(label)] for label in sorted(found, key=int) if int(label) < len(names)}
    return {name: name for name in names if name in found}
