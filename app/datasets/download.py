"""A dataset as one zip: split/class folders of its pictures as they are stored, its lists, means and manifest.

The archive is made while it is sent: nothing is written to disk, and memory does not grow with the dataset.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from fastapi.responses import Response, StreamingResponse

from app.datasets.lmdb_reader import media_type, open_split
from app.db import Dataset
from app.download_forms import attachment
from app.storage import Storage
from app.web import ApiError
from app.zip_stream import ZipStream

BESIDE = ("labels.txt", "manifest.json", "mean.png", "mean.npy", "mean.binaryproto", "skipped.csv")
PIECE_BYTES = 1 << 18
LONGEST_FOLDER = 100
FORBIDDEN = frozenset('/\\:*?"<>|')


def dataset_zip(dataset: Dataset, storage: Storage) -> Response:
    """The whole dataset as a zip, made while it is sent."""
    if not (storage.dataset_dir(dataset.id) / "manifest.json").is_file():
        raise ApiError(409, "files_lost", "The files of this dataset are gone from the disk.")
    headers = {"Content-Disposition": attachment(f"{dataset.name}.zip")}
    return StreamingResponse(stream_dataset(storage, dataset), media_type="application/zip", headers=headers)


def stream_dataset(storage: Storage, dataset: Dataset) -> Iterator[bytes]:
    """The archive, piece by piece."""
    buffer = bytearray()
    for part in _parts(storage.dataset_dir(dataset.id), dataset):
        buffer += part
        if len(buffer) >= PIECE_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _parts(folder: Path, dataset: Dataset) -> Iterator[bytes]:
    archive = ZipStream(dataset.job.finished_at or dataset.created_at)
    for name in BESIDE:
        path = folder / name
        if path.is_file():
            yield archive.add(name, path.read_bytes())
    classes = class_folders(dataset.classes)
    for split in dataset.splits:
        lines = []
        with open_split(folder, split) as reader:
            for number in range(reader.count):
                data, label = reader.image(number)
                ending = "jpg" if media_type(data) == "image/jpeg" else "png"
                path_inside = f"{split}/{classes[label]}/{number:08d}.{ending}"
                lines.append(f"{path_inside} {label}\n")
                yield archive.add(path_inside, data)
        yield archive.add(f"{split}.txt", "".join(lines).encode())
    yield from archive.finish()


def class_folders(names: list[str]) -> list[str]:
    """A folder's name for every class: like the class, but one that every system takes, and no two alike."""
    folders: list[str] = []
    taken: set[str] = set()
    for label, name in enumerate(names):
        cleaned = "".join("_" if char in FORBIDDEN or unicodedata.category(char) == "Cc" else char for char in name)
        cleaned = cleaned.strip(" .")[:LONGEST_FOLDER].strip(" .")
        if not cleaned or cleaned.casefold() in taken:
            cleaned = f"{cleaned}-{label}".strip("-")
        taken.add(cleaned.casefold())
        folders.append(cleaned)
    return folders
