"""A folder on the server in place of an upload: class folders of pictures that are read where they lie.

Only folders below the roots that the server's owner named are taken, and links that lead out of the folder are not
followed. Classes, junk and reasons are those of archives.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.archives.errors import ArchiveError, shown
from app.archives.methods import FILE
from app.archives.table import PictureTable

MAX_LOOK_FILES = 200_000
MAX_LOOK_S = 2.0
LINK = "a link that leads out of the folder, or nowhere"


class FolderTooLarge(Exception):
    """The folder holds more than can be looked through while somebody waits."""


def allowed_folder(given: str, roots: Sequence[Path]) -> Path:
    """The folder `given`, with links resolved; raises ArchiveError when it is none, or not below one of `roots`."""
    if not roots:
        raise ArchiveError("Folders on the server are switched off; its owner names them in TRAINYARD_DATA_ROOTS.")
    if "\0" in given or not given.startswith("/"):
        raise ArchiveError(f"Expected the full path of a folder on the server; found {shown(given)}.")
    folder = Path(given).resolve()
    if not any(folder.is_relative_to(root.resolve()) for root in roots):
        names = ", ".join(str(root) for root in roots)
        raise ArchiveError(f"The folder {shown(given)} does not lie below {names}.")
    if not folder.is_dir():
        raise ArchiveError(f"There is no folder {shown(given)} on the server.")
    return folder


def read_folder(root: Path, *, is_waited_for: bool = False) -> tuple[PictureTable, dict[int, bytes]]:
    """The pictures below `root`, and the names on disk of those whose names had to be changed for the lists.

    Raises FolderTooLarge after a moment when it `is_waited_for` by a page.
    """
    table = PictureTable()
    names_on_disk: dict[int, bytes] = {}
    top = os.fsencode(root.resolve())
    deadline = time.monotonic() + MAX_LOOK_S
    for path, size in files_below(top, table):
        if is_waited_for and (table.entries >= MAX_LOOK_FILES or time.monotonic() > deadline):
            raise FolderTooLarge
        name = os.fsdecode(path).encode("utf-8", "replace").decode("utf-8")
        before = len(table)
        table.add(name, 0, size, size, FILE)
        if len(table) > before and table.path_bytes(before) != path:
            names_on_disk[before] = path
    return table, names_on_disk


def files_below(top: bytes, table: PictureTable) -> Iterator[tuple[bytes, int]]:
    """(path below `top`, size) of every regular file, folders in order of their names."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(os.path.join(top, folder)), key=lambda entry: entry.name)  # noqa: PTH118
        except PermissionError:
            table.skip("a folder that may not be read")
            continue
        below = []
        for entry in entries:
            path = os.path.join(folder, entry.name)  # noqa: PTH118
            if entry.is_symlink() and not _leads_inside(top, entry.path):
                table.skip(LINK)
            elif entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif entry.is_file():
                yield path, entry.stat().st_size
            elif not stat.S_ISDIR(entry.stat().st_mode):
                table.skip("a device or a pipe")
            else:
                table.skip("a link to a folder")
        waiting += reversed(below)


def _leads_inside(top: bytes, path: bytes) -> bool:
    real = os.path.realpath(path)
    return real.startswith(top + b"/") and os.path.exists(real)  # noqa: PTH110
