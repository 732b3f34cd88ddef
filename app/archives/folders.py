"""Which folders of an archive are classes: wrapping folders are seen through, sub-folders are flattened.

Works on folder paths and picture counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass

SPLIT_NAMES = {
    "train": "train", "training": "train", "trainset": "train", "train_set": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "val_set": "val",
    "test": "test", "testing": "test", "testset": "test", "test_set": "test",
}  # fmt: skip


@dataclass(frozen=True)
class ClassFolders:
    """`class_of[i]` is the class of folder i, -1 for folders that lie outside of every class."""

    names: list[str]  # sorted
    class_of: list[int]
    wrapper: str | None
    split_folders: dict[str, str]  # {"train": "training", …}: folders between the wrapper and the classes


def class_folders(folders: list[tuple[str, ...]], counts: list[int]) -> ClassFolders:
    """`folders` as path parts, `counts` the pictures directly in each."""
    occupied = [(parts, count) for parts, count in zip(folders, counts, strict=True) if count]
    wrapper = _wrapper(occupied)
    depth = len(wrapper)
    splits = _split_folders(occupied, depth)
    if splits:
        depth += 1
    names = sorted({parts[depth] for parts, _ in occupied if len(parts) > depth and parts[: len(wrapper)] == wrapper})
    index = {name: number for number, name in enumerate(names)}
    class_of = [
        index[parts[depth]] if len(parts) > depth and parts[: len(wrapper)] == wrapper and count else -1
        for parts, count in zip(folders, counts, strict=True)
    ]
    return ClassFolders(names, class_of, "/".join(wrapper) or None, splits)


def _wrapper(occupied: list[tuple[tuple[str, ...], int]]) -> tuple[str, ...]:
    """The folders to see through: each is alone at its level and holds more pictures in sub-folders than directly."""
    wrapper: tuple[str, ...] = ()
    inside = occupied
    while True:
        depth = len(wrapper)
        children = {parts[depth] for parts, _ in inside if len(parts) > depth}
        loose = sum(count for parts, count in inside if len(parts) == depth)
        below = sum(count for parts, count in inside if len(parts) > depth)
        if len(children) != 1 or (loose and loose >= below):
            return wrapper
        only = (*wrapper, next(iter(children)))
        direct = sum(count for parts, count in inside if parts == only)
        deeper = sum(count for parts, count in inside if len(parts) > depth + 1)
        if direct >= deeper:
            return wrapper
        wrapper = only
        inside = [(parts, count) for parts, count in inside if parts[: depth + 1] == only]


def _split_folders(occupied: list[tuple[tuple[str, ...], int]], depth: int) -> dict[str, str]:
    """{"train": name, …} when the folders at `depth` are named like splits and share their sub-folders."""
    below: dict[str, set[str]] = {}
    for parts, _ in occupied:
        if len(parts) > depth:
            below.setdefault(parts[depth], set()).update(parts[depth + 1 : depth + 2])
    found = {SPLIT_NAMES[name.lower()]: name for name in below if name.lower() in SPLIT_NAMES}
    if len(below) < 2 or len(found) != len(below):
        return {}
    sets = list(below.values())
    return found if set.intersection(*sets) and all(sets) else {}
