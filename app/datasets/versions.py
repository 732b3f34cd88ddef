"""A new version of a dataset: the same choices less the pictures that its check-up found. Old versions stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.datasets.checkup import pictures_to_drop
from app.datasets.datasets import InvalidDataset, get_dataset
from app.datasets.dropped import read_dropped, write_dropped
from app.datasets.files import DatasetFiles
from app.datasets.made_of import LISTS_FOLDER
from app.db import Database, Dataset, Job, JobKind, Status, Upload, User
from app.queue import Queue
from app.schemas.datasets import SPLIT_NAMES, NewVersion
from app.storage import Storage

LONGEST_NAME = 200


def create_version(
    database: Database, queue: Queue, storage: Storage, user: User, dataset_id: int, form: NewVersion
) -> int:
    """The id of the new version, queued to be built; of the earlier one when the same form was sent before."""
    with database.read() as session:
        parent = get_dataset(session, dataset_id)
        earlier = _sent_before(session, form)
    if earlier is not None:
        return earlier
    dropped = _dropped(storage, parent, form)
    try:
        with database.write() as session:
            earlier = _sent_before(session, form)
            if earlier is not None:
                return earlier
            version_id, job_id = _insert(session, storage, user, parent, form, dropped)
    except IntegrityError:  # PostgreSQL: the same form was faster
        with database.read() as session:
            earlier = _sent_before(session, form)
        if earlier is None:
            raise
        return earlier
    queue.enqueue(job_id)
    return version_id


def _sent_before(session: Session, form: NewVersion) -> int | None:
    if not form.submission:
        return None
    return session.scalar(select(Dataset.id).where(Dataset.submission == form.submission))


def _dropped(storage: Storage, parent: Dataset, form: NewVersion) -> set[str]:
    if parent.status != Status.DONE:
        raise InvalidDataset({"": f"This dataset is {parent.status}; it has no check-up yet."})
    if parent.missing_uploads:
        raise InvalidDataset({"": parent.missing_uploads})
    folder = storage.dataset_dir(parent.id)
    named = _sources(folder, form)
    try:
        found = pictures_to_drop(folder, {finding.value for finding in form.findings}, form.keep_one)
    except OSError as error:
        raise InvalidDataset({"": "The check-up of this dataset is gone from the disk."}) from error
    if not found and not named:
        raise InvalidDataset({"findings": "Nothing was found of what is chosen: there is nothing to drop."})
    return found | named


def _sources(folder: Path, form: NewVersion) -> set[str]:
    """The paths of the pictures that are named."""
    files, found = DatasetFiles(folder), set()
    for picture in form.images:
        about = files.about(picture.split.value, picture.number)
        if about is None:
            raise InvalidDataset({"images": f"There is no image {picture.number:,} in {SPLIT_NAMES[picture.split]}."})
        found.add(about.image.source)
    return found


def _insert(
    session: Session, storage: Storage, user: User, parent: Dataset, form: NewVersion, dropped: set[str]
) -> tuple[int, int]:
    name = form.name or _next_name(parent.name)
    uploads = [session.get(Upload, id, with_for_update={"read": True, "of": Upload}) for id in sorted(parent.uploads)]
    there = {upload.id: upload for upload in uploads if upload is not None}
    if len(there) < len(uploads):
        raise InvalidDataset({"": "An upload that this dataset is made of has been deleted meanwhile."})
    changes = {
        "parent_id": parent.id,
        "parent_name": parent.name,
        "findings": [finding.value for finding in form.findings],
        "keep_one": form.keep_one,
        "chosen_count": len(form.images),
        "dropped_count": len(dropped),
    }
    job = Job.of(JobKind.BUILD_DATASET, title=name, user_id=user.id)
    version = Dataset(
        user_id=user.id,
        name=name,
        description=parent.description,
        upload_id=parent.upload_id,
        more_uploads=[there[upload.id] for upload in parent.more_uploads],
        job=job,
        channels=parent.channels,
        width=parent.width,
        height=parent.height,
        options=parent.options | changes,
        submission=form.submission or None,
    )
    session.add(version)
    session.flush()
    job.path = f"/datasets/{version.id}"
    folder = storage.dataset_dir(version.id)
    write_dropped(folder, dropped | read_dropped(storage.dataset_dir(parent.id)))
    if (lists := storage.dataset_dir(parent.id) / LISTS_FOLDER).is_dir():
        shutil.copytree(lists, folder / LISTS_FOLDER)
    return version.id, job.id


def _next_name(name: str) -> str:
    """The name with the next number: pets, pets v2, pets v3."""
    stem, mark, number = name.rpartition(" v")
    if not (mark and number.isascii() and number.isdigit() and len(number) < 6):
        stem, number = name, "1"
    ending = f" v{int(number) + 1}"
    return stem[: LONGEST_NAME - len(ending)] + ending
