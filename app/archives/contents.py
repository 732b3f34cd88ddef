"""What an archive holds, as the upload's page shows it: classes with counts, and what was passed over."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.archives.entries import DamagedEntry, read_picture
from app.archives.errors import ArchiveError, shown
from app.archives.extractors import extracted
from app.archives.folders import ClassFolders, class_folders
from app.archives.holdings import MAX_COUNTED_BYTES, FoundList, FoundText, Holdings, folders_of, look_into_text
from app.archives.kind import Kind, archive_kind
from app.archives.limits import BOMB_TOTAL_BYTES, BOMB_TOTAL_RATIO, MAX_CLASSES
from app.archives.lists import MAX_LIST_BYTES
from app.archives.paths import NESTED_ARCHIVE, SYSTEM_FILE, skip_reason
from app.archives.server_folder import read_folder
from app.archives.streams import Unpacked, decompressed
from app.archives.table import OtherEntry, PictureTable
from app.archives.tar_headers import read_tar
from app.archives.zip_directory import read_zip

_LIST_NAME = re.compile(r"^(train|val|test|list|images?)\w*\.")
OUTSIDE = "outside of every class folder"


@dataclass(frozen=True)
class ClassCount:
    name: str
    count: int


@dataclass(frozen=True)
class Contents:
    kind: str
    classes: list[ClassCount]  # sorted by name
    image_count: int
    skipped: dict[str, int]  # reason → files
    wrapper: str | None
    unpacked_bytes: int
    split_folders: dict[str, str]
    lists: tuple[str, ...] = ()  # text files in the archive that look like lists of `path label`
    databases: tuple[str, ...] = ()  # folders in the archive that are LMDBs, "." for its top
    holdings: Holdings = field(default_factory=Holdings)  # filled by `inspect` alone

    @property
    def skipped_count(self) -> int:
        return sum(self.skipped.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "classes": [{"name": entry.name, "count": entry.count} for entry in self.classes],
            "image_count": self.image_count,
            "skipped": self.skipped,
            "wrapper": self.wrapper,
            "unpacked_bytes": self.unpacked_bytes,
            "split_folders": self.split_folders,
            "lists": list(self.lists),
            "databases": list(self.databases),
        }


def inspect(path: Path, filename: str, within: str = "") -> Contents:
    """What the archive at `path` holds; raises ArchiveError with a message for the user.

    `filename` is what the user called the file; it is only used in messages. `within` is a folder inside the archive:
    only what lies below it is looked at.
    """
    kind = archive_kind(path, filename)
    table = read_table(path, kind)
    holdings = holdings_in(path, kind, table)
    contents, _ = describe(kind, table, within, tuple(found.path for found in holdings.lists), needs_classes=False)
    return replace(contents, holdings=holdings, skipped=_without_found(contents.skipped, holdings))


def _without_found(skipped: dict[str, int], holdings: Holdings) -> dict[str, int]:
    """What is passed over, less lists, texts beside them and LMDBs, which are no pictures but of use."""
    left = Counter(skipped)
    used: list[FoundList | FoundText] = [
        *holdings.lists,
        *(holdings.texts if holdings.lists or holdings.databases else []),
    ]
    left.subtract(skip_reason(found.path.rpartition("/")[2]) or "" for found in used)
    left.subtract(skip_reason("data.mdb") or "" for _ in holdings.databases * 2)  # beside each lies a lock.mdb
    return {reason: count for reason, count in left.items() if count > 0}


def holdings_in(path: Path, kind: Kind, table: PictureTable) -> Holdings:
    """Folders, lists and LMDBs of an archive or folder whose table has been read."""
    texts = _texts(path, kind, table)
    parts = [folder.parts for folder in table.folders]
    return Holdings(
        folders=folders_of(zip(parts, table.folder_counts(), strict=True)),
        lists=[found for found in texts if isinstance(found, FoundList)],
        texts=[found for found in texts if isinstance(found, FoundText)],
        databases=_databases(table),
    )


def read_table(path: Path, kind: Kind, spool: Callable[[Unpacked], None] | None = None) -> PictureTable:
    """The checked table of pictures. `spool` may set `tee` on the stream of a compressed tar before it is read."""
    if kind is Kind.FOLDER:
        return read_folder(path)[0]
    packed_bytes = path.stat().st_size
    with path.open("rb") as file:
        if kind is Kind.ZIP:
            table = read_zip(file)
        elif kind is Kind.TAR:
            table = read_tar(file)
        else:
            is_foreign = kind in (Kind.SEVEN_ZIP, Kind.RAR)
            pieces = extracted(path, kind.value) if is_foreign else decompressed(file, kind.value)
            stream = Unpacked(pieces, packed_bytes)
            if spool is not None:
                spool(stream)
            table = read_tar(stream)
            if is_foreign:
                stream.drain()
    if table.unpacked_bytes > max(BOMB_TOTAL_BYTES, packed_bytes * BOMB_TOTAL_RATIO):
        raise ArchiveError(
            f"Refused: {packed_bytes:,} bytes would grow to {table.unpacked_bytes:,}; "
            f"at most {BOMB_TOTAL_RATIO} times is allowed."
        )
    return table


def describe(
    kind: Kind, table: PictureTable, within: str = "", lists: tuple[str, ...] = (), *, needs_classes: bool = True
) -> tuple[Contents, ClassFolders]:
    """Contents and class folders of a table; raises ArchiveError when there is no picture in a class folder.

    Unless it `needs_classes`, pictures need not be in class folders: lists, in the archive or not, may give the labels.
    """
    if table.entries == 0:
        raise ArchiveError("The archive is empty; expected one folder of pictures per class.")
    folders, counts = _below(table, within)
    found = class_folders(folders, counts)
    per_class = [0] * len(found.names)
    outside = 0
    for number, count in zip(found.class_of, counts, strict=True):
        if number >= 0:
            per_class[number] += count
        else:
            outside += count
    if not table.databases:
        _refuse_unusable(table, found, outside, needs_classes)
    skipped = dict(table.skipped)
    if outside and found.names:
        skipped[OUTSIDE] = outside
    classes = [ClassCount(name, count) for name, count in zip(found.names, per_class, strict=True)]
    contents = Contents(
        kind=kind.value,
        classes=classes,
        image_count=sum(per_class) if found.names else outside,
        skipped=skipped,
        wrapper=found.wrapper,
        unpacked_bytes=table.unpacked_bytes,
        split_folders=found.split_folders,
        lists=lists,
        databases=tuple(_databases(table)),
    )
    return contents, found


def _texts(path: Path, kind: Kind, table: PictureTable) -> list[FoundList | FoundText]:
    """The text files; those of a compressed tar, which cannot be read again here, are known by their names."""
    if kind is Kind.FOLDER:
        return [look_into_text(text.path, _file(path / text.path)) for text in table.texts]
    if kind not in (Kind.ZIP, Kind.TAR):
        return [_by_name(text.path) for text in table.texts]
    with path.open("rb") as file:
        return [look_into_text(text.path, _entry(file.fileno(), text)) for text in table.texts]


def _databases(table: PictureTable) -> list[str]:
    return [entry.path.rpartition("/")[0] or "." for entry in table.databases]


def _by_name(path: str) -> FoundList | FoundText:
    is_list = _LIST_NAME.search(path.rpartition("/")[2].lower())
    return FoundList(path) if is_list else FoundText(path)


def _entry(descriptor: int, text: OtherEntry) -> bytes:
    if text.entry[2] > MAX_LIST_BYTES:
        return b""
    try:
        return read_picture(descriptor, *text.entry)
    except DamagedEntry:
        return b""


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_COUNTED_BYTES + 1)
    except OSError:
        return b""


def _below(table: PictureTable, within: str) -> tuple[list[tuple[str, ...]], list[int]]:
    """Folders relative to `within` and their counts; those elsewhere count as empty."""
    folders, counts = [folder.parts for folder in table.folders], table.folder_counts()
    top = tuple(part for part in unicodedata.normalize("NFC", within).split("/") if part)
    if not top:
        return folders, counts
    inside = [parts[: len(top)] == top for parts in folders]
    if not any(count for count, is_inside in zip(counts, inside, strict=True) if is_inside):
        raise ArchiveError(f"There is no folder {shown(within)} with pictures in the archive.")
    relative = [parts[len(top) :] if is_inside else () for parts, is_inside in zip(folders, inside, strict=True)]
    return relative, [count if is_inside else 0 for count, is_inside in zip(counts, inside, strict=True)]


def _refuse_unusable(table: PictureTable, found: ClassFolders, outside: int, needs_classes: bool) -> None:
    expected = (
        "expected one folder per class with its pictures inside, such as cats/1.png and dogs/2.png, "
        "or a list of “path label”"
    )
    if len(found.names) > MAX_CLASSES:
        raise ArchiveError(f"Refused: {len(found.names):,} class folders; at most {MAX_CLASSES:,}.")
    if found.names or (outside and not needs_classes):
        return
    if outside:
        raise ArchiveError(f"Found {outside:,} pictures but no class folders; {expected}.")
    reasons = {reason: count for reason, count in table.skipped.items() if reason != SYSTEM_FILE}
    if set(reasons) == {NESTED_ARCHIVE}:
        raise ArchiveError(
            f"The archive only holds {sum(reasons.values()):,} other archives; "
            f"unpack them and pack their folders: {expected}."
        )
    if not reasons:
        raise ArchiveError(f"The archive holds no pictures, only empty folders or system files; {expected}.")
    most = sorted(reasons.items(), key=lambda item: -item[1])[:5]
    listing = ", ".join(f"{count:,} × {reason}" for reason, count in most)
    raise ArchiveError(f"The archive holds no pictures; found {listing}; {expected}.")
