"""Previews of the dataset wizard: what resizing and augmentation make of real pictures of the upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.datasets import previews
from app.datasets.picture_places import PicturePlace, folder_place, prefix_beside, upload_place
from app.db import Upload
from app.errors import messages_by_field
from app.imaging.copies import Augmentation
from app.pages import source_form
from app.schemas.datasets import RESIZE_MODES, NewDataset
from app.web import ReadSession, get_storage, render

router = APIRouter(include_in_schema=False)
PREPROCESSING = ("channels", "width", "height", "resize_mode", "fill", "fill_color")
ALTERATIONS = ("copies", "rotation", "shift_x", "shift_y", "zoom_out", "zoom_in", "mirror")


@router.get("/datasets/new/_resized")
def resized(request: Request, session: ReadSession) -> HTMLResponse:
    return render(request, "datasets/_resized.html", resized=resized_of(request, session, request.query_params))


@router.get("/datasets/new/_copies")
def copies(request: Request, session: ReadSession) -> HTMLResponse:
    return render(request, "datasets/_copies.html", copies=copies_of(request, session, request.query_params))


def resized_of(request: Request, session: Session, values: Mapping[str, str]) -> dict[str, Any] | None:
    """What `_resized.html` shows; None without pictures to choose from."""
    place = _place(request, session, values.get("upload_id", ""))
    if place is None:
        return None
    try:
        form = _form(values)
    except ValidationError as error:
        return {"rows": [], "problems": messages_by_field(error.errors())}
    preprocessing = form.preprocessing
    size = previews.drawn_size(preprocessing)
    return {
        "rows": previews.resized(place.pictures(form.within), preprocessing),
        "modes": [(mode.value, texts[0]) for mode, texts in RESIZE_MODES.items()],
        "size": size,
        "is_smaller": size != (preprocessing.width, preprocessing.height),
    }


def copies_of(request: Request, session: Session, values: Mapping[str, str]) -> dict[str, Any] | None:
    """What `_copies.html` shows; None without pictures to choose from, or when no copies are asked for."""
    place = _place(request, session, values.get("upload_id", ""))
    if place is None or values.get("copies", "0").strip() in ("", "0"):
        return None
    try:
        form = _form(values, with_copies=True)
    except ValidationError as error:
        return {"rows": [], "problems": messages_by_field(error.errors())}
    augmentation = Augmentation.from_options(form.augmentation.model_dump())
    if augmentation is None:
        return None
    prefix = _prefix(request, session, place, values)
    pictures = place.pictures(form.within, prefix)[: previews.MOST_WITH_COPIES]
    shown = min(augmentation.copies, previews.MAX_COPIES)
    return {
        "rows": previews.copies(pictures, form.preprocessing, augmentation, form.seed),
        "size": previews.drawn_size(form.preprocessing),
        "columns": [str(copy) for copy in range(1, shown + 1)],
        "left_out": augmentation.copies - shown,
    }


def _place(request: Request, session: Session, given: str) -> PicturePlace | None:
    """None for what is not there, or may not be used."""
    if given.startswith("/"):
        return folder_place(given, request.app.state.settings.data_roots)
    return upload_place(find_upload(session, given), get_storage(request))


def _prefix(request: Request, session: Session, main: PicturePlace, values: Mapping[str, str]) -> str:
    """What precedes the paths of the main place in lists, beside the other places of the form."""
    given = source_form.other_places(values)
    others = [place for text in given if (place := _place(request, session, text)) is not None]
    return prefix_beside(main, others)


def find_upload(session: Session, upload_id: str) -> Upload | None:
    is_id = upload_id.isascii() and upload_id.isdigit() and len(upload_id) < 19
    return session.get(Upload, int(upload_id)) if is_id else None


def _form(values: Mapping[str, str], *, with_copies: bool = False) -> NewDataset:
    """The wizard's fields that matter here, checked as when a dataset is made."""
    sent: dict[str, Any] = {name: values.get(name, "") for name in ("channels", "width", "height")}
    sent |= {name: values[name] for name in PREPROCESSING if name in values}
    sent["within"] = source_form.within_of(values)
    if with_copies:
        sent["augmentation"] = {name: values[name] for name in ALTERATIONS if values.get(name)}
        sent |= {"seed": values["seed"]} if "seed" in values else {}
    return NewDataset.model_validate(sent | {"upload_id": 1, "name": "preview"})  # where they come from is seen to
