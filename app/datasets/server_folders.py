"""Folders on the server that a dataset may be made of: which can be chosen, and what is in them.

Only what lies below TRAINYARD_DATA_ROOTS is ever listed or read; the check is `allowed_folder`. A page waits for two
seconds at most: of a larger folder the counts are told once the dataset is built.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from app.archives.contents import holdings_in
from app.archives.holdings import Holdings
from app.archives.kind import Kind
from app.archives.server_folder import FolderTooLarge, allowed_folder, read_folder

MAX_CHOICES = 500
REMEMBERED_S = 30


def folder_choices(roots: Sequence[Path], chosen: Sequence[str] = ()) -> list[str]:
    """The roots and what lies directly in them; of each folder that is `chosen`, the way there and what is in it."""
    choices: dict[str, None] = {}
    opened = [*roots, *(step for given in chosen for step in _way_to(given, roots))]
    for folder in opened:
        for found in (folder, *_folders_in(folder)):
            if len(choices) < MAX_CHOICES:
                choices[str(found)] = None
    return sorted(choices)


def look_into(given: str, roots: Sequence[Path]) -> Holdings:
    """What a folder holds; raises ArchiveError when it may not be used. Large ones are left to the build."""
    return _looked(allowed_folder(given, roots), folder_version())


def folder_version() -> str:
    """Changes twice a minute: what was found in a folder, which may change, is remembered as long."""
    return str(int(time.monotonic() / REMEMBERED_S))


@lru_cache(maxsize=32)
def _looked(folder: Path, _version: str) -> Holdings:
    try:
        table, _ = read_folder(folder, is_waited_for=True)
    except FolderTooLarge:
        return Holdings()
    return holdings_in(folder, Kind.FOLDER, table)


def _way_to(given: str, roots: Sequence[Path]) -> Iterator[Path]:
    path = Path(given)
    for root in roots:
        if path.is_absolute() and ".." not in path.parts and path.is_relative_to(root):
            yield from (step for step in (path, *path.parents) if step.is_relative_to(root))


def _folders_in(folder: Path) -> list[Path]:
    """Sorted, without hidden ones and links; empty for what cannot be read."""
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_symlink())
        return [path for path in found if path.is_dir()][:MAX_CHOICES]
    except OSError:
        return []
