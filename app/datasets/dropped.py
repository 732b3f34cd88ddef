"""dropped.txt in a dataset's folder: the pictures of its upload that this version leaves out, one path a line.

Written when a version is made (`app/datasets/versions.py`), read by its build, so that it can be repeated when the
parent is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

DROPPED_FILE = "dropped.txt"


def read_dropped(folder: Path) -> frozenset[str]:
    """Empty for a dataset that leaves nothing out."""
    path = folder / DROPPED_FILE
    return frozenset(path.read_text(encoding="utf-8").rstrip("\n").split("\n")) if path.is_file() else frozenset()


def write_dropped(folder: Path, paths: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{DROPPED_FILE}"
    with half.open("w", encoding="utf-8") as file:
        file.writelines(f"{path}\n" for path in sorted(paths))
        file.flush()
        os.fsync(file.fileno())
    half.replace(folder / DROPPED_FILE)
