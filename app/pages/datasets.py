"""Pages of datasets: the list, one dataset with its live build. The form is in `dataset_wizard.py`, pictures are in
`dataset_images.py`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.datasets import datasets
from app.datasets.class_means import CLASS_MEANS_FILE
from app.datasets.datasets import DatasetInUse, Filter
from app.datasets.files import DatasetFiles
from app.datasets.image_sizes import original_sizes
from app.db import Dataset, Status
from app.errors import messages_by_field
from app.forms import Typed
from app.pages import dataset_checkup, dataset_images, dataset_previews, dataset_wizard
from app.schemas.datasets import FINDINGS, SPLIT_NAMES, DatasetChanges, resize_text, sources_out
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, ReadSession, StorageDep, redirect, render

router = APIRouter(include_in_schema=False)
router.include_router(dataset_wizard.router)
router.include_router(dataset_previews.router)
router.include_router(dataset_images.router)
router.include_router(dataset_checkup.router)
SAMPLE = 32


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
        "sources": sources_out(dataset),
        "resize_mode": resize_text(dataset.preprocessing),
        "version": dataset_images.version_of(dataset),
        "has_parent": session.get(Dataset, dataset.options.get("parent_id", 0)) is not None,
        "versions": datasets.versions_of(session, dataset.id),
        "has_class_means": (files.folder / CLASS_MEANS_FILE).is_file(),
        "size_bytes": files.size_bytes(),
        "sizes": original_sizes(files.folder, list(dataset.splits), dataset_images.version_of(dataset)),
        "model_count": model_count,
        "models": models,
        "bars": _bars(dataset),
        "images": images,
        "images_problem": problem,
        "skipped": files.skipped(limit=10),
        "checkup": files.checkup() if dataset.status == Status.DONE else None,
        "split_names": SPLIT_NAMES,
        "findings": [(one.value, *texts) for one, texts in FINDINGS.items()],
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
