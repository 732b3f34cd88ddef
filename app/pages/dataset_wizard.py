"""The dataset wizard: one form with three steps, filled with what its upload suggests, checked where it is made."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.archives import ArchiveError
from app.archives.holdings import Holdings
from app.datasets import datasets, guessing, sources
from app.datasets.datasets import InvalidDataset
from app.datasets.dropped import read_dropped
from app.datasets.server_folders import folder_choices, look_into
from app.datasets.source_problems import problems_with
from app.db import Dataset, Status, Upload, User
from app.errors import messages_by_field
from app.forms import Files, Typed
from app.pages import dataset_previews, source_form
from app.pages.dataset_previews import find_upload
from app.schemas.datasets import ENCODINGS, FILLS, RESIZE_MODES, SPLIT_NAMES, NewDataset, Split
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, ReadSession, StorageDep, get_storage, redirect, render

router = APIRouter(include_in_schema=False)
MAX_UPLOADS_SHOWN = 200
NEEDED = ("name", "channels", "width", "height")  # not guessed when a form leaves them out
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
FIELDS = ("name", "description", *DEFAULTS, "drop_as", "submission")
TYPED = (*FIELDS, *ALTERATIONS, "mirror", "cloned")


@router.get("/datasets/new")
def new(
    request: Request, session: ReadSession, storage: StorageDep, upload: str = "", clone: str = "", keep: str = ""
) -> HTMLResponse:
    """Filled as an upload suggests, or like a dataset; with `keep`, the upload's own division is kept."""
    values = _of_dataset(session, clone) if clone else _of_upload(request, session, storage, upload)
    if keep and not clone:
        division = source_form.kept_division(_holdings(request, session, values.get("upload_id", "")))
        values = source_form.with_shares(values | division)
    values["submission"] = secrets.token_urlsafe(24)
    return _wizard(request, session, values, {}, is_guessed=not clone)


@router.get("/datasets/new/_sources")
def source_choices(request: Request, session: ReadSession, fresh: str = "") -> HTMLResponse:
    """The first step for another upload: with `fresh`, filled with what it suggests."""
    values = dict(request.query_params)
    if fresh:
        values = _suggested(request, session, {"upload_id": values.get("upload_id", "")})
    else:
        values = _refilled(request, session, values)
    return render(request, "datasets/_sources.html", **_first_step(request, session, {"values": values, "errors": {}}))


@router.get("/datasets/new/_split")
def split_preview(request: Request, session: ReadSession, storage: StorageDep) -> HTMLResponse:
    """The classes of the sources with the counts of each split; drawn anew while somebody types."""
    values = dict(request.query_params)
    guess = _guess(request, session, storage, values.get("upload_id", ""))
    preview = _preview(request, session, values, {})
    return render(request, "datasets/_split_preview.html", preview=preview, guess=guess)


@router.post("/datasets/new/_split")
def split_preview_of_files(request: Request, database: DatabaseDep, form: Typed, files: Files) -> HTMLResponse:
    """The same with lists that come with the form."""
    with database.read() as session:
        return render(request, "datasets/_split_preview.html", preview=_preview(request, session, form, files))


@router.post("/datasets")
def create(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, form: Typed, files: Files
) -> Response:
    values = {field: form.get(field, "") for field in TYPED} | source_form.source_values(form)
    errors: dict[str, str] = {}
    if "preview" not in form:
        try:
            return redirect(f"/datasets/{_create(request, user, values, form, files)}")
        except ValidationError as error:
            errors = _messages(error, values)
        except InvalidDataset as error:
            errors = {source_form.field_of(name.split("."), values): text for name, text in error.fields.items()}
    values = source_form.keep_files(values, files, storage)
    with database.read() as session:
        if not errors:
            values = _refilled(request, session, values)
        return _wizard(request, session, values, errors, status_code=422 if errors else 200, is_drawn=not errors)


def _create(
    request: Request, user: User, values: dict[str, str], form: dict[str, str], files: source_form.Files
) -> int:
    state = request.app.state
    sent: dict[str, Any] = {field: values[field] for field in FIELDS if field in form or field in NEEDED}
    sent["augmentation"] = {name: form[name] for name in ALTERATIONS if name in form} | {"mirror": "mirror" in form}
    source = source_form.sent_sources(values, files, state.storage)
    if source.errors:
        raise InvalidDataset(source.errors)
    wanted = NewDataset.model_validate(sent | source.values)
    return datasets.create_dataset(state.database, state.queue, state.storage, user, wanted, state.settings.data_roots)


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
    form = {"values": values, "errors": errors}
    return render(
        request,
        "datasets/new.html",
        status_code=status_code,
        is_guessed=is_guessed,
        field_names=source_form.field_names(errors),
        dropped=_dropped(request, session, values.get("cloned", "")),
        preview=_preview(request, session, values, {}),
        resized=dataset_previews.resized_of(request, session, values) if is_drawn else None,
        copies=dataset_previews.copies_of(request, session, values) if is_drawn else None,
        resize_modes=[(mode.value, *texts) for mode, texts in RESIZE_MODES.items()],
        fills=[(fill.value, text) for fill, text in FILLS.items()],
        encodings=[(encoding.value, *texts) for encoding, texts in ENCODINGS.items()],
        **_first_step(request, session, form),
    )


