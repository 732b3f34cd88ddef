"""The mean picture of each class, as the dataset's page shows it. Made by `worker/datasets/class_means.py`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASS_MEANS_FILE = "class_means.npy"


def class_mean(folder: Path, label: int) -> bytes | None:
    """A small PNG of the mean training picture of a class; None when the dataset has none for it."""
    path = folder / CLASS_MEANS_FILE
    if not path.exists():
        return None
    means = np.load(path, mmap_mode="r")
    if not 0 <= label < len(means):
        return None
    file = io.BytesIO()
    Image.fromarray(np.array(means[label])).save(file, "PNG", compress_level=1)
    return file.getvalue()
