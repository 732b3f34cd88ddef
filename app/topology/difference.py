"""What changed between two versions of a text, layer by layer: not its lines, but what they say.

Layers are matched by name (data layers of two phases have one name: by name and rules), the rest in their order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from app.topology.text import Source, SourceLayer

Key = tuple[str, str, int]


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"  # unchanged, at another place among the layers that both have


@dataclass(frozen=True)
class LayerChange:
    """One layer that is not as it was; `details` reads "convolution_param.num_output: 20 → 32"."""

    change: Change
    name: str
    type: str
    old_line: int | None
    new_line: int | None
    details: tuple[str, ...] = ()


def compare(old: Source, new: Source) -> list[LayerChange]:
    """The changes in the order of the new text, what was removed standing where it stood."""
    before, after = _keyed(old), _keyed(new)
    old_keys, new_keys = list(before), list(after)
    kept = [key for key in new_keys if key in before]
    moved = _moved([key for key in old_keys if key in after], kept)
    changes = []
    for key in _merged(old_keys, new_keys):
        change = _change(before.get(key), after.get(key), key in moved)
        if change is not None:
            changes.append(change)
    return changes


def _keyed(source: Source) -> dict[Key, SourceLayer]:
    """The layers by name, by their rules where a name is used again, and by how many of the same came before."""
    names = Counter(layer.options.name for layer in source.layers)
    seen: Counter[tuple[str, str]] = Counter()
    layers = {}
    for layer in source.layers:
        name, rules = layer.options.name, ""
        if names[name] > 1:
            rules = "".join(str(rule) for rule in (*layer.options.include, *layer.options.exclude))
        layers[name, rules, seen[name, rules]] = layer
        seen[name, rules] += 1
    return layers


def _moved(old: list[Key], new: list[Key]) -> set[Key]:
    """What has to move to get from one order to the other: all but a longest run that rises in both."""
    place = {key: index for index, key in enumerate(old)}
    ends: list[int] = []  # places at which rising runs of 1, 2, 3 … keys end, as low as can be
    runs: list[int] = []  # per key, the length of the longest run that ends with it
    for key in new:
        length = bisect_left(ends, place[key])
        ends[length : length + 1] = [place[key]]
        runs.append(length + 1)
    stays, wanted = set(), len(ends)
    for key, length in zip(reversed(new), reversed(runs), strict=True):
        if length == wanted:
            stays.add(key)
            wanted -= 1
    return set(new) - stays


def _merged(old: list[Key], new: list[Key]) -> Iterator[Key]:
    """The new keys, with the removed ones before the next key that stayed."""
    added = set(new)
    removed_before: dict[Key | None, list[Key]] = {}
    waiting: list[Key] = []
    for key in old:
        if key in added:
            removed_before[key], waiting = waiting, []
        else:
            waiting.append(key)
    for key in new:
        yield from removed_before.get(key, [])
        yield key
    yield from waiting


def _change(old: SourceLayer | None, new: SourceLayer | None, is_moved: bool) -> LayerChange | None:
    if old is None or new is None:
        only = new or old
        assert only is not None
        change = Change.ADDED if old is None else Change.REMOVED
        lines = (old.line if old else None, new.line if new else None)
        return LayerChange(change, only.options.name, only.options.type, *lines)
    details = tuple(_details(old.options, new.options))
    if not details and not is_moved:
        return None
    change = Change.CHANGED if details else Change.MOVED
    return LayerChange(change, new.options.name, new.options.type, old.line, new.line, details)


def _details(old: Message, new: Message) -> Iterator[str]:
    before, after = dict(_values("", old)), dict(_values("", new))
    for name in [*before, *(name for name in after if name not in before)]:
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, 'not given')} → {after.get(name, 'not given')}"


def _values(path: str, message: Message) -> Iterator[tuple[str, str]]:
    """Every field that is set, as ("convolution_param.num_output", "20")."""
    for descriptor, value in message.ListFields():
        name = f"{path}{descriptor.name}"
        if descriptor.type != FieldDescriptor.TYPE_MESSAGE:
            values = [value] if isinstance(value, str | bytes | int | float) else list(value)
            yield name, ", ".join(_word(descriptor, item) for item in values)
        elif isinstance(value, Message):
            yield from _values(f"{name}.", value) if value.ListFields() else iter([(name, "{ }")])
        else:
            for index, part in enumerate(value, start=1):
                yield from _values(f"{name}[{index}].", part)


def _word(descriptor: FieldDescriptor, value: object) -> str:
    if descriptor.enum_type is not None and isinstance(value, int):
        return str(descriptor.enum_type.values_by_number[value].name)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.7g}" if isinstance(value, float) else str(value)
