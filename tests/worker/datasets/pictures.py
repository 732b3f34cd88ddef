"""Draws pictures and packs them, for the tests of dataset builds."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    """RGB: red grows to the right, green to the bottom, blue is fixed."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, width)[None, :]
    pixels[:, :, 1] = np.linspace(0, 255, height)[:, None]
    pixels[:, :, 2] = 60
    return Image.fromarray(pixels)


def noise(seed: int, width: int = 12, height: int = 10, channels: int = 3) -> NDArray[np.uint8]:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.RandomState(seed).randint(0, 256, shape, np.uint8)


def file_of(image: Image.Image | NDArray[np.uint8], form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def with_orientation(image: Image.Image, orientation: int, form: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(image, form, exif=exif)


def png_that_claims(width: int, height: int) -> bytes:
    """A small valid PNG file whose header states another size."""
    data = file_of(gradient(4, 4))
    header = b"IHDR" + struct.pack(">2I", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def two_classes(path: Path, per_class: int = 10, **more: bytes) -> Path:
    """`per_class` noise pictures in each of cats and dogs, and `more` files."""
    files = {
        f"{name}/{number:03d}.png": file_of(noise(1000 * index + number))
        for index, name in enumerate(("cats", "dogs"))
        for number in range(per_class)
    }
    return zip_of(path, files | more)
