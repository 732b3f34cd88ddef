"""The pictures of a dataset: pages of them, each one, their mean, and the list of files that were left out."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from app.datasets import datasets
from app.datasets.class_means import class_mean
from app.datasets.download import dataset_zip
from app.datasets.files import DatasetFiles, FilesMissing
from app.datasets.lmdb_reader import StoredImage, media_type
from app.db import Dataset, Status
from app.schemas.datasets import SPLIT_NAMES, Split
from app.storage import Storage
from app.web import PageNotFound, ReadSession, StorageDep, render

router = APIRouter(include_in_schema=False)
PAGE = 120
# A picture never changes under its address: it names the dataset's content hash.
CACHEABLE = {"Cache-Control": "private, max-age=604800, immutable"}


@router.get("/datasets/{dataset_id:int}/images")
def browse(
    request: Request,
    session: ReadSession,
    storage: StorageDep,
    dataset_id: int,
    split: str = "",
    label: Annotated[str, Query(alias="class")] = "",
    after: str = "",
    view: str = "",
) -> HTMLResponse:
    dataset = _built(datasets.get_dataset(session, dataset_id))
    shown = split if split in dataset.splits else next(iter(dataset.splits))
    chosen = _number(label, len(dataset.classes))
    place = _number(after, dataset.count(shown))
    problem, page = "", None
    try:
        page = DatasetFiles(storage.dataset_dir(dataset.id)).page(shown, chosen, -1 if place is None else place, PAGE)
    except FilesMissing as error:
        problem = str(error)
    return render(
        request,
        "datasets/images.html",
        dataset=dataset,
        split=shown,
        label=chosen,
        page=page,
        problem=problem,
        is_table=view == "table",
        images=[shown_image(dataset, shown, image, chosen) for image in page.images] if page else [],
        splits=[(name, SPLIT_NAMES[Split(name)]) for name in dataset.splits],
    )


@router.get("/datasets/{dataset_id:int}/images/{split}/{number:int}")
def show_image(
    request: Request,
    session: ReadSession,
    storage: StorageDep,
    dataset_id: int,
    split: Split,
    number: int,
    label: Annotated[str, Query(alias="class")] = "",
) -> HTMLResponse:
    """One picture with all that is known about it, between its neighbours of all classes or of one."""
    dataset = _built(datasets.get_dataset(session, dataset_id))
    chosen = _number(label, len(dataset.classes))
    found = DatasetFiles(storage.dataset_dir(dataset.id)).about(split.value, number, chosen)
    if found is None:
        raise PageNotFound("image")
    beside = {"previous": found.previous, "next": found.next}
    return render(
        request,
        "datasets/image.html",
        dataset=dataset,
        image=shown_image(dataset, split.value, found.image, chosen),
        split_name=SPLIT_NAMES[split],
        label=chosen,
        links={name: page_of(dataset, split.value, at, chosen) for name, at in beside.items() if at is not None},
    )


@router.get("/datasets/{dataset_id:int}/images/{split}/{number:int}.png")
def image(
    request: Request, session: ReadSession, storage: StorageDep, dataset_id: int, split: Split, number: int
) -> Response:
    """The picture as it is stored; a JPEG keeps its own type under the same address."""
    dataset = _built(datasets.get_dataset(session, dataset_id))
    etag = f'"{version_of(dataset)}-{split.value}-{number}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=CACHEABLE | {"ETag": etag})
    data = DatasetFiles(storage.dataset_dir(dataset.id)).image(split.value, number)
    if data is None:
        raise PageNotFound("image")
    return Response(data, media_type=media_type(data), headers=CACHEABLE | {"ETag": etag})


@router.get("/datasets/{dataset_id:int}/mean.png")
def mean(session: ReadSession, storage: StorageDep, dataset_id: int) -> Response:
    dataset = _built(datasets.get_dataset(session, dataset_id))
    path = DatasetFiles(storage.dataset_dir(dataset.id)).mean_image
    if not path.is_file():
        raise PageNotFound("mean image")
    return FileResponse(path, media_type="image/png", headers=CACHEABLE)


@router.get("/datasets/{dataset_id:int}/means/{label:int}.png")
def mean_of_class(session: ReadSession, storage: StorageDep, dataset_id: int, label: int) -> Response:
    dataset = _built(datasets.get_dataset(session, dataset_id))
    data = class_mean(storage.dataset_dir(dataset.id), label)
    if data is None:
        raise PageNotFound("mean image")
    return Response(data, media_type="image/png", headers=CACHEABLE)


@router.get("/datasets/{dataset_id:int}/skipped")
def skipped(
    request: Request, session: ReadSession, storage: StorageDep, dataset_id: int, after: str = ""
) -> HTMLResponse:
    dataset = datasets.get_dataset(session, dataset_id)
    page = DatasetFiles(storage.dataset_dir(dataset.id)).skipped(after)
    return render(request, "datasets/skipped.html", dataset=dataset, skipped=page)


@router.get("/datasets/{dataset_id:int}/skipped.csv")
def skipped_csv(session: ReadSession, storage: StorageDep, dataset_id: int) -> Response:
    dataset = datasets.get_dataset(session, dataset_id)
    path = DatasetFiles(storage.dataset_dir(dataset.id)).skipped_list
    if not path.is_file():
        raise PageNotFound("list of left out files")
    return FileResponse(path, media_type="text/csv; charset=utf-8", filename=f"dataset-{dataset.id}-left-out.csv")


@router.get("/datasets/{dataset_id:int}/download")
def download(session: ReadSession, storage: StorageDep, dataset_id: int) -> Response:
    return dataset_zip(_built(datasets.get_dataset(session, dataset_id)), storage)


def sample(dataset: Dataset, storage: Storage, count: int) -> tuple[list[dict[str, Any]], str]:
    """The first pictures of the training split, which are in random order; or why there are none."""
    try:
        page = DatasetFiles(storage.dataset_dir(dataset.id)).page(Split.TRAIN.value, limit=count)
    except FilesMissing as error:
        return [], str(error)
    return [shown_image(dataset, Split.TRAIN.value, image) for image in page.images], ""


def shown_image(dataset: Dataset, split: str, image: StoredImage, label: int | None = None) -> dict[str, Any]:
    """What the templates show of a stored picture; `label` is the class that is looked through, if it is one."""
    names = dataset.classes
    return {
        "url": f"/datasets/{dataset.id}/images/{split}/{image.number}.png?v={version_of(dataset)}",
        "page": page_of(dataset, split, image.number, label),
        "split": split,
        "number": image.number,
        "class_name": names[image.label] if image.label < len(names) else str(image.label),
        "source": image.source,
        "original": f"{image.width} × {image.height}",
        "stored_bytes": image.stored_bytes,
        "copy_number": image.copy,
    }


def page_of(dataset: Dataset, split: str, number: int, label: int | None = None) -> str:
    """The address of a picture's page."""
    return f"/datasets/{dataset.id}/images/{split}/{number}" + (f"?class={label}" if label is not None else "")


def version_of(dataset: Dataset) -> str:
    """Changes whenever the content does; a part of every picture's address."""
    return hashlib.sha256(f"{dataset.id} {dataset.result.get('content_hash')}".encode()).hexdigest()[:12]


def _built(dataset: Dataset) -> Dataset:
    if dataset.status != Status.DONE:
        raise PageNotFound(f"image yet: the dataset “{dataset.name}” is {dataset.status}")
    return dataset


def _number(text: str, count: int) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) < 12
    return int(text) if is_number and int(text) < count else None
