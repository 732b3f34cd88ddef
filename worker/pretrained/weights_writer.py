"""A .safetensors written weight by weight: float32, in constant memory, complete or not there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.topology.layers import Shape, as_text
from worker.engine.errors import EngineError

Pieces = Iterator[NDArray[np.float32]]
ALIGNMENT = 8


def write_weights(path: Path, shapes: Mapping[str, Shape], weights: Iterable[tuple[str, Pieces]]) -> int:
    """Writes the weights, whose pieces come in the order of `shapes`; gives the file's size in bytes.

    Raises EngineError for a weight with numbers that are not finite, or not as many as its shape says.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(_header(shapes))
            for name, pieces in weights:
                written = 0
                for piece in pieces:
                    _expect_finite(name, piece)
                    file.write(np.ascontiguousarray(piece, "<f4").data)
                    written += piece.size
                if written != math.prod(shapes[name]):
                    raise EngineError(f"{name}: expected {as_text(shapes[name])} numbers, found {written:,}")
            file.flush()
            os.fsync(file.fileno())
        size_bytes = partial.stat().st_size
        partial.rename(path)
        return size_bytes
    finally:
        partial.unlink(missing_ok=True)


def _header(shapes: Mapping[str, Shape]) -> bytes:
    """Eight bytes of length, then JSON with the place of every weight (safetensors' format)."""
    entries, at = {}, 0
    for name, shape in shapes.items():
        end = at + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _expect_finite(name: str, piece: NDArray[np.float32]) -> None:
    bad = piece.size - int(np.isfinite(piece).sum())
    if bad:
        raise EngineError(f"{name}: {bad:,} of its numbers are infinite or no numbers at all; the file is of no use")
