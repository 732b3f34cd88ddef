"""Snapshots: weights (safetensors), solver state (tensors and numbers only) and a description, in one folder.

A folder is complete or not there: it is written under another name, synced to the disk, and renamed. Only the newest
snapshot of a model keeps its solver state, which is as large as the weights again and is needed to resume only.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worker.engine.compile import CompiledNet
from worker.engine.errors import EngineError

WEIGHTS, SOLVER_STATE, META = "weights.safetensors", "solver_state.pt", "meta.json"
FORMAT = 1
_ROOM_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Meta:
    """What a person, or a resuming run, needs to know of a snapshot."""

    iteration: int
    epoch: float
    batch_size: int
    batch_accumulation: int
    seed: int
    solver_type: str
    iterations_per_epoch: int
    metrics: dict[str, float] = field(default_factory=dict)
    format: int = FORMAT


def folder_name(iteration: int, iterations_per_epoch: int) -> str:
    """`epoch-0003` or, within an epoch, `epoch-0003.42`, with digits enough to tell iterations apart."""
    epoch, rest = divmod(iteration, iterations_per_epoch)
    if not rest:
        return f"epoch-{epoch:04d}"
    digits = max(2, len(str(iterations_per_epoch)))
    fraction = f"{rest / iterations_per_epoch:.{digits}f}".partition(".")[2].rstrip("0")
    return f"epoch-{epoch:04d}.{fraction}"


def write_snapshot(
    folder: Path, weights: Mapping[str, Tensor], solver_state: Mapping[str, Any] | None, meta: Meta
) -> int:
    """Writes a snapshot, in place of one of the same name; gives its size in bytes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        # Shared weights are stored under each name; safetensors takes no two names for one piece of memory.
        save_file(
            {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}, partial / WEIGHTS
        )
        if solver_state is not None:
            torch.save(solver_state, partial / SOLVER_STATE)
        (partial / META).write_text(json.dumps(asdict(meta), indent=1), encoding="utf-8")
        size_bytes = sum(_sync(path) for path in sorted(partial.iterdir()))
        _sync(partial)
        _put_in_place(partial, folder)
    except Exception as error:
        _raise_full_disk(partial, error)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return size_bytes


def _raise_full_disk(folder: Path, error: Exception) -> None:
    """Neither safetensors, which removes its file, nor torch, which leaves it, says so by the kind of its error."""
    is_told = os.strerror(errno.ENOSPC) in str(error)
    if not isinstance(error, OSError) and (is_told or shutil.disk_usage(folder).free < _ROOM_BYTES):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error


def forget_older_solver_states(newest: Path) -> None:
    """Removes the solver state of all other snapshots beside this one."""
    for state in newest.parent.glob(f"epoch-*/{SOLVER_STATE}"):
        if state.parent != newest:
            state.unlink(missing_ok=True)


def read_meta(folder: Path) -> Meta:
    try:
        values = json.loads((folder / META).read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise EngineError(f"{folder}: expected a snapshot of format {FORMAT}, found {values['format']}")
        return Meta(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{folder / META} cannot be read: {error}") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    return read_safetensors(folder / WEIGHTS)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Named tensors from a .safetensors file, which can hold nothing else; raises EngineError."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{path} cannot be read: {error}") from error


def read_solver_state(folder: Path) -> dict[str, Any]:
    """The solver state; only tensors and plain values are read from the file, never code."""
    try:
        state = torch.load(folder / SOLVER_STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken file leads it to
        raise EngineError(f"{folder / SOLVER_STATE} cannot be read, so this run cannot resume: {error}") from error
    assert isinstance(state, dict)
    return state


@torch.no_grad()
def load_weights(net: CompiledNet, weights: Mapping[str, Tensor]) -> None:
    """Copies saved weights into a net; raises EngineError where one is missing or of another shape.

    Weights that the net has no use for (auxiliary heads in a net that predicts) are passed over.
    """
    for name, weight in net.weights().items():
        if name not in weights:
            raise EngineError(f"the snapshot has no weights {name}, which the net needs")
        if weights[name].shape != weight.value.shape:
            found, expected = tuple(weights[name].shape), tuple(weight.value.shape)
            raise EngineError(f"{name}: expected weights of shape {expected}, found {found} in the snapshot")
        weight.value.copy_(weights[name])


def _sync(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _put_in_place(partial: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():  # a folder can be renamed over an empty one only
        folder.rename(aside)
    partial.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)
