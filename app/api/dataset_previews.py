"""What a dataset would look like, as JSON: pictures of its source in every resize mode, and their altered copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session

from app.api.datasets import completed, find_upload
from app.datasets import previews
from app.datasets.picture_places import PicturePlace, folder_place, prefix_beside, upload_place
from app.datasets.previews import Drawn, PreviewRow
from app.db import Upload
from app.imaging.copies import Augmentation
from app.preprocessing import ResizeMode
from app.schemas.dataset_images import DatasetPreview, DrawnOut, PreviewedImage
from app.schemas.datasets import NewDataset
from app.schemas.sources import Place
from app.storage import Storage
from app.web import ApiError, DatabaseDep, StorageDep

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])


@router.post("/preview")
def preview_dataset(request: Request, database: DatabaseDep, storage: StorageDep, form: NewDataset) -> DatasetPreview:
    """A handful of pictures as the dataset would store them. Takes what making a dataset takes, and makes nothing."""
    roots = request.app.state.settings.data_roots
    with database.read() as session:
        upload = find_upload(session, form)
        place = _place(session, storage, roots, form)
        given = [one for one in (*form.more, form.val, form.test) if one is not None]
        others = [found for one in given if (found := _place(session, storage, roots, one)) is not None]
    if place is None:
        problem = "This upload or folder does not exist, or is not ready."
        raise ApiError(422, "invalid", problem, {"upload_id" if form.folder is None else "folder": problem})
    preprocessing = completed(form, upload, storage, roots).preprocessing
    pictures = place.pictures(form.within, prefix_beside(place, others))
    augmentation = Augmentation.from_options(form.augmentation.model_dump())
    altered: list[PreviewRow] = []
    if augmentation is not None:
        altered = previews.copies(pictures[: previews.MOST_WITH_COPIES], preprocessing, augmentation, form.seed)
    copies = {row.path: row.results for row in altered}
    width, height = previews.drawn_size(preprocessing)
    items = [_shown(row, copies.get(row.path, {})) for row in previews.resized(pictures, preprocessing)]
    return DatasetPreview(width=width, height=height, items=items)


def _place(session: Session, storage: Storage, roots: Sequence[Path], given: NewDataset | Place) -> PicturePlace | None:
    if given.folder is not None:
        return folder_place(given.folder, roots)
    return upload_place(session.get(Upload, given.upload_id) if given.upload_id is not None else None, storage)


def _shown(row: PreviewRow, copies: dict[str, Drawn]) -> PreviewedImage:
    return PreviewedImage(
        path=row.path,
        width=row.width,
        height=row.height,
        original=_drawn(row.original),
        resized={ResizeMode(name): _drawn(drawn) for name, drawn in row.results.items()},
        copies={name: _drawn(drawn) for name, drawn in copies.items()},
    )


def _drawn(drawn: Drawn) -> DrawnOut:
    return DrawnOut(url=drawn.url or None, problem=drawn.problem or None)
