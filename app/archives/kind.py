"""What a file is, told by its first bytes and never by its name alone."""

from __future__ import annotations

import bz2
import lzma
import zlib
from enum import StrEnum
from pathlib import Path

from app.archives.errors import ArchiveError, shown

_HEAD_BYTES = 4096


class Kind(StrEnum):
    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_BZ2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    SEVEN_ZIP = "7z"
    RAR = "rar"
    FOLDER = "folder"  # on the server


_WANTED = "a .zip, .tar, .tar.gz, .tar.bz2, .tar.xz, .7z or .rar archive with one folder of pictures per class"

_OTHERS: list[tuple[bytes, str]] = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF document"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x1f\x9d", "a file packed by compress (.Z)"),
    (b"MSCF", "a Windows cabinet file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"PK\x07\x08", "one part of a split zip file"),
    (b"\x00\x00\x08\x03", "an MNIST image file (IDX)"),
]


def archive_kind(path: Path, filename: str) -> Kind:
    """The kind of archive at `path`; raises ArchiveError saying what was found instead."""
    if path.is_dir():
        return Kind.FOLDER
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(0, size - 65_557))
        tail = file.read()
    if not head:
        raise ArchiveError(f"{shown(filename)} is empty (0 bytes); expected {_WANTED}.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK00PK\x03\x04")):
        return Kind.ZIP
    if is_tar_header(head):
        return Kind.TAR
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return Kind.SEVEN_ZIP
    if head.startswith(b"Rar!\x1a\x07"):
        return Kind.RAR
    packed = _compressed_kind(head, filename)
    if packed is not None:
        return packed
    found = _found(head)
    if b"PK\x05\x06" in tail and not found.endswith("image"):  # a self-extracting zip starts with a program
        return Kind.ZIP
    raise ArchiveError(f"{shown(filename)} is {found}; expected {_WANTED}.")


def is_tar_header(block: bytes) -> bool:
    """Whether the first 512 bytes carry a tar header's checksum (old tars have no magic)."""
    if len(block) < 512:
        return False
    if block[257:262] == b"ustar":
        return True
    try:
        stated = int(block[148:156].replace(b"\0", b" ").split(b" ")[0] or b"x", 8)
    except ValueError:
        return False
    return stated == sum(block[:148]) + 8 * 32 + sum(block[156:512])


def _compressed_kind(head: bytes, filename: str) -> Kind | None:
    for magic, kind, name in (
        (b"\x1f\x8b", Kind.TAR_GZ, "a gzip file"),
        (b"BZh", Kind.TAR_BZ2, "a bzip2 file"),
        (b"\xfd7zXZ\0", Kind.TAR_XZ, "an xz file"),
    ):
        if not head.startswith(magic):
            continue
        start = _unpacked_start(head, kind)
        if start and not is_tar_header(start):
            raise ArchiveError(
                f"{shown(filename)} is {name} that holds {_found(start)}, not a tar archive; expected {_WANTED}."
            )
        return kind
    return None


def _unpacked_start(head: bytes, kind: Kind) -> bytes:
    """The first unpacked bytes; empty when `head` is too short to tell or damaged (reading on will say so)."""
    try:
        if kind is Kind.TAR_GZ:
            return zlib.decompressobj(31).decompress(head, 1024)
        if kind is Kind.TAR_BZ2:
            return bz2.BZ2Decompressor().decompress(head, 1024)
        return lzma.LZMADecompressor().decompress(head, 1024)
    except (zlib.error, OSError, lzma.LZMAError):
        return b""


def _found(head: bytes) -> str:
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[2:5] in (b"-lh", b"-lz"):
        return "an LHA archive"
    start = head.lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page (perhaps a sign-in or error page that was saved instead of the file)"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    if start.startswith(b"<?xml"):
        return "an XML file"
    try:
        text = head[:512].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        text = ""
    if text and all(char.isprintable() or char in "\r\n\t" for char in text) and b"\0" not in head:
        return f"a text file that starts with {shown(text.strip()[:40])}"
    return f"a file of an unknown kind (it starts with {head[:8].hex(' ')})"
