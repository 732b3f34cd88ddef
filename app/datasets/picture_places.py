"""Uploads and folders on the server as previews see them: a handful of pictures, named as a dataset's lists do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.archives import ArchiveError
from app.archives.kind import Kind
from app.archives.server_folder import allowed_folder
from app.datasets.made_of import list_prefixes
from app.datasets.server_folders import folder_version
from app.db import Upload
from app.storage import Storage
from app.uploads.pictures import MAX_IMAGES, FoundPicture, unlike_pictures


@dataclass(frozen=True)
class PicturePlace:
    """`name` is what a build calls it; `version` changes with what it holds."""

    path: Path
    name: str
    kind: str
    version: str
    image_count: int = 0  # as far as it is known

    def pictures(self, within: str = "", prefix: str = "") -> list[FoundPicture]:
        """A handful of different shapes, of what lies below the folder `within` of it; none of a very large archive."""
        if self.image_count > MAX_IMAGES:
            return []
        found = unlike_pictures(self.path, self.kind, self.version, within=within)
        return [replace(picture, path=prefix + picture.path) for picture in found]


def upload_place(upload: Upload | None, storage: Storage) -> PicturePlace | None:
    """None for an upload that is not there, or not ready."""
    if upload is None or not upload.is_ready:
        return None
    file, version = storage.upload_file(upload.id), upload.sha256 or ""
    return PicturePlace(file, upload.filename, upload.kind or "", version, upload.image_count)


def folder_place(given: str, roots: Sequence[Path]) -> PicturePlace | None:
    """None for a folder that is not there, or may not be used."""
    try:
        folder = allowed_folder(given, roots)
    except ArchiveError:
        return None
    return PicturePlace(folder, given.rstrip("/") or "/", Kind.FOLDER.value, folder_version())


def prefix_beside(main: PicturePlace, others: Sequence[PicturePlace]) -> str:
    """What precedes the paths of `main` in the lists of a dataset that is made of all of them."""
    return list_prefixes([(place.path, place.name) for place in (main, *others)])[0]
