"""The dataset wizard: one form with three steps, filled with what its upload suggests, checked where it is made."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import datasets, guessing, sources
from app.datasets import InvalidDataset
from app.db import Status, Upload
from app.errors import messages_by_field
from app.forms import Typed
from app.pages import dataset_previews
from app.pages.dataset_previews import find_upload
from app.schemas.datasets import ENCODINGS, FILLS, RESIZE_MODES, NewDataset, Split
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, ReadSession, StorageDep, get_storage, redirect, render

router = APIRouter(include_in_schema=False)
MAX_UPLOADS_SHOWN = 200
NEEDED = ("upload_id", "name", "channels", "width", "height")  # not guessed when a form leaves them out
DEFAULTS = {
    "train_percent": "70",
    "val_percent": "10",
    "test_percent": "20",
    "channels": "color",
    "width": "256",
    "height": "256",
    "resize_mode": "squash",
    "fill": "noise",
    "fill_color": "#000000",
    "encoding": "png",
    "jpeg_quality": "90",
    "seed": "1",
    "min_per_class": "1",
    "max_per_class": "",
}
# The form's names and first values of NewDataset.augmentation.
ALTERATIONS = {"copies": "0", "rotation": "0", "shift_x": "0", "shift_y": "0", "zoom_out": "100", "zoom_in": "100"}
SPLIT_FIELDS = ("train_percent", "val_percent", "test_percent", "min_per_class", "max_per_class")
FIELDS = ("upload_id", "name", "description", *DEFAULTS, "submission")
TYPED = (*FIELDS, *ALTERATIONS, "mirror")


@router.get("/datasets/new")
def new(request: Request, session: ReadSession, storage: StorageDep, upload: str = "", clone: str = "") -> HTMLResponse:
    values = _of_dataset(session, clone) if clone else _of_upload(session, storage, upload)
    values["submission"] = secrets.token_urlsafe(24)
    return _wizard(request, session, values, {}, is_guessed=not clone)


@router.get("/datasets/new/_split")
def split_preview(request: Request, session: ReadSession, storage: StorageDep, upload_id: str = "") -> HTMLResponse:
    """The classes of an upload with the counts of each split; drawn anew while somebody types."""
    upload = find_upload(session, upload_id)
    guess = guessing.guess(storage, upload) if upload else None
    preview = _preview(session, upload, dict(request.query_params))
    return render(request, "datasets/_split_preview.html", upload=upload, preview=preview, guess=guess)


@router.post("/datasets")
def create(request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, form: Typed) -> Response:
    values = {field: form.get(field, "") for field in TYPED}
    if "preview" in form:
        with database.read() as session:
            return _wizard(request, session, values, {}, is_drawn=True)
    errors: dict[str, str] = {}
    try:
        sent: dict[str, Any] = {field: values[field] for field in FIELDS if field in form or field in NEEDED}
        sent["augmentation"] = {name: form[name] for name in ALTERATIONS if name in form} | {"mirror": "mirror" in form}
        wanted = NewDataset.model_validate(sent)
        return redirect(
            f"/datasets/{datasets.create_dataset(database, request.app.state.queue, storage, user, wanted)}"
        )
    except ValidationError as error:
        errors = _messages(error)
    except InvalidDataset as error:
        errors = error.fields
    with database.read() as session:
        return _wizard(request, session, values, errors, status_code=422)


def _wizard(
    request: Request,
    session: Session,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status_code: int = 200,
    is_guessed: bool = False,
    is_drawn: bool = False,
) -> HTMLResponse:
    storage = get_storage(request)
    upload = find_upload(session, values.get("upload_id", ""))
    return render(
        request,
        "datasets/new.html",
        status_code=status_code,
        form={"values": values, "errors": errors},
        is_guessed=is_guessed,
        uploads=_ready_uploads(session, upload),
        upload=upload,
        preview=_preview(session, upload, values),
        resized=dataset_previews.resized_of(storage, upload, values) if is_drawn else None,
        copies=dataset_previews.copies_of(storage, upload, values) if is_drawn else None,
        resize_modes=[(mode.value, *texts) for mode, texts in RESIZE_MODES.items()],
        fills=[(fill.value, text) for fill, text in FILLS.items()],
        encodings=[(encoding.value, *texts) for encoding, texts in ENCODINGS.items()],
    )


def _messages(error: ValidationError) -> dict[str, str]:
    """By the names of the form, where the fields of the augmentation stand beside the others."""
    found = error.errors()
    return messages_by_field([one | {"loc": one["loc"][-1:]} if "augmentation" in one["loc"] else one for one in found])


def _of_upload(session: Session, storage: Storage, upload_id: str) -> dict[str, str]:
    """The wizard's first values for an upload: the one asked for, else the newest."""
    upload = find_upload(session, upload_id)
    if upload is None and not upload_id:
        ready = _ready_uploads(session, None)
        upload = ready[0] if ready else None
    if upload is None or not upload.is_ready:
        return DEFAULTS | ALTERATIONS | ({"upload_id": str(upload.id)} if upload else {})
    return DEFAULTS | ALTERATIONS | {"upload_id": str(upload.id)} | guessing.guess(storage, upload).values()


def _of_dataset(session: Session, dataset_id: str) -> dict[str, str]:
    """The wizard's values for a dataset like that one."""
    dataset = datasets.get_dataset(session, int(dataset_id)) if dataset_id.isdigit() else None
    if dataset is None:
        return DEFAULTS | ALTERATIONS
    kept = {
        field: _as_typed(value) for field, value in dataset.options.items() if field in FIELDS and value is not None
    }
    altered = dataset.options.get("augmentation") or {}
    kept |= {name: _as_typed(altered[name]) for name in ALTERATIONS if name in altered}
    kept |= {"mirror": "true"} if altered.get("mirror") else {}
    return DEFAULTS | ALTERATIONS | kept | {
        "upload_id": str(dataset.upload_id or ""),
        "name": dataset.name,
        "description": dataset.description,
        "channels": dataset.channels,
        "width": str(dataset.width),
        "height": str(dataset.height),
    }  # fmt: skip


def _as_typed(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ready_uploads(session: Session, chosen: Upload | None) -> list[Upload]:
    newest = select(Upload).where(Upload.status == Status.DONE).order_by(Upload.id.desc()).limit(MAX_UPLOADS_SHOWN)
    uploads = list(session.scalars(newest))
    return uploads if chosen is None or chosen in uploads else [chosen, *uploads]


def _preview(session: Session, upload: Upload | None, values: dict[str, str]) -> dict[str, Any] | None:
    """Per class and split how many images there will be, or why that cannot be told."""
    if upload is None or not upload.is_ready:
        return None
    sent = {field: values[field] for field in SPLIT_FIELDS if field in values}
    try:
        form = NewDataset.model_validate(sent | {"upload_id": upload.id, "name": "preview"})
    except ValidationError as error:
        return {"rows": [], "errors": messages_by_field(error.errors())}
    chosen = sources.look_up(session, form, ())
    counted = sources.count(chosen)
    rows = sources.count_splits(form, counted) if counted else []
    totals = {split.value: sum(row[split.value] for row in rows) for split in Split}
    totals["count"] = sum(row["count"] for row in rows)
    left_out = len(counted.divided) - len(rows) if counted and rows else 0
    return {"rows": rows, "errors": sources.problems_with(chosen), "totals": totals, "left_out": left_out}
