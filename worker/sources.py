"""From the sources that a dataset's row keeps to the builder's: files of uploads, folders on the server, lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.archives.server_folder import allowed_folder
from app.datasets.made_of import MadeOf, Place, Text, text_file
from app.db import Dataset
from app.settings import Settings
from app.storage import Storage
from worker.datasets.spec import Databases, Lists, Source


def sources_of(dataset: Dataset, settings: Settings, storage: Storage) -> dict[str, Any]:
    """The fields of BuildSpec that say where the pictures come from.

    Raises ArchiveError for a folder on the server that is gone, or does not lie below the roots any more.
    """
    made_of = dataset.made_of
    main = _source(made_of.main, dataset, settings, storage)
    whole = {split: _source(place, dataset, settings, storage) for split, place in made_of.whole.items()}
    return {
        "archive": main.path,
        "filename": main.filename,
        "within": main.within,
        "more": tuple(_source(place, dataset, settings, storage) for place in made_of.more),
        "lists": _lists(made_of, storage.dataset_dir(dataset.id)),
        "databases": _databases(made_of, storage.dataset_dir(dataset.id)),
        **whole,
    }


def _source(place: Place, dataset: Dataset, settings: Settings, storage: Storage) -> Source:
    if place.folder is not None:
        return Source(allowed_folder(place.folder, settings.data_roots), place.folder, place.within)
    assert place.upload_id is not None
    return Source(storage.upload_file(place.upload_id), dataset.uploads[place.upload_id].filename, place.within)


def _lists(made_of: MadeOf, folder: Path) -> Lists | None:
    if not made_of.lists:
        return None
    given = {purpose: _file(purpose, text, folder) for purpose, text in made_of.texts()}
    names = {purpose: text.name for purpose, text in made_of.texts() if text.name}
    return Lists(given["train"], given.get("val"), given.get("test"), given.get("labels"), names)


def _databases(made_of: MadeOf, folder: Path) -> Databases | None:
    if not made_of.databases:
        return None
    labels = _file("labels", made_of.labels, folder) if made_of.labels else None
    found = made_of.databases
    return Databases(found["train"], found.get("val"), found.get("test"), labels)


def _file(purpose: str, text: Text, folder: Path) -> str | Path:
    return text.path if text.path is not None else text_file(folder, purpose)
