"""Odd and broken pictures, all in one archive: each is used, or left out with its reason and nothing else is."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

from tests.app.imaging.test_preprocess import BROKEN
from tests.worker.datasets.pictures import file_of, gradient, noise, png_that_claims, with_orientation, zip_of
from tests.zoo.sample import Built, Sample, picture


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_with(chunk: bytes) -> bytes:
    whole = file_of(gradient())
    return whole[:33] + chunk + whole[33:]


def _jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(file_of(noise(1, 64, 64), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _gif_that_claims(width: int, height: int) -> bytes:
    data = bytearray(file_of(gradient().quantize(16), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    at = data.index(b",", 13) + 5
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def _animation(form: str) -> bytes:
    return file_of(gradient(), form, save_all=True, append_images=[gradient().rotate(90 * n) for n in range(1, 9)])


ZEROS = zlib.compress(bytes(60 << 20), 9)

ODD: dict[str, bytes] = {
    "animated.gif": _animation("GIF"),
    "animated.webp": _animation("WEBP"),
    "animated.png": _animation("PNG"),
    "pages.tif": _animation("TIFF"),
    "cmyk.jpg": file_of(gradient().convert("CMYK"), "JPEG"),
    "cmyk.tif": file_of(gradient().convert("CMYK"), "TIFF"),
    "lab.tif": file_of(gradient().convert("LAB"), "TIFF"),
    "16-bit.png": file_of(Image.new("I;16", (40, 30), 40_000)),
    "float.tif": file_of(Image.new("F", (40, 30), 0.5), "TIFF"),
    "palette.png": file_of(gradient().quantize(16), transparency=3),
    "glass.png": file_of(gradient().convert("RGBA")),
    "two-colours.png": file_of(gradient().convert("1")),
    "grey-and-alpha.png": file_of(gradient().convert("LA")),
    "progressive.jpg": file_of(gradient(300, 200), "JPEG", progressive=True),
    "turned.jpg": with_orientation(gradient(), 6, "JPEG"),
    "really-a-png.jpg": file_of(gradient()),
    "claims-more-than-it-has.jpg": _jpeg_that_claims(3_000, 3_000),  # ends properly, and libjpeg fills it with grey
    "upper.JPEG": file_of(gradient(), "JPEG"),
    "one-pixel.bmp": file_of(noise(1, 1, 1), "BMP"),
    "grey.pgm": file_of(gradient().convert("L"), "PPM"),
}
LEFT_OUT: dict[str, tuple[bytes, str]] = {
    **{f"{name}.png": sample for name, sample in BROKEN.items()},
    "flood.jpg": (_jpeg_that_claims(65_000, 65_000), r"^too large: 65000×65000, at most 400 million pixels$"),
    "flood.gif": (_gif_that_claims(65_535, 65_535), r"^too large: 65535×65535, at most 64 million pixels$"),
    "text bomb.png": (_png_with(_png_chunk(b"zTXt", b"x\0\0" + ZEROS)), r"too large for .*MAX_TEXT_CHUNK"),
    "profile bomb.png": (_png_with(_png_chunk(b"iCCP", b"x\0\0" + ZEROS)), r"too large for .*MAX_TEXT_CHUNK"),
    "claims more than it has.png": (png_that_claims(7_000, 7_000), r"^cut off"),
    "claims one long row.png": (png_that_claims(60_000_000, 1), r"^cut off"),
    "table.csv.png": (b"path,label\n1.png,cat\n", r"^not an image, or damaged at its start$"),
}


def _archive(path: Path) -> Path:
    """The odd ones are of class `odd`, the broken ones of class `broken`, which has a good one too."""
    files = {f"odd/{name}": data for name, data in ODD.items()}
    files |= {f"broken/{name}": data for name, (data, _) in LEFT_OUT.items()}
    return zip_of(path, files | {"broken/good.png": picture()})


PICTURES: dict[str, Sample] = {
    "pictures of every kind": Sample(
        _archive,
        Built(
            {"broken": len(LEFT_OUT) + 1, "odd": len(ODD)},
            unreadable={f"broken/{name}": reason for name, (_, reason) in LEFT_OUT.items()},
        ),
    )
}
