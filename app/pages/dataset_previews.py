"""Previews of the dataset wizard: what resizing and augmentation make of real pictures of the upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import previews
from app.db import Upload
from app.errors import messages_by_field
from app.imaging.copies import Augmentation
from app.schemas.datasets import RESIZE_MODES, NewDataset
from app.storage import Storage
from app.upload_pictures import FoundPicture, unlike_pictures
from app.web import ReadSession, StorageDep, render

router = APIRouter(include_in_schema=False)
PREPROCESSING = ("channels", "width", "height", "resize_mode", "fill", "fill_color")
ALTERATIONS = ("copies", "rotation", "shift_x", "shift_y", "zoom_out", "zoom_in", "mirror")
FEW = 3  # pictures with altered copies


@router.get("/datasets/new/_resized")
def resized(request: Request, session: ReadSession, storage: StorageDep, upload_id: str = "") -> HTMLResponse:
    found = resized_of(storage, find_upload(session, upload_id), request.query_params)
    return render(request, "datasets/_resized.html", resized=found)


@router.get("/datasets/new/_copies")
def copies(request: Request, session: ReadSession, storage: StorageDep, upload_id: str = "") -> HTMLResponse:
    found = copies_of(storage, find_upload(session, upload_id), request.query_params)
    return render(request, "datasets/_copies.html", copies=found)


def resized_of(storage: Storage, upload: Upload | None, values: Mapping[str, str]) -> dict[str, Any] | None:
    """What `_resized.html` shows; None without an upload that is ready."""
    if upload is None or not upload.is_ready:
        return None
    try:
        form = _form(upload, values)
    except ValidationError as error:
        return {"rows": [], "problems": messages_by_field(error.errors())}
    preprocessing = form.preprocessing
    return {
        "rows": previews.resized(pictures_of(storage, upload), preprocessing),
        "modes": [(mode.value, texts[0]) for mode, texts in RESIZE_MODES.items()],
        "size": previews.drawn_size(preprocessing),
        "is_smaller": previews.drawn_size(preprocessing) != (preprocessing.width, preprocessing.height),
    }


def copies_of(storage: Storage, upload: Upload | None, values: Mapping[str, str]) -> dict[str, Any] | None:
    """What `_copies.html` shows; None without an upload that is ready, or when no copies are asked for."""
    if upload is None or not upload.is_ready or values.get("copies", "0").strip() in ("", "0"):
        return None
    try:
        form = _form(upload, values, with_copies=True)
    except ValidationError as error:
        return {"rows": [], "problems": messages_by_field(error.errors())}
    augmentation = Augmentation.from_options(form.augmentation.model_dump())
    if augmentation is None:
        return None
    pictures = pictures_of(storage, upload)[:FEW]
    shown = min(augmentation.copies, previews.MAX_COPIES)
    return {
        "rows": previews.copies(pictures, form.preprocessing, augmentation, form.seed),
        "columns": [str(copy) for copy in range(1, shown + 1)],
        "left_out": augmentation.copies - shown,
    }


def pictures_of(storage: Storage, upload: Upload) -> tuple[FoundPicture, ...]:
    """A handful of pictures of different shapes."""
    return unlike_pictures(storage.upload_file(upload.id), upload.kind or "", upload.sha256 or "")


def find_upload(session: Session, upload_id: str) -> Upload | None:
    is_id = upload_id.isascii() and upload_id.isdigit() and len(upload_id) < 19
    return session.get(Upload, int(upload_id)) if is_id else None


def _form(upload: Upload, values: Mapping[str, str], *, with_copies: bool = False) -> NewDataset:
    """The wizard's fields that matter here, checked as when a dataset is made."""
    sent: dict[str, Any] = {name: values.get(name, "") for name in ("channels", "width", "height")}
    sent |= {name: values[name] for name in PREPROCESSING if name in values}
    if with_copies:
        sent["augmentation"] = {name: values[name] for name in ALTERATIONS if values.get(name)}
        sent |= {"seed": values["seed"]} if "seed" in values else {}
    return NewDataset.model_validate(sent | {"upload_id": upload.id, "name": "preview"})
