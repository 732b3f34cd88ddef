"""Safe reading of what people upload: zip and tar archives of pictures in class folders.

Here: what an archive holds (`inspect`), and where the bytes of each picture lie in it (`open_archive`, `read_picture`).
Nothing is ever unpacked by name. Not here: receiving the file (`app/uploads.py`), decoding pictures
(`worker/datasets`).
"""

from app.archives.contents import ClassCount, Contents, inspect
from app.archives.errors import ArchiveError
from app.archives.reading import Archive, OpenTable, open_archive, open_table

__all__ = ["Archive", "ArchiveError", "ClassCount", "Contents", "OpenTable", "inspect", "open_archive", "open_table"]
