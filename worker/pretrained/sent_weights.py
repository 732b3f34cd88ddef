"""Weights that came from outside, whatever their form: names, shapes, and the numbers of one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from app.topology.layers import Shape
from app.topology.pytorch_names import COUNT, Renaming
from worker.engine.errors import EngineError
from worker.pretrained.caffemodel import blob_names, open_caffemodel

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
PIECE = 4_000_000  # numbers read at once

Pieces = Iterator[NDArray[np.float32]]


@dataclass(frozen=True)
class SentWeights:
    shapes: dict[str, Shape]
    pieces: Callable[[str], Pieces]  # float32, in order
    remarks: list[str] = field(default_factory=list)

    def renamed(self, renaming: Renaming) -> SentWeights:
        """The same under our names, with the 1s that PyTorch does not write."""
        names, taken = renaming.names, set(renaming.names.values())
        shapes = {name: shape for name, shape in self.shapes.items() if name not in taken}
        shapes |= {ours: self.shapes[theirs] for ours, theirs in names.items()} | dict.fromkeys(renaming.ones, (1,))

        def pieces(name: str) -> Pieces:
            return iter([np.ones(1, np.float32)]) if name in renaming.ones else self.pieces(names.get(name, name))

        return SentWeights(shapes, pieces, self.remarks)


@contextmanager
def open_caffemodel_weights(path: Path, names: Sequence[str]) -> Iterator[SentWeights]:
    """The blobs of a .caffemodel under the names of a net's weights; raises EngineError."""
    with path.open("rb") as file:
        opened = open_caffemodel(file)
        named = blob_names(names, opened.layers)
        blobs = {
            name: blob
            for layer, stored in opened.layers.items()
            for name, blob in zip(named[layer], stored, strict=True)
        }
        yield SentWeights({name: blob.shape for name, blob in blobs.items()}, lambda name: opened.pieces(blobs[name]))


@contextmanager
def open_safetensors_weights(path: Path) -> Iterator[SentWeights]:
    """The floating-point tensors of a .safetensors; raises EngineError."""
    try:
        with safe_open(path, framework="pt") as file:
            shapes, others = {}, []
            for name in file.offset_keys():
                tensor = file.get_slice(name)
                if tensor.get_dtype() in FLOATS:
                    shapes[name] = tuple(tensor.get_shape())
                elif not name.endswith(f".{COUNT}"):  # how many batches PyTorch has seen: of no use here
                    others.append(f"{name} ({tensor.get_dtype()})")
            remarks = [f"Left out because they hold no floating-point numbers: {', '.join(others[:4])}."]
            yield SentWeights(shapes, lambda name: _slices(file, name, shapes[name]), remarks if others else [])
    except (OSError, SafetensorError) as error:
        raise EngineError(f"the .safetensors cannot be read: {error}") from error


def _slices(file: Any, name: str, shape: Shape) -> Pieces:
    if not shape:
        yield file.get_tensor(name).float().numpy().reshape(1)
        return
    step = max(1, PIECE // max(1, prod(shape[1:])))
    tensor = file.get_slice(name)
    for start in range(0, shape[0], step):
        yield tensor[start : min(shape[0], start + step)].float().numpy()
