"""The pictures of a dataset as JSON and as they are stored, their original sizes, and the files that were left out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.datasets import datasets
from app.datasets.files import DatasetFiles, FilesMissing
from app.datasets.image_sizes import Sizes, original_sizes
from app.datasets.lmdb_reader import media_type
from app.db import Dataset, Status
from app.schemas.dataset_images import ImageList, ImageOut, LeftOut, LeftOutList
from app.schemas.datasets import Split
from app.web import ApiError, PageNotFound, ReadSession, StorageDep

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])
PICTURE: dict[str, dict[str, object]] = {"image/png": {}, "image/jpeg": {}}


@router.get("/{dataset_id}/images")
def list_images(
    session: ReadSession,
    storage: StorageDep,
    dataset_id: int,
    split: Split = Split.TRAIN,
    class_number: Annotated[int | None, Query(ge=0, description="Only this class, by its place in `classes`")] = None,
    after: Annotated[int, Query(ge=-1, le=2**40, description="`next` of the page before")] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ImageList:
    """Pictures of a split in the order they are stored: source, original size, stored size. Any page costs the same."""
    dataset = _built(datasets.get_dataset(session, dataset_id))
    if split.value not in dataset.splits:
        raise PageNotFound(f"split “{split}” in this dataset")
    try:
        page = DatasetFiles(storage.dataset_dir(dataset.id)).page(split.value, class_number, after, limit)
    except FilesMissing as error:
        raise ApiError(409, "files_missing", str(error)) from error
    items = [
        ImageOut(
            number=image.number,
            class_number=image.label,
            source=image.source,
            width=image.width,
            height=image.height,
            stored_bytes=image.stored_bytes,
            copy_number=image.copy,
        )
        for image in page.images
    ]
    return ImageList(items=items, next=None if page.next is None else str(page.next), total=page.total)


@router.get("/{dataset_id}/images/{split}/{number}", response_class=Response, responses={200: {"content": PICTURE}})
def get_image(session: ReadSession, storage: StorageDep, dataset_id: int, split: Split, number: int) -> Response:
    """One picture as it is stored; raw pixels come as PNG."""
    dataset = _built(datasets.get_dataset(session, dataset_id))
    data = DatasetFiles(storage.dataset_dir(dataset.id)).image(split.value, number)
    if data is None:
        raise PageNotFound("image")
    return Response(data, media_type=media_type(data))


@router.get("/{dataset_id}/sizes")
def get_sizes(session: ReadSession, storage: StorageDep, dataset_id: int) -> Sizes:
    """How large the pictures were: the most common sizes, smallest, middle and largest sides, and bins of the longer
    side as [from, to, pictures]. Altered copies do not count."""
    dataset = _built(datasets.get_dataset(session, dataset_id))
    version = str(dataset.result.get("content_hash"))
    sizes = original_sizes(storage.dataset_dir(dataset.id), list(dataset.splits), version)
    if sizes is None:
        raise ApiError(409, "files_missing", "The files of this dataset are missing or damaged.")
    return sizes


@router.get("/{dataset_id}/left-out")
def list_left_out(
    session: ReadSession,
    storage: StorageDep,
    dataset_id: int,
    after: Annotated[str, Query(max_length=20, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> LeftOutList:
    """Files that could not be used, with the reason."""
    dataset = _built(datasets.get_dataset(session, dataset_id))
    page = DatasetFiles(storage.dataset_dir(dataset.id)).skipped(after, limit)
    return LeftOutList(items=[LeftOut(source=source, reason=reason) for source, reason in page.rows], next=page.next)


def _built(dataset: Dataset) -> Dataset:
    if dataset.status != Status.DONE:
        raise ApiError(409, "not_done", f"This dataset is {dataset.status}; it has no images yet.")
    return dataset
