"""Pages of datasets: the list, the wizard, one dataset with its live build. Pictures are in `dataset_images.py`."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import datasets, guessing
from app.dataset_files import DatasetFiles
from app.datasets import DatasetInUse, Filter, InvalidDataset
from app.db import Dataset, Status, Upload
from app.errors import messages_by_field
from app.forms import Typed
from app.pages import dataset_images
from app.preprocessing import ResizeMode
from app.schemas.datasets import RESIZE_MODES, DatasetChanges, NewDataset, Split
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, ReadSession, StorageDep, redirect, render

router = APIRouter(include_in_schema=False)
router.include_router(dataset_images.router)
MAX_UPLOADS_SHOWN = 200
SAMPLE = 32
FIELDS = ("upload_id", "name", "description", "train_percent", "val_percent", "test_percent", "channels", "width",
          "height", "resize_mode", "encoding", "seed", "submission")  # fmt: skip
DEFAULTS = {"train_percent": "70", "val_percent": "10", "test_percent": "20", "channels": "color", "width": "256",
            "height": "256", "resize_mode": "squash", "encoding": "png", "seed": "1"}  # fmt: skip


def wanted(
    q: str = "", status: str = "", sort: str = "-created", after: Annotated[str, Query(max_length=300)] = ""
) -> Filter:
    """The list's filter; a word that is not known counts as not given, so that an old link still opens."""
    known = Status(status) if status in list(Status) else None
    return Filter(
        text=q.strip()[:200],
        status=known,
        sort=sort if sort.removeprefix("-") in datasets.SORTS else "-created",
        after=after,
    )


Wanted = Annotated[Filter, Depends(wanted)]


@router.get("/datasets")
def index(request: Request, session: ReadSession, wanted: Wanted) -> HTMLResponse:
    return render(request, "datasets/index.html", **_table(session, wanted))


@router.get("/datasets/_table")
def table(request: Request, session: ReadSession, wanted: Wanted) -> HTMLResponse:
    context = _table(session, wanted)
    response = render(request, "datasets/_table.html", **context)
    if not any(dataset.status.is_active for dataset in context["page"].datasets):
        response.headers["X-Live"] = "end"
    return response


def _table(session: Session, wanted: Filter) -> dict[str, Any]:
    return {
        "page": datasets.list_datasets(session, wanted),
        "counts": datasets.count_datasets(session),
        "wanted": wanted,
        "statuses": list(Status),
    }


@router.get("/datasets/new")
def new(request: Request, session: ReadSession, storage: StorageDep, upload: str = "", clone: str = "") -> HTMLResponse:
    values = _of_dataset(session, clone) if clone else _of_upload(session, storage, upload)
    values["submission"] = secrets.token_urlsafe(24)
    return _wizard(request, session, values, {})


@router.get("/datasets/new/_split")
def split_preview(
    request: Request, session: ReadSession, storage: StorageDep, upload_id: str = "", train_percent: str = "",
    val_percent: str = "", test_percent: str = "",
) -> HTMLResponse:  # fmt: skip
    """The classes of an upload with the counts of each split; drawn anew while somebody types."""
    upload = _find_upload(session, upload_id)
    percents = {"train_percent": train_percent, "val_percent": val_percent, "test_percent": test_percent}
    guess = guessing.guess(storage, upload) if upload else None
    preview = _preview(upload, percents)
    return render(request, "datasets/_split_preview.html", upload=upload, preview=preview, guess=guess)


@router.post("/datasets")
def create(request: Request, database: DatabaseDep, user: CurrentUser, form: Typed) -> Response:
    values = {field: form.get(field, "") for field in FIELDS}
    if "preview" in form:
        with database.read() as session:
            return _wizard(request, session, values, {})
    errors: dict[str, str] = {}
    try:
        wanted = NewDataset.model_validate({field: value for field, value in values.items() if field in form})
        return redirect(f"/datasets/{datasets.create_dataset(database, request.app.state.queue, user, wanted)}")
    except ValidationError as error:
        errors = messages_by_field(error.errors())
    except InvalidDataset as error:
        errors = error.fields
    with database.read() as session:
        return _wizard(request, session, values, errors, status_code=422)


@router.get("/datasets/{dataset_id:int}")
def show(request: Request, session: ReadSession, storage: StorageDep, dataset_id: int) -> HTMLResponse:
    return _show(request, session, storage, dataset_id)


@router.get("/datasets/{dataset_id:int}/_status")
def status(request: Request, session: ReadSession, dataset_id: int) -> HTMLResponse:
    dataset = datasets.get_dataset(session, dataset_id)
    response = render(request, "datasets/_status.html", dataset=dataset)
    if dataset.status.has_ended:
        response.headers["X-Live"] = "reload"
    return response


@router.post("/datasets/{dataset_id:int}/edit")
def edit(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, dataset_id: int, form: Typed
) -> Response:
    values = {field: form[field] for field in ("name", "description") if field in form}
    try:
        changes = DatasetChanges.model_validate(values)
    except ValidationError as error:
        state = {"values": values, "errors": messages_by_field(error.errors())}
        with database.read() as session:
            return _show(request, session, storage, dataset_id, form=state, status_code=422)
    datasets.change_dataset(database, user, dataset_id, changes)
    return redirect(f"/datasets/{dataset_id}")


@router.post("/datasets/{dataset_id:int}/stop")
def stop(database: DatabaseDep, user: CurrentUser, dataset_id: int) -> Response:
    datasets.stop_dataset(database, user, dataset_id)
    return redirect(f"/datasets/{dataset_id}")


