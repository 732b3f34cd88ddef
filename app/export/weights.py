"""A `.safetensors` as it lies on the disk: which weight is where. Numbers are read only where they are few."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.export.errors import ExportError
from app.export.pieces import Span
from app.topology.layers import Shape, as_text

Array = NDArray[np.float32]

_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000  # what the library itself takes


@dataclass(frozen=True)
class Stored:
    """One weight: float32, row by row, little-endian."""

    shape: Shape
    span: Span

    def array(self) -> Array:
        with self.span.path.open("rb") as file:
            file.seek(self.span.offset)
            return np.frombuffer(file.read(self.span.size), "<f4").reshape(self.shape).astype(np.float32)


def stored_weights(path: Path) -> dict[str, Stored]:
    """Every weight of the file, by name; raises ExportError for a file that cannot be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > min(_LONGEST_HEADER, size):
                raise ExportError(f"{path.name} is damaged: its header of {length:,} bytes exceeds the file")
            header = json.loads(file.read(length))
        start = _LENGTH_BYTES + length
        return {name: _stored(path, start, size, name, facts) for name, facts in header.items() if name[:2] != "__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path.name} cannot be read: {error}") from error


def _stored(path: Path, start: int, file_size: int, name: str, facts: dict[str, Any]) -> Stored:
    if facts["dtype"] != "F32":
        raise ExportError(f"{name}: expected float32 (F32) in {path.name}, found {facts['dtype']}")
    (begin, end), shape = facts["data_offsets"], tuple(int(size) for size in facts["shape"])
    if end - begin != 4 * math.prod(shape) or not 0 <= begin <= end <= file_size - start:
        raise ExportError(f"{name}: {path.name} is damaged: {as_text(shape)} numbers do not fill bytes {begin}–{end}")
    return Stored(shape, Span(path, start + begin, end - begin))
