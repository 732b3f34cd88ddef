"""Uploads as the API gives them. What a client sends is a file, read in `app/uploads/receiving_form.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from app.db import Status, Upload
from app.uploads.uploads import Listed


class ClassOfUpload(BaseModel):
    name: str
    count: int


class ListOfUpload(BaseModel):
    path: str
    count: int | None  # lines; None when that is not known


class UploadSummary(BaseModel):
    """An upload in a list: without its classes, which may be thousands."""

    id: int
    name: str
    filename: str
    kind: str | None
    size_bytes: int
    received_bytes: int
    sha256: str | None
    status: Status
    progress_percent: float
    error: str | None
    class_count: int
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of_listed(cls, listed: Listed) -> Self:
        return cls.model_validate(_values(listed.upload) | {"class_count": listed.class_count})


class UploadDetails(UploadSummary):
    """One upload with what its archive holds."""

    classes: list[ClassOfUpload]
    image_count: int
    skipped: dict[str, int]  # reason → files
    warnings: list[str]
    folders: list[str]  # those that `within` of a dataset may usefully be
    lists: list[ListOfUpload]  # text files that look like lists of `path label`
    texts: list[str]  # other text files, perhaps names of classes
    databases: list[str]  # folders that are LMDBs, "." for the top

    @classmethod
    def of(cls, upload: Upload) -> Self:
        holdings = upload.holdings
        values = _values(upload) | {
            "class_count": len(upload.classes),
            "classes": upload.classes,
            "image_count": upload.image_count,
            "skipped": upload.skipped,
            "warnings": upload.warnings,
            "folders": holdings.within_choices(),
            "lists": [{"path": found.path, "count": found.count} for found in holdings.lists],
            "texts": [found.path for found in holdings.texts],
            "databases": holdings.databases,
        }
        return cls.model_validate(values)


class UploadPage(BaseModel):
    items: list[UploadSummary]
    next: int | None


def _values(upload: Upload) -> dict[str, object]:
    names = ("id", "name", "filename", "kind", "size_bytes", "received_bytes", "sha256", "status", "error",
             "created_at", "finished_at")  # fmt: skip
    return {name: getattr(upload, name) for name in names} | {"progress_percent": percent_received(upload)}


def percent_received(upload: Upload) -> float:
    if upload.is_received and upload.size_bytes:
        return 100.0
    return min(99.9, 100.0 * upload.received_bytes / max(1, upload.size_bytes))
