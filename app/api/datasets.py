"""Datasets as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session, undefer

from app.datasets import datasets, guessing
from app.datasets.checkup import Checkup
from app.datasets.datasets import DatasetInUse, Filter, InvalidDataset
from app.datasets.download import dataset_zip
from app.datasets.files import DatasetFiles
from app.datasets.versions import create_version
from app.db import Status, Upload
from app.schemas.datasets import DatasetChanges, DatasetList, DatasetOut, NewDataset, NewVersion
from app.storage import Storage
from app.web import ApiError, CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])


@router.get("")
def list_datasets(
    session: ReadSession,
    q: Annotated[str, Query(max_length=200, description="Part of the name")] = "",
    status: Status | None = None,
    sort: Annotated[str, Query(pattern="^-?(created|name)$")] = "-created",
    after: Annotated[str, Query(max_length=300, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DatasetList:
    page = datasets.list_datasets(session, Filter(q, status, sort, after, limit))
    items = [DatasetOut.of(dataset, page.model_counts[dataset.id]) for dataset in page.datasets]
    return DatasetList(items=items, next=page.next)


@router.post("", status_code=201)
def create_dataset(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, form: NewDataset
) -> DatasetOut:
    """Makes a dataset and queues its build. Channels and size that are left out are guessed from the pictures."""
    roots = request.app.state.settings.data_roots
    with database.read() as session:
        upload = find_upload(session, form)
    whole = completed(form, upload, storage, roots)
    try:
        dataset_id = datasets.create_dataset(database, request.app.state.queue, storage, user, whole, roots)
    except InvalidDataset as error:
        fields = {name.partition(".")[0]: message for name, message in error.fields.items()}
        raise ApiError(422, "invalid", str(error), fields) from error
    with database.read() as session:
        return DatasetOut.of(datasets.get_dataset(session, dataset_id), 0)


@router.get("/{dataset_id}")
def get_dataset(session: ReadSession, dataset_id: int) -> DatasetOut:
    dataset = datasets.get_dataset(session, dataset_id)
    return DatasetOut.of(dataset, datasets.count_models(session, [dataset])[dataset.id])


@router.patch("/{dataset_id}")
def change_dataset(database: DatabaseDep, user: CurrentUser, dataset_id: int, changes: DatasetChanges) -> DatasetOut:
    datasets.change_dataset(database, user, dataset_id, changes)
    with database.read() as session:
        return get_dataset(session, dataset_id)


@router.post("/{dataset_id}/stop-request", status_code=202)
def request_stop(database: DatabaseDep, user: CurrentUser, dataset_id: int) -> DatasetOut:
    """Stops a queued build at once and asks a running one to; a build that has ended is refused."""
    if not datasets.stop_dataset(database, user, dataset_id):
        raise ApiError(409, "has_ended", "This dataset is not being built any more.")
    with database.read() as session:
        return get_dataset(session, dataset_id)


@router.post("/{dataset_id}/build-again", status_code=202)
def build_again(request: Request, database: DatabaseDep, user: CurrentUser, dataset_id: int) -> DatasetOut:
    """Queues a stopped or failed build again."""
    if not datasets.build_again(database, request.app.state.queue, user, dataset_id):
        raise ApiError(409, "not_ended", "Only a stopped or failed build can start again.")
    with database.read() as session:
        return get_dataset(session, dataset_id)


@router.get("/{dataset_id}/download", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
def download_dataset(session: ReadSession, storage: StorageDep, dataset_id: int) -> Response:
    """A zip of split/class folders with the pictures as they are stored, the lists, means and manifest."""
    dataset = datasets.get_dataset(session, dataset_id)
    if dataset.status != Status.DONE:
        raise ApiError(409, "not_done", f"This dataset is {dataset.status}; there is nothing to download.")
    return dataset_zip(dataset, storage)


@router.get("/{dataset_id}/checkup")
def get_checkup(session: ReadSession, storage: StorageDep, dataset_id: int) -> Checkup:
    """Duplicates, leaks between splits, pictures with two labels, unreadable files, the smallest and largest class."""
    dataset = datasets.get_dataset(session, dataset_id)
    checkup = DatasetFiles(storage.dataset_dir(dataset.id)).checkup()
    if checkup is None:
        raise PageNotFound("check-up of this dataset")
    return checkup


@router.post("/{dataset_id}/versions", status_code=201)
def create_new_version(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, dataset_id: int, form: NewVersion
) -> DatasetOut:
    """A new dataset like this one, less the pictures that its check-up found."""
    try:
        version_id = create_version(database, request.app.state.queue, storage, user, dataset_id, form)
    except InvalidDataset as error:
        raise ApiError(422, "invalid", str(error), error.fields) from error
    with database.read() as session:
        return get_dataset(session, version_id)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(database: DatabaseDep, storage: StorageDep, user: CurrentUser, dataset_id: int) -> Response:
    """Deletes it with its files; refused (409) while it is built and while models need it."""
    try:
        datasets.delete_dataset(database, storage, user, dataset_id)
    except DatasetInUse as refusal:
        names = ", ".join(f"{model.name} (model {model.id})" for model in refusal.models)
        message = f"{refusal} {names}".strip()
        raise ApiError(409, "in_use", message) from refusal
    return Response(status_code=204)


def find_upload(session: Session, form: NewDataset) -> Upload | None:
    """The first upload of a form with what it holds, for `completed`."""
    return session.get(Upload, form.upload_id, options=[undefer(Upload.holds)]) if form.upload_id is not None else None


def completed(form: NewDataset, upload: Upload | None, storage: Storage, roots: Sequence[Path]) -> NewDataset:
    """The form with what was left out guessed from the pictures."""
    if None not in (form.channels, form.width, form.height):
        return form
    guess = guessing.guess_source(storage, upload, form.folder or "", roots)
    if guess is None:
        return form
    return form.model_copy(
        update={
            "channels": form.channels or guess.channels,
            "width": form.width or guess.width,
            "height": form.height or guess.height,
        }
    )
