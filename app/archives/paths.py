"""What a path inside an archive may look like, and which files are pictures, junk or neither.

Pure text; no archive is opened here. Paths are never used on disk: they name classes and appear in lists.
"""

from __future__ import annotations

import re
import unicodedata

from app.archives.errors import ArchiveError, shown
from app.archives.limits import MAX_NAME_BYTES

PICTURE_SUFFIXES = frozenset(
    ["png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "ppm", "pgm", "pbm", "pnm", "webp", "tif", "tiff", "gif"]
)
ARCHIVE_SUFFIXES = frozenset(["zip", "tar", "gz", "tgz", "bz2", "tbz2", "xz", "txz", "7z", "rar", "zst", "lzh", "cab"])

SYSTEM_FILE = "system file"
NESTED_ARCHIVE = "archive inside the archive"

_JUNK_NAMES = frozenset(
    [
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "folder.ini", "picasa.ini", "zbthumbnail.info", "icon\r"),
        *("__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information", "pspbrwse.jbf"),
    ]
)
_DRIVE = re.compile(r"^[A-Za-z]:")
_UNSAFE_CHARS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def safe_folder(folder: str, entry: str) -> tuple[str, ...]:
    """The parts of `folder`, in NFC, without '.' and empty ones; raises ArchiveError when it leads outside.

    `entry` is the whole path, for the message.
    """
    if folder.startswith("/"):
        raise ArchiveError(f"Refused: the entry {shown(entry)} has an absolute path; paths must stay inside.")
    if _DRIVE.match(folder):
        raise ArchiveError(f"Refused: the entry {shown(entry)} has a drive letter; paths must stay inside.")
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"Refused: the entry {shown(entry)} leads outside of the archive (“..”).")
    return tuple(unicodedata.normalize("NFC", _UNSAFE_CHARS.sub("_", part)) for part in parts)


def check_entry(path: str) -> None:
    """Raises ArchiveError for a name that no archiver writes: NUL characters, or longer than a path can be."""
    if "\0" in path:
        raise ArchiveError(f"Refused: the entry {shown(path)} has a NUL character in its name.")
    if len(path) > MAX_NAME_BYTES:
        raise ArchiveError(f"Refused: the entry {shown(path)} has a name of {len(path):,} characters.")


def is_junk_folder(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part.lower() in _JUNK_NAMES for part in parts)


def skip_reason(name: str) -> str | None:
    """Why the file `name` (without its folder) is not taken as a picture; None when it is one."""
    if name.startswith(".") or name.lower() in _JUNK_NAMES:
        return SYSTEM_FILE
    stem, dot, suffix = name.rpartition(".")
    suffix = suffix.lower()
    if dot and stem and suffix in PICTURE_SUFFIXES:
        return None
    if dot and suffix in ARCHIVE_SUFFIXES:
        return NESTED_ARCHIVE
    if dot and stem and suffix.isalnum() and len(suffix) <= 10:
        return f"not a picture (.{suffix})"
    return "not a picture"


def listed(path: str) -> str:
    """`path` on one line, as the lists (`path label`) hold it."""
    return unicodedata.normalize("NFC", _UNSAFE_CHARS.sub("_", path))
