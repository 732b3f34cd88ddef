"""What pages and API do with previews of a run's first batch: ask for one, find it. Drawing it is the worker's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.db import Database, Dataset, FirstBatch, Job, JobKind, Status, User
from app.models.launch import DatasetFacts, InvalidModel, batch_problems, full_preprocessing, problem_with_dataset
from app.preprocessing import Preprocessing
from app.queue import Queue
from app.schemas.first_batches import NewFirstBatch
from app.storage import Storage
from app.web import PageNotFound

MOST_BYTES = 512 * 1024**2  # of one batch as float32: it is drawn in the process that tests pictures


def ask_for_first_batch(database: Database, queue: Queue, user: User, form: NewFirstBatch) -> int:
    """The id of a first batch, queued; or of one with the same settings that is there already.

    Raises InvalidModel when it cannot be drawn, with a message for every field.
    """
    with database.write() as session:
        dataset = session.get(Dataset, form.dataset_id, with_for_update={"read": True, "of": Dataset})
        settings = _settings(form, dataset)
        assert dataset is not None
        key = FirstBatch.key_of(dataset, settings)
        same = FirstBatch.same(session, key)
        if same is not None:
            return same.id
        first_batch = _insert(session, user, dataset, settings)
        first_batch_id, job_id = first_batch.id, first_batch.job_id
    queue.enqueue(job_id)
    return first_batch_id


def get_first_batch(session: Session, first_batch_id: int) -> FirstBatch:
    first_batch = session.get(FirstBatch, first_batch_id)
    if first_batch is None:
        raise PageNotFound("first batch; they are kept for an hour")
    return first_batch


def image_file(storage: Storage, first_batch: FirstBatch, number: int) -> Path:
    """The PNG of one of its images; raises PageNotFound."""
    path = storage.first_batch_dir(first_batch.dataset_id, first_batch.id) / f"{number:03d}.png"
    if not 0 <= number < len(first_batch.images) or not path.is_file():
        raise PageNotFound("image of this first batch")
    return path


def _settings(form: NewFirstBatch, dataset: Dataset | None) -> dict[str, Any]:
    """What decides the batch, as the row keeps it."""
    problem = problem_with_dataset(dataset)
    if dataset is None or problem:
        raise InvalidModel({"dataset_id": problem})
    if dataset.status != Status.DONE:
        raise InvalidModel({"dataset_id": f"“{dataset.name}” is still being built. Ask again once it is done."})
    facts = DatasetFacts.of(dataset)
    own, size = facts.preprocessing, form.batch_size[0]
    preprocessing = full_preprocessing(form, dataset, facts)
    problems = form.transformation_problems(own.width, own.height)
    problems |= batch_problems(size, form.batch_accumulation, facts.train_count)
    if not problems:
        problems = _memory_problems(size, own)
    if problems:
        raise InvalidModel(problems)
    return {
        "preprocessing": preprocessing.to_dict(),
        "augmentation": form.augmentation().to_dict(),
        "batch_size": size,
        "batch_accumulation": form.batch_accumulation,
        "seed": form.seed,
    }


def _memory_problems(batch_size: int, images: Preprocessing) -> dict[str, str]:
    image_bytes = 4 * images.channels.number * images.height * images.width
    if batch_size * image_bytes <= MOST_BYTES:
        return {}
    return {"batch_size": f"A batch of {batch_size:,} is too large to look at; expected at most "
            f"{MOST_BYTES // image_bytes:,} images of this size. It can be trained all the same."}  # fmt: skip


def _insert(session: Session, user: User, dataset: Dataset, settings: dict[str, Any]) -> FirstBatch:
    job = Job.of(JobKind.DRAW_BATCH, title=f"First batch of {dataset.name}", user_id=user.id)
    job.path = f"/models/new?dataset={dataset.id}"
    session.add(job)
    session.flush()
    first_batch = FirstBatch(dataset_id=dataset.id, job_id=job.id, key=FirstBatch.key_of(dataset, settings),
                             settings=settings, images=[])  # fmt: skip
    session.add(first_batch)
    session.flush()
    return first_batch
