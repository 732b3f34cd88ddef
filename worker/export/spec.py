"""What an export is made of, and how its file comes to its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.preprocessing import Preprocessing


@dataclass(frozen=True)
class ExportSpec:
    topology: str  # prototxt, as it was trained
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    dataset_dir: Path  # for the mean image
    snapshot: Path


def write_whole(path: Path, write: Callable[[Path], object]) -> int:
    """Lets `write` fill a file that takes its name when it is complete; gives its size in bytes."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path.stat().st_size