@router.post("/datasets/{dataset_id:int}/build-again")
def build_again(request: Request, database: DatabaseDep, user: CurrentUser, dataset_id: int) -> Response:
    datasets.build_again(database, request.app.state.queue, user, dataset_id)
    return redirect(f"/datasets/{dataset_id}")


@router.post("/datasets/{dataset_id:int}/delete")
def delete(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, dataset_id: int
) -> Response:
    try:
        datasets.delete_dataset(database, storage, user, dataset_id)
    except DatasetInUse as refusal:
        with database.read() as session:
            return _show(request, session, storage, dataset_id, refusal=refusal, status_code=409)
    return redirect("/datasets")


def _show(
    request: Request, session: Session, storage: Storage, dataset_id: int, *, status_code: int = 200, **context: Any
) -> HTMLResponse:
    dataset = datasets.get_dataset(session, dataset_id)
    files = DatasetFiles(storage.dataset_dir(dataset.id))
    model_count, models = dataset.models_that_need_it(session)
    images, problem = dataset_images.sample(dataset, storage, SAMPLE) if dataset.status == Status.DONE else ([], "")
    shared = {
        "dataset": dataset,
        "facts": _facts(dataset),
        "resize_mode": RESIZE_MODES.get(ResizeMode(dataset.options["resize_mode"]), dataset.options["resize_mode"]),
        "version": dataset_images.version_of(dataset),
        "size_bytes": files.size_bytes(),
        "model_count": model_count,
        "models": models,
        "bars": _bars(dataset),
        "images": images,
        "images_problem": problem,
        "skipped": files.skipped(limit=10),
        "form": None,
        "refusal": None,
    }
    return render(request, "datasets/show.html", status_code=status_code, **(shared | context))


def _facts(dataset: Dataset) -> str:
    size = f"{dataset.width} × {dataset.height} {dataset.channels}"
    if dataset.status != Status.DONE:
        return size
    return f"{dataset.image_count:,} images in {len(dataset.classes):,} classes · {size}"


def _bars(dataset: Dataset) -> list[dict[str, Any]]:
    """Per class the counts of each split as parts of one bar, all bars on the scale of the largest class."""
    splits = {split: counts["per_class"] for split, counts in dataset.splits.items()}
    totals = [sum(counts) for counts in zip(*splits.values(), strict=True)]
    longest = max(totals, default=0) or 1
    rows = []
    for label, name in enumerate(dataset.classes):
        parts, x = [], 0.0
        for split, per_class in splits.items():
            width = 100 * per_class[label] / longest
            parts.append({"split": split, "count": per_class[label], "x": round(x, 3), "width": round(width, 3)})
            x += width
        rows.append({"name": name, "parts": parts})
    return rows


def _wizard(
    request: Request, session: Session, values: dict[str, str], errors: dict[str, str], status_code: int = 200
) -> HTMLResponse:
    upload = _find_upload(session, values.get("upload_id", ""))
    return render(
        request,
        "datasets/new.html",
        status_code=status_code,
        form={"values": values, "errors": errors},
        uploads=_ready_uploads(session, upload),
        upload=upload,
        preview=_preview(upload, values),
        resize_modes=[(mode.value, text) for mode, text in RESIZE_MODES.items()],
    )


def _of_upload(session: Session, storage: Storage, upload_id: str) -> dict[str, str]:
    """The wizard's first values for an upload: the one asked for, else the newest."""
    upload = _find_upload(session, upload_id)
    if upload is None and not upload_id:
        ready = _ready_uploads(session, None)
        upload = ready[0] if ready else None
    if upload is None or not upload.is_ready:
        return DEFAULTS | ({"upload_id": str(upload.id)} if upload else {})
    return DEFAULTS | {"upload_id": str(upload.id)} | guessing.guess(storage, upload).values()


def _of_dataset(session: Session, dataset_id: str) -> dict[str, str]:
    """The wizard's values for a dataset like that one."""
    dataset = datasets.get_dataset(session, int(dataset_id)) if dataset_id.isdigit() else None
    if dataset is None:
        return dict(DEFAULTS)
    kept = {field: _as_typed(value) for field, value in dataset.options.items() if field in FIELDS}
    return DEFAULTS | kept | {
        "upload_id": str(dataset.upload_id or ""),
        "name": dataset.name,
        "description": dataset.description,
        "channels": dataset.channels,
        "width": str(dataset.width),
        "height": str(dataset.height),
    }  # fmt: skip


def _as_typed(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _find_upload(session: Session, upload_id: str) -> Upload | None:
    is_id = upload_id.isascii() and upload_id.isdigit() and len(upload_id) < 19
    return session.get(Upload, int(upload_id)) if is_id else None


def _ready_uploads(session: Session, chosen: Upload | None) -> list[Upload]:
    newest = select(Upload).where(Upload.status == Status.DONE).order_by(Upload.id.desc()).limit(MAX_UPLOADS_SHOWN)
    uploads = list(session.scalars(newest))
    return uploads if chosen is None or chosen in uploads else [chosen, *uploads]


def _preview(upload: Upload | None, values: dict[str, str]) -> dict[str, Any] | None:
    """Per class and split how many images there will be, or why that cannot be told."""
    if upload is None or not upload.is_ready:
        return None
    sent = {field: values.get(field, "") for field in ("train_percent", "val_percent", "test_percent")}
    try:
        form = NewDataset.model_validate(sent | {"upload_id": upload.id, "name": "preview"})
    except ValidationError as error:
        return {"rows": [], "errors": messages_by_field(error.errors())}
    rows = datasets.count_splits(upload, form.percents)
    totals = {split.value: sum(row[split.value] for row in rows) for split in Split}
    return {"rows": rows, "errors": datasets.problems_with(form, upload), "totals": totals}
