"""The images of a run's first iteration, drawn by what will draw them in training, without training anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.augmentation import Augmentation
from app.preprocessing import Preprocessing
from worker.datasets.cache import count_records, read_records
from worker.datasets.errors import DatasetError
from worker.engine.device import set_up_device
from worker.engine.errors import EngineError
from worker.engine.loader import Split, TrainingBatches
from worker.engine.pixels import PixelTransform
from worker.engine.splits import has_split
from worker.engine.stores import ReadingStore

_NO_LABELS = torch.empty(0, dtype=torch.int64)  # those of the few images come with their records


@dataclass(frozen=True)
class FirstBatchSpec:
    """What decides which images the first iteration is fed, and how they look."""

    preprocessing: Preprocessing
    augmentation: Augmentation
    dataset_dir: Path
    batch_size: int
    batch_accumulation: int
    seed: int
    threads: int | None = None


@dataclass(frozen=True)
class FedImage:
    index: int  # its place in the training split
    label: int
    pixels: NDArray[np.uint8]  # (h, w, C), BGR or grey


def first_batch(spec: FirstBatchSpec) -> Iterator[FedImage]:
    """The images of all batches that iteration 0 accumulates over, in order. Raises EngineError."""
    if not has_split(spec.dataset_dir, "train"):
        raise EngineError(f"expected the training split in {spec.dataset_dir}, found none")
    try:
        count = count_records(spec.dataset_dir, "train")
        device = set_up_device("cpu", spec.threads)
        store = ReadingStore(count, lambda indices: read_records(spec.dataset_dir, "train", indices).images)
        transform = PixelTransform(spec.preprocessing, spec.dataset_dir, device)
        batches = TrainingBatches(
            Split("train", store, _NO_LABELS, transform, device),
            batch_size=spec.batch_size,
            accumulation=spec.batch_accumulation,
            seed=spec.seed,
            augmentation=spec.augmentation,
        )
        for batch in batches.seen(0):
            labels = read_records(spec.dataset_dir, "train", batch.indices).labels
            for index, label, pixels in zip(batch.indices.tolist(), labels.tolist(), batch.pixels.numpy(), strict=True):
                yield FedImage(index, label, pixels)
    except (OSError, DatasetError) as error:
        raise EngineError(f"the training images cannot be read: {error}") from error
