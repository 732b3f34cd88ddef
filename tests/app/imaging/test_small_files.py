"""The shorter way gives the very pixels of the long one, and keeps away from what is not plain."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.imaging.small_files import decode_plain
from tests.worker.datasets.pictures import file_of, gradient, noise, png_that_claims, with_orientation
from tests.worker.datasets.real_data import real_data


def in_parts(data: bytes) -> bytes:
    """The same PNG with its data in chunks of 50 bytes."""
    start, packed = data.index(b"IDAT") - 4, data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    chunks = [b"IDAT" + packed[at : at + 50] for at in range(0, len(packed), 50)]
    middle = b"".join(struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in chunks)
    return data[:start] + middle + data[data.index(b"IEND") - 4 :]


PLAIN = {
    "grey PNG": file_of(noise(1, channels=1)),
    "colour PNG": file_of(noise(2)),
    "PNG in several parts": in_parts(file_of(noise(3))),
    "baseline JPEG": file_of(gradient(), "JPEG"),
    "grey JPEG": file_of(gradient().convert("L"), "JPEG"),
    "progressive JPEG": file_of(gradient(), "JPEG", progressive=True),
    "JPEG without subsampling": file_of(noise(4), "JPEG", subsampling=0, quality=100),
    "JPEG with restart markers": file_of(gradient(), "JPEG", restart_marker_blocks=1),
    "JPEG with a comment": file_of(gradient(), "JPEG", comment=b"x" * 300),
    "JPEG with an ICC profile": file_of(gradient(), "JPEG", icc_profile=b"x" * 300),
    "JPEG kept in RGB": file_of(gradient(), "JPEG", keep_rgb=True),
}

NOT_PLAIN = {
    "palette PNG": file_of(gradient().quantize(16)),
    "two-colour PNG": file_of(gradient().convert("1")),
    "16-bit PNG": file_of(Image.new("I;16", (9, 9))),
    "RGBA PNG": file_of(gradient().convert("RGBA")),
    "PNG with a transparent colour": file_of(gradient(), transparency=(0, 0, 0)),
    "PNG with EXIF": with_orientation(gradient(), 6, "PNG"),
    "JPEG with EXIF": with_orientation(gradient(), 6, "JPEG"),
    "CMYK JPEG": file_of(gradient().convert("CMYK"), "JPEG"),
    "animated PNG": file_of(gradient(), save_all=True, append_images=[gradient().rotate(90)]),
    "cut PNG": file_of(noise(1))[:200],
    "cut JPEG": file_of(noise(1), "JPEG")[:400],
    "PNG flood": png_that_claims(30000, 30000),
    "GIF": file_of(gradient(), "GIF"),
    "nothing": b"",
    "large file": file_of(noise(5, 200, 200)),
}


def with_opening(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("sample", PLAIN)
def test_plain_files_give_the_same_pixels_as_opening_them(sample: str) -> None:
    plain = decode_plain(PLAIN[sample])
    assert plain is not None
    assert np.array_equal(np.asarray(plain.image), with_opening(PLAIN[sample]))


@pytest.mark.parametrize("sample", NOT_PLAIN)
def test_everything_else_is_left_to_pillow(sample: str) -> None:
    assert decode_plain(NOT_PLAIN[sample]) is None


@pytest.mark.parametrize(
    ("data", "is_bare"),
    [
        (file_of(gradient()), True),
        (file_of(gradient(), dpi=(72, 72)), False),
        (file_of(gradient(), "JPEG"), True),
        (file_of(gradient(), "JPEG", comment=b"mine"), False),
    ],
)
def test_files_with_more_than_the_picture_are_not_bare(data: bytes, is_bare: bool) -> None:
    plain = decode_plain(data)
    assert plain is not None
    assert plain.is_bare is is_bare


def test_any_cut_and_any_flipped_byte_is_harmless() -> None:
    random = np.random.RandomState(0)
    for whole in (file_of(noise(3, 20, 20)), file_of(noise(3, 20, 20), "JPEG")):
        for _ in range(1500):
            data = bytearray(whole[: random.randint(1, len(whole) + 1)])
            for _ in range(random.randint(0, 4)):
                data[random.randint(0, len(data))] = random.randint(0, 256)
            plain = decode_plain(bytes(data))
            if plain is not None:
                try:
                    expected = with_opening(bytes(data))
                except (OSError, SyntaxError, ValueError):
                    continue  # Pillow looks at checksums of chunks that do not matter here
                assert np.array_equal(np.asarray(plain.image), expected)


@pytest.mark.parametrize("name", ["mnist-test.zip", "cifar10-test.zip"])
def test_every_tenth_real_picture_gives_the_same_pixels(name: str) -> None:
    import zipfile

    folder: Path = real_data()
    with zipfile.ZipFile(folder / name) as archive:
        for entry in archive.namelist()[::10]:
            data = archive.read(entry)
            plain = decode_plain(data)
            assert plain is not None
            assert np.array_equal(np.asarray(plain.image), with_opening(data))
