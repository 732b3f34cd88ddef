"""First values of the dataset wizard, guessed from a few pictures of the upload. Nothing here decides anything: a wrong
guess is typed over. Reading them is in `app/uploads/pictures.py`, the arithmetic of resizing in `app/imaging`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageChops, UnidentifiedImageError

from app.archives.errors import ArchiveError
from app.archives.kind import Kind
from app.archives.server_folder import allowed_folder
from app.datasets.server_folders import folder_version
from app.db import Upload
from app.preprocessing import Channels
from app.storage import Storage
from app.uploads.pictures import MAX_IMAGES, UNREADABLE, some_pictures

SAMPLE = 12
MAX_PIXELS_DECODED = 1_000_000  # enough to tell grey from colour; larger pictures count as their mode says
DEFAULT_SIDE = 256  # the size of DIGITS' form, and what AlexNet and GoogLeNet crop from
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"})


@dataclass(frozen=True)
class Guess:
    channels: Channels
    width: int
    height: int
    name: str

    def values(self) -> dict[str, str]:
        return {
            "channels": self.channels.value,
            "width": str(self.width),
            "height": str(self.height),
            "name": self.name,
        }


def guess_source(storage: Storage, upload: Upload | None, folder: str, roots: Sequence[Path]) -> Guess | None:
    """The guess for an upload that is ready, or a folder on the server; None when there is neither."""
    if upload is not None:
        return guess(storage, upload) if upload.is_ready else None
    try:
        path = allowed_folder(folder, roots)
    except ArchiveError:
        return None
    return Guess(*_of_archive(path, Kind.FOLDER.value, folder_version()), name=path.name or folder)


def guess(storage: Storage, upload: Upload) -> Guess:
    """Channels and size as most of a few pictures have them; colour at 256 × 256 when none can be read."""
    name = upload.name.strip() or upload.filename
    if upload.image_count > MAX_IMAGES or not upload.kind:
        return Guess(Channels.COLOR, DEFAULT_SIDE, DEFAULT_SIDE, name)
    channels, width, height = _of_archive(storage.upload_file(upload.id), upload.kind, upload.sha256 or "")
    return Guess(channels, width, height, name)


@lru_cache(maxsize=64)
def _of_archive(path: Path, kind: str, _sha256: str) -> tuple[Channels, int, int]:
    sizes: Counter[tuple[int, int]] = Counter()
    gray = colored = 0
    try:
        for picture in some_pictures(path, kind, SAMPLE):
            looked_at = _look(picture.data)
            if looked_at is None:
                continue
            sizes[looked_at[0]] += 1
            gray, colored = gray + looked_at[1], colored + (not looked_at[1])
    except UNREADABLE:
        pass  # the upload was checked when it arrived; should it be gone now, the wizard says so at the upload
    channels = Channels.GRAY if gray and not colored else Channels.COLOR
    return channels, *_side(sizes)


def _look(data: bytes) -> tuple[tuple[int, int], bool] | None:
    """Size, and whether it is grey; None for what is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            size = picture.size
            if picture.mode in GRAY_MODES:
                return size, True
            if size[0] * size[1] > MAX_PIXELS_DECODED:
                return size, False
            return size, _is_gray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError):
        return None


def _is_gray(picture: Image.Image) -> bool:
    red, green, blue = picture.split()
    return ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(green, blue).getbbox() is None


def _side(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """The size that all share if it is small; else what the zoo's nets for photographs are made for."""
    if len(sizes) != 1:
        return DEFAULT_SIDE, DEFAULT_SIDE
    width, height = next(iter(sizes))
    return (width, height) if max(width, height) <= DEFAULT_SIDE else (DEFAULT_SIDE, DEFAULT_SIDE)