def _first_step(request: Request, session: Session, form: dict[str, Any]) -> dict[str, Any]:
    """What the templates of the first step show."""
    values, roots = form["values"], request.app.state.settings.data_roots
    places = _places(values)
    chosen = [upload for place in sorted(places) if (upload := find_upload(session, place)) is not None]
    return {
        "form": form,
        "uploads": _ready_uploads(session, chosen),
        "server_folders": folder_choices(roots, [place for place in places if place.startswith("/")]),
        "offered": source_form.offered(values, {place: _holdings(request, session, place) for place in places}),
    }


def _holdings(request: Request, session: Session, place: str) -> Holdings:
    """What a place holds; nothing when it may not be used, which the preview says."""
    if place.startswith("/"):
        try:
            return look_into(place, request.app.state.settings.data_roots)
        except ArchiveError:
            return Holdings()
    upload = find_upload(session, place)
    return upload.holdings if upload else Holdings()


def _guess(request: Request, session: Session, storage: Storage, place: str) -> guessing.Guess | None:
    folder = place if place.startswith("/") else ""
    upload = find_upload(session, place)
    if upload is None and not folder:
        return None
    return guessing.guess_source(storage, upload, folder, request.app.state.settings.data_roots)


def _suggested(request: Request, session: Session, values: dict[str, str]) -> dict[str, str]:
    """The first step with what its upload or folder is for."""
    place = values.get("upload_id", "")
    holdings, upload = _holdings(request, session, place), find_upload(session, place)
    class_count = len(upload.classes) if upload else len(holdings.classes() or {})
    return source_form.with_shares(values | source_form.suggested(holdings, class_count))


def _refilled(request: Request, session: Session, values: dict[str, str]) -> dict[str, str]:
    return source_form.refilled(values, {place: _holdings(request, session, place) for place in _places(values)})


def _places(values: dict[str, str]) -> set[str]:
    return {text for name, text in values.items() if name.endswith("upload_id") and text}


def _messages(error: ValidationError, values: dict[str, str]) -> dict[str, str]:
    """By the names of the form, where nested fields stand beside the others."""
    return messages_by_field([one | {"loc": (_name_of(one["loc"], values),)} for one in error.errors()])


def _name_of(place: tuple[str | int, ...], values: dict[str, str]) -> str:
    return str(place[-1]) if "augmentation" in place else source_form.field_of(place, values)


def _of_upload(request: Request, session: Session, storage: Storage, place: str) -> dict[str, str]:
    """The wizard's first values for an upload or a folder on the server: the one asked for, else the newest upload."""
    if not place:
        ready = _ready_uploads(session)
        place = str(ready[0].id) if ready else ""
    guess = _guess(request, session, storage, place)
    if guess is None:
        return DEFAULTS | ALTERATIONS | ({"upload_id": place} if find_upload(session, place) else {})
    return DEFAULTS | ALTERATIONS | guess.values() | _suggested(request, session, {"upload_id": place})


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
        **source_form.values_of(dataset),
        "cloned": str(dataset.id),
        "drop_as": str(dataset.id),
        "name": dataset.name,
        "description": dataset.description,
        "channels": dataset.channels,
        "width": str(dataset.width),
        "height": str(dataset.height),
    }  # fmt: skip


def _dropped(request: Request, session: Session, cloned: str) -> dict[str, Any] | None:
    """The dataset that is cloned, with how many pictures it leaves out; None when it leaves out none."""
    original = session.get(Dataset, int(cloned)) if cloned.isascii() and cloned.isdigit() and len(cloned) < 19 else None
    if original is None:
        return None
    count = len(read_dropped(get_storage(request).dataset_dir(original.id)))
    return {"id": original.id, "name": original.name, "count": count} if count else None


def _as_typed(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ready_uploads(session: Session, chosen: Sequence[Upload] = ()) -> list[Upload]:
    """The newest ones, and those that are chosen."""
    newest = select(Upload).where(Upload.status == Status.DONE).order_by(Upload.id.desc()).limit(MAX_UPLOADS_SHOWN)
    uploads = list(session.scalars(newest))
    return [*(upload for upload in chosen if upload not in uploads), *uploads]


def _preview(
    request: Request, session: Session, values: dict[str, str], files: source_form.Files
) -> dict[str, Any] | None:
    """Per class and split how many images there will be, or why that cannot be told."""
    state = request.app.state
    if not values.get("upload_id"):
        return None
    source = source_form.sent_sources(source_form.source_values(values), files, state.storage)
    if source.errors:
        return {"rows": [], "errors": source.errors}
    sent = {field: values[field] for field in SPLIT_FIELDS if field in values} | source.values
    try:
        form = NewDataset.model_validate(sent | {"name": "preview"})
    except ValidationError as error:
        return {"rows": [], "errors": _messages(error, values)}
    return _counted(sources.look_up(session, form, state.settings.data_roots))


def _counted(chosen: sources.Chosen) -> dict[str, Any]:
    counted, problems = sources.count(chosen), problems_with(chosen)
    rows = sources.count_splits(chosen.form, counted) if counted and not problems else []
    totals = {split.value: sum(row[split.value] for row in rows) for split in Split}
    totals["count"] = sum(row["count"] for row in rows)
    return {
        "rows": rows,
        "errors": problems,
        "totals": totals,
        "left_out": len(counted.divided) - len(rows) if counted and rows else 0,
        "unknown": {SPLIT_NAMES[Split(split)]: names for split, names in counted.unknown.items()} if counted else {},
        "nameless": {SPLIT_NAMES[Split(split)]: names for split, names in counted.nameless.items()} if counted else {},
        "is_counted": counted is not None,
    }
