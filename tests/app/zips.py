"""Small archives for tests of uploads; what is odd inside archives is tested in `tests/app/archives`."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping

# A picture of one grey pixel.
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")


def zip_of(classes: Mapping[str, int], stuffing: bytes = b"") -> bytes:
    """A zip with that many pictures in each class folder; `stuffing` is a file beside them that makes it large."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, count in classes.items():
            for number in range(count):
                archive.writestr(f"{name}/{number}.png", PNG)
        if stuffing:
            archive.writestr("notes.bin", stuffing)
    return file.getvalue()
