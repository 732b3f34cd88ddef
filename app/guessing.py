"""First values of the dataset wizard, guessed from a few pictures of the upload. Nothing here decides anything: a wrong
guess is typed over. Reading archives is in `app/archives`, the arithmetic of resizing in `app/imaging`."""

from __future__ import annotations

import io
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image, ImageChops, UnidentifiedImageError

from app.archives.contents import read_table
from app.archives.errors import ArchiveError
from app.archives.kind import Kind
from app.archives.paths import skip_reason
from app.archives.reading import DamagedEntry, read_picture
from app.archives.server_folder import allowed_folder, files_below
from app.archives.table import PictureTable
from app.db import Upload
from app.preprocessing import Channels
from app.storage import Storage

SAMPLE = 12
MAX_IMAGES = 300_000  # beyond that, reading the table of contents would make a page wait
MAX_PICTURE_BYTES = 20_000_000
MAX_PIXELS_DECODED = 1_000_000  # enough to tell grey from colour; larger pictures count as their mode says
MAX_MEMBERS = 400
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
    return Guess(*_of_archive(path, Kind.FOLDER.value, ""), name=path.name or folder)


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
        for data in _pictures(path, Kind(kind)):
            looked_at = _look(data)
            if looked_at is None:
                continue
            sizes[looked_at[0]] += 1
            gray, colored = gray + looked_at[1], colored + (not looked_at[1])
    except (ArchiveError, OSError, ValueError, tarfile.TarError, EOFError):
        pass  # the upload was checked when it arrived; should it be gone now, the wizard says so at the upload
    channels = Channels.GRAY if gray and not colored else Channels.COLOR
    return channels, *_side(sizes)


def _pictures(path: Path, kind: Kind) -> Iterator[bytes]:
    """Some pictures of the archive: spread over it where it can be read in any order, else the first ones."""
    if kind is Kind.FOLDER:
        yield from _first_of_folder(path)
        return
    if kind not in (Kind.ZIP, Kind.TAR):
        yield from _first_of_tar(path)
        return
    table = read_table(path, kind)
    step = max(1, len(table) // SAMPLE)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for row in range(0, len(table), step)[:SAMPLE]:
            if table.size[row] > MAX_PICTURE_BYTES:
                continue
            place = (table.offset[row], table.packed[row], table.size[row], table.method[row], table.checksum[row])
            try:
                yield read_picture(descriptor, *place)
            except DamagedEntry:
                continue
    finally:
        os.close(descriptor)


def _first_of_folder(path: Path) -> Iterator[bytes]:
    found = 0
    for visited, (name, size) in enumerate(files_below(os.fsencode(path), PictureTable())):
        if found >= SAMPLE or visited >= MAX_MEMBERS:
            return
        if size <= MAX_PICTURE_BYTES and skip_reason(os.fsdecode(name).rpartition("/")[2]) is None:
            found += 1
            yield (path / os.fsdecode(name)).read_bytes()


def _first_of_tar(path: Path) -> Iterator[bytes]:
    found = 0
    with tarfile.open(path, mode="r|*") as archive:
        for visited, member in enumerate(archive):
            if found >= SAMPLE or visited >= MAX_MEMBERS or member.size > MAX_PICTURE_BYTES:
                return
            if not member.isfile() or skip_reason(PurePosixPath(member.name).name) is not None:
                continue
            file = archive.extractfile(member)
            if file is not None:
                found += 1
                yield file.read()


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
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
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
