"""Pictures that people send: what is taken, what is refused and why, and how a browser gets to see them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.predictions.pictures import PREVIEW_SIDE, PictureError, check_picture, preview
from app.preprocessing import Channels, Preprocessing, ResizeMode
from tests.app.predicted import png_of

GRAY_28 = Preprocessing(Channels.GRAY, 28, 28)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(preview(data)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_the_usual_kinds_are_taken(kind: str) -> None:
    data = saved(Image.new("RGB", (40, 30), "teal"), kind)
    facts = check_picture(data, GRAY_28)
    assert (facts.width, facts.height) == (40, 30)
    assert opened(data).format == "PNG"


def _png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises more pixels than there are."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG or XML file"),
        (b"PK\x03\x04 not a picture", "an archive"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0" * 1000, "something else"),
        (png_of(64, 64)[:900], "a damaged one"),
        (_png_that_says(8001, 8000), "8,001 × 8,000"),
        (_png_that_says(100_000, 100_000), "100,000 × 100,000"),
    ],
)
def test_what_is_no_picture_is_refused_and_named(data: bytes, found: str) -> None:
    with pytest.raises(PictureError, match=f"Expected.*found .*{found}"):
        check_picture(data, GRAY_28)


def test_a_dataset_that_does_not_resize_takes_its_own_size_only() -> None:
    exact = Preprocessing(Channels.GRAY, 28, 28, ResizeMode.NONE)
    check_picture(png_of(28, 28), exact)
    with pytest.raises(PictureError, match=r"Expected 28 × 28 pixels .*found 30 × 28"):
        check_picture(png_of(30, 28), exact)


def test_a_turned_photograph_is_shown_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert check_picture(data, GRAY_28).width == 20
    shown = opened(data)
    assert shown.height > shown.width


def test_large_pictures_are_made_small_and_tiny_ones_enlarged_pixel_by_pixel() -> None:
    assert max(opened(png_of(2000, 900)).size) == PREVIEW_SIDE
    shown = np.asarray(opened(png_of(28, 14)))
    zoom = shown.shape[1] // 28
    assert zoom >= 2
    with Image.open(io.BytesIO(png_of(28, 14))) as sent:
        assert np.array_equal(shown[::zoom, ::zoom], np.asarray(sent))


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "I;16", "LA", "RGBA", "F"])
def test_every_mode_can_be_shown(mode: str) -> None:
    image = Image.new("L", (200, 200), 80).convert(mode) if mode != "I;16" else Image.new("I;16", (200, 200), 80)
    assert opened(saved(image, "TIFF")).size == (200, 200)


def test_16_bit_and_float_grey_are_shown_as_the_network_sees_them() -> None:
    deep = (np.arange(1200).reshape(30, 40) * 54).astype(np.uint16)
    for image in (Image.fromarray(deep), Image.fromarray(deep.astype(np.float32) / 65535)):
        shown = opened(saved(image, "TIFF"))
        assert (shown.getextrema()[0], shown.getextrema()[1]) == (0, 252)
