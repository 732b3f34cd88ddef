"""What is not an archive is named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path

import pytest
from PIL import Image

from app.archives import ArchiveError, inspect


def image(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", r"“photo.zip” is empty \(0 bytes\)"),
        (image("PNG"), r"“photo.zip” is a PNG image; expected a .zip, .tar"),
        (image("JPEG"), r"a JPEG image"),
        (image("GIF"), r"a GIF image"),
        (image("BMP"), r"a BMP image"),
        (image("TIFF"), r"a TIFF image"),
        (image("WEBP"), r"a WebP image"),
        (b"\n<!DOCTYPE html><html><title>Sign in</title>", r"an HTML page \(perhaps a sign-in or error page"),
        (b"<?xml version='1.0'?><a/>", r"an XML file"),
        (b"%PDF-1.7\n", r"a PDF document"),
        (b"version https://git-lfs.github.com/spec/v1\noid", r"a Git LFS pointer"),
        (b"path,label\ncats/1.png,0\n", r"a text file that starts with “path,label"),
        ("犬と猫\n".encode(), r"a text file that starts with “犬と猫”"),
        (b"SQLite format 3\0" + bytes(100), r"an SQLite database"),
        (b"\x7fELF" + bytes(100), r"a program"),
        (b"MZ" + bytes(600), r"a Windows program"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), r"a Zstandard file"),
        (b"\x1f\x9d" + bytes(100), r"packed by compress"),
        (b"\x00\x00-lh5-" + bytes(100), r"an LHA archive"),
        (b"\x00\x00\x08\x03\x00\x00\xea\x60" + bytes(100), r"an MNIST image file \(IDX\)"),
        (b"\x93NUMPY\x01\x00", r"a NumPy array"),
        (b"PK\x07\x08" + bytes(100), r"one part of a split zip file"),
        (bytes(1000), r"a file of an unknown kind \(it starts with 00 00 00"),
        (gzip.compress(b"no tar" * 200), r"a gzip file that holds a text file"),
        (bz2.compress(image("PNG")), r"a bzip2 file that holds a PNG image, not a tar archive"),
        (lzma.compress(bytes(2000)), r"an xz file that holds a file of an unknown kind"),
    ],
)
def test_other_files_are_named(data: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=found):
        inspect(path, "photo.zip")
