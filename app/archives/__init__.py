"""Safe reading of what people upload: zip and tar archives of pictures in class folders.

Here: what an archive holds (`inspect`), and where the bytes of each picture lie in it (`open_archive`, `read_picture`).
Nothing is ever unpacked by name. Not here: receiving the file (`app/uploads/uploads.py`), decoding pictures
(`worker/datasets`).

Modules are imported when their names are asked for: a process that only reads entries starts a quarter sooner.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.archives.contents import ClassCount, Contents, inspect
    from app.archives.errors import ArchiveError
    from app.archives.reading import Archive, OpenTable, open_archive, open_table

__all__ = ["Archive", "ArchiveError", "ClassCount", "Contents", "OpenTable", "inspect", "open_archive", "open_table"]

_MODULES = {
    "contents": ("ClassCount", "Contents", "inspect"),
    "errors": ("ArchiveError",),
    "reading": ("Archive", "OpenTable", "open_archive", "open_table"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"app.archives.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
