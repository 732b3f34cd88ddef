"""The sample for the impatient: scikit-learn's bundled handwritten digits as an archive that a user could upload.

1,797 grey pictures of 8×8, classes 0 to 9, in class folders. The bytes are the same on every run.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image

SAMPLE_NAME = "handwritten-digits.zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_sample(path: Path) -> None:
    """Writes the sample archive to `path`."""
    import numpy as np
    from sklearn.datasets import load_digits  # takes a second; nobody else needs it

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0–16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, (pixels, label) in enumerate(zip(images, digits.target, strict=True)):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            entry = zipfile.ZipInfo(f"handwritten-digits/{label}/{number:04d}.png", _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.getvalue())
