"""From a dataset's folder to splits that can be fed: the shared uint8 cache, put where the device needs it."""

from __future__ import annotations

from pathlib import Path

import torch

from app.preprocessing import Preprocessing
from worker.datasets.cache import open_cache
from worker.datasets.errors import DatasetError
from worker.engine.errors import EngineError
from worker.engine.loader import Split
from worker.engine.pixels import PixelTransform
from worker.engine.stores import make_store


def has_split(dataset_dir: Path, name: str) -> bool:
    return (dataset_dir / f"{name}.lmdb").is_dir()


def open_split(dataset_dir: Path, name: str, preprocessing: Preprocessing, device: torch.device) -> Split:
    """A split, decoded on first use; raises EngineError where it does not fit the preprocessing."""
    if not has_split(dataset_dir, name):
        raise EngineError(f"expected the split {name} in {dataset_dir}, found none")
    try:
        cached = open_cache(dataset_dir, name)
    except DatasetError as error:
        raise EngineError(str(error)) from error
    expected = (preprocessing.height, preprocessing.width, preprocessing.channels.number)
    if cached.images.shape[1:] != expected:
        raise EngineError(f"{name}: expected images (H, W, C) of {expected}, found {cached.images.shape[1:]}")
    labels = torch.from_numpy(cached.labels).to(device)
    transform = PixelTransform(preprocessing, dataset_dir, device)
    return Split(name, make_store(cached.images, device), labels, transform, device)
