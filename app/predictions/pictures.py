"""Pictures that people send or look at, one at a time: may it be tested, and how does a browser show it.

What the network sees is made by `app/imaging` alone; here a picture is only opened and made small.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from app.imaging.decode import eight_bits
from app.preprocessing import Preprocessing, ResizeMode

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "PPM", "WEBP", "TIFF", "GIF")
WANTED = "Expected a PNG, JPEG, BMP, GIF, TIFF, WebP or PPM picture"
MAX_BYTES = 50_000_000
MAX_PIXELS = 64_000_000
PREVIEW_SIDE = 448


class PictureError(Exception):
    """The picture cannot be used; what was expected and what was found."""


@dataclass(frozen=True)
class Facts:
    format: str
    width: int
    height: int


def check_picture(data: bytes, preprocessing: Preprocessing) -> Facts:
    """Format and size of a picture that can be decoded and brought to the model's input; raises PictureError."""
    if not data:
        raise PictureError(f"{WANTED}, found an empty file.")
    if len(data) > MAX_BYTES:
        raise PictureError(f"Expected a file of at most {MAX_BYTES // 10**6} MB, found {len(data) / 1e6:,.1f} MB.")
    image = _decoded(data, preprocessing.width, preprocessing.height)
    facts = Facts(image.format or "", *_size(data))
    if preprocessing.resize_mode is ResizeMode.NONE and (facts.width, facts.height) != _wanted(preprocessing):
        width, height = _wanted(preprocessing)
        raise PictureError(
            f"Expected {width} × {height} pixels (this dataset does not resize), found {facts.width} × {facts.height}."
        )
    return facts


def preview(data: bytes, side: int = PREVIEW_SIDE) -> bytes:
    """The picture as PNG, upright and no larger than side × side; raises PictureError."""
    image = ImageOps.exif_transpose(_decoded(data, side, side))
    if image.mode.startswith("I") or image.mode == "F":
        image = eight_bits(image)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    image.thumbnail((side, side))
    if max(image.size) <= side // 4:  # enlarged here, so that each pixel stays one
        zoom = side // (2 * max(image.size))
        image = image.resize((zoom * image.width, zoom * image.height), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=2)
    return file.getvalue()


def _decoded(data: bytes, width: int, height: int) -> Image.Image:
    """All pixels of it; a large JPEG is made smaller while it is decoded."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.draft(None, (2 * max(width, height),) * 2)
        if image.width * image.height > MAX_PIXELS:
            found = f"{image.width:,} × {image.height:,}"
            raise PictureError(f"Expected at most {MAX_PIXELS // 10**6} million pixels, found {found}.")
        image.load()
    except UnidentifiedImageError:
        raise PictureError(f"{WANTED}, found {_kind(data)}.") from None
    except PictureError:
        raise
    except MemoryError:
        raise PictureError("This picture needs too much memory to decode.") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise PictureError(f"{WANTED}, found a damaged one ({str(error)[:200] or type(error).__name__}).") from None
    return image


def _size(data: bytes) -> tuple[int, int]:
    """As stored in the file, and turned as its EXIF data says."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def _wanted(preprocessing: Preprocessing) -> tuple[int, int]:
    return preprocessing.width, preprocessing.height


def _kind(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<svg")):
        return "an SVG or XML file"
    if data.startswith((b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b")):
        return "an archive"
    if data.startswith(b"%PDF"):
        return "a PDF document"
    return "something else, or a picture damaged at its start"
