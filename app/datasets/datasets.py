"""What pages and API do with datasets alike: list, make, stop, delete. The build itself is the worker's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.datasets import sources
from app.datasets.dropped import read_dropped, write_dropped
from app.datasets.source_problems import problems_with
from app.datasets.sources import Chosen
from app.db import Database, Dataset, FirstBatch, Job, JobKind, Model, Status, Upload, User
from app.invalid import InvalidFields
from app.queue import Queue
from app.schemas.datasets import DatasetChanges, NewDataset
from app.storage import Storage
from app.web import PageNotFound, require_owner

SORTS = ("created", "name")


class InvalidDataset(InvalidFields):
    """The choices do not fit the upload; one message per field."""


@dataclass(frozen=True)
class NeedingModel:
    id: int
    name: str
    status: Status


class DatasetInUse(Exception):
    """It cannot be deleted now; `models` are the newest of the `count` that need it."""

    def __init__(self, reason: str, count: int = 0, models: Sequence[NeedingModel] = ()) -> None:
        self.count, self.models = count, list(models)
        super().__init__(reason)


@dataclass(frozen=True)
class Filter:
    """What a list shows: `sort` is one of SORTS, with a minus for descending; `after` is the last row's key."""

    text: str = ""
    status: Status | None = None
    sort: str = "-created"
    after: str = ""
    limit: int = 50


@dataclass(frozen=True)
class DatasetPage:
    datasets: list[Dataset]
    model_counts: dict[int, int]
    next: str | None


def list_datasets(session: Session, wanted: Filter) -> DatasetPage:
    """One page of the list, and what to ask for next. Any page costs the same as the first."""
    statement = _ordered(_filtered(select(Dataset).join(Dataset.job), wanted), wanted)
    rows = list(session.scalars(statement.limit(wanted.limit + 1)))
    page = rows[: wanted.limit]
    has_more = len(rows) > wanted.limit
    return DatasetPage(page, count_models(session, page), _key(page[-1], wanted) if has_more else None)


def count_datasets(session: Session) -> dict[str, int]:
    """How many there are in each state, and `all` of them."""
    statement = select(Job.status, func.count()).join(Dataset, Dataset.job_id == Job.id).group_by(Job.status)
    counts = {str(status): count for status, count in session.execute(statement)}
    return counts | {"all": sum(counts.values())}


def count_models(session: Session, datasets: Sequence[Dataset]) -> dict[int, int]:
    """How many models name each of these datasets."""
    ids = [dataset.id for dataset in datasets]
    statement = select(Model.dataset_id, func.count()).where(Model.dataset_id.in_(ids)).group_by(Model.dataset_id)
    found: dict[int, int] = dict(session.execute(statement).all())
    return {dataset_id: found.get(dataset_id, 0) for dataset_id in ids}


def versions_of(session: Session, dataset_id: int) -> list[Dataset]:
    """What was made from it without some of its pictures, the newest first; ten at most."""
    made_from = Dataset.options["parent_id"].as_integer()
    return list(session.scalars(select(Dataset).where(made_from == dataset_id).order_by(Dataset.id.desc()).limit(10)))


def get_dataset(session: Session, dataset_id: int) -> Dataset:
    dataset = session.get(Dataset, dataset_id)
    if dataset is None:
        raise PageNotFound("dataset")
    return dataset


def create_dataset(
    database: Database, queue: Queue, storage: Storage, user: User, form: NewDataset, roots: Sequence[Path] = ()
) -> int:
    """The id of the new dataset, queued to be built; of the earlier one when the same form was sent before.

    `roots` are the folders below which it may be made of what lies on the server. Raises InvalidDataset when the
    choices do not fit what they are about.
    """
    with database.read() as session:
        earlier = _sent_before(session, form)
        chosen = sources.look_up(session, form, roots)
    if earlier is not None:
        return earlier
    problems = problems_with(chosen)
    if problems:
        raise InvalidDataset(problems)
    try:
        with database.write() as session:
            earlier = _sent_before(session, form)
            if earlier is not None:
                return earlier
            dataset, job_id = _insert(session, storage, user, chosen)
            dataset_id = dataset.id
    except IntegrityError:
        with database.read() as session:
            earlier = _sent_before(session, form)
        if earlier is None:
            raise
        return earlier
    queue.enqueue(job_id)
    return dataset_id


def stop_dataset(database: Database, user: User, dataset_id: int) -> bool:
    """Whether there was anything to stop."""
    with database.write() as session:
        dataset = get_dataset(session, dataset_id)
        require_owner(user, dataset.user_id)
        return Job.request_stop(session, dataset.job_id)


def build_again(database: Database, queue: Queue, user: User, dataset_id: int) -> bool:
    """Queues a stopped or failed build again; False if it is neither."""
    with database.write() as session:
        dataset = get_dataset(session, dataset_id)
        require_owner(user, dataset.user_id)
        job_id = dataset.job_id
        is_queued = Job.resume(session, job_id)
    if is_queued:
        queue.enqueue(job_id)
    return is_queued


def change_dataset(database: Database, user: User, dataset_id: int, changes: DatasetChanges) -> None:
    with database.write() as session:
        dataset = get_dataset(session, dataset_id)
        require_owner(user, dataset.user_id)
        if changes.name is not None:
            dataset.name = changes.name
            dataset.job.title = changes.name[:300]
        if changes.description is not None:
            dataset.description = changes.description


def delete_dataset(database: Database, storage: Storage, user: User, dataset_id: int) -> None:
    """Deletes row, job and files; raises DatasetInUse while it is built or while models need it."""
    with database.write() as session:
        dataset = get_dataset(session, dataset_id)
        require_owner(user, dataset.user_id)
        count, models = dataset.models_that_need_it(session)
        if count:
            noun = "1 model needs it" if count == 1 else f"{count} models need it"
            needing = [NeedingModel(model.id, model.name, model.status) for model in models]
            raise DatasetInUse(f"This dataset cannot be deleted: {noun}.", count, needing)
        if dataset.status == Status.RUNNING:
            raise DatasetInUse("This dataset is being built. Stop it first, then delete it.")
        job = dataset.job
        FirstBatch.forget(session, session.scalars(select(FirstBatch).where(FirstBatch.dataset_id == dataset.id)).all())
        session.delete(dataset)
        session.flush()
        session.delete(job)
    storage.delete(storage.dataset_dir(dataset_id))


def _sent_before(session: Session, form: NewDataset) -> int | None:
    if not form.submission:
        return None
    return session.scalar(select(Dataset.id).where(Dataset.submission == form.submission))


def _insert(session: Session, storage: Storage, user: User, chosen: Chosen) -> tuple[Dataset, int]:
    form = chosen.form
    uploads = _hold_uploads(session, chosen)
    if form.channels is None or form.width is None or form.height is None:
        raise ValueError("channels and size are guessed before a dataset is made")
    job = Job.of(JobKind.BUILD_DATASET, title=form.name, user_id=user.id)
    dataset = Dataset(
        user_id=user.id,
        name=form.name,
        description=form.description,
        upload_id=form.upload_id,
        more_uploads=[upload for upload in uploads if upload.id != form.upload_id],
        job=job,
        channels=form.channels.value,
        width=form.width,
        height=form.height,
        options=form.options() | sources.source_option(chosen),
        submission=form.submission or None,
    )
    session.add(dataset)
    session.flush()
    job.path = f"/datasets/{dataset.id}"
    sources.write_texts(storage.dataset_dir(dataset.id), form)
    _drop_as(session, storage, dataset, form.drop_as)
    return dataset, job.id


def _drop_as(session: Session, storage: Storage, dataset: Dataset, other_id: int | None) -> None:
    """Leaves out what another dataset has dropped, and says so in the options."""
    if other_id is None:
        return
    other = session.get(Dataset, other_id)
    if other is None:
        raise InvalidDataset({"drop_as": "This dataset does not exist, or was deleted meanwhile."})
    dropped = read_dropped(storage.dataset_dir(other.id))
    if dropped:
        write_dropped(storage.dataset_dir(dataset.id), dropped)
        told = {"parent_id": other.id, "parent_name": other.name, "findings": [], "dropped_count": len(dropped)}
        dataset.options = dataset.options | told


def _hold_uploads(session: Session, chosen: Chosen) -> list[Upload]:
    """The rows, which nobody deletes until the transaction ends; raises InvalidDataset when one is gone meanwhile."""
    held = {
        id: session.get(Upload, id, with_for_update={"read": True, "of": Upload}) for id in chosen.made_of.upload_ids
    }
    uploads = {id: upload for id, upload in held.items() if upload is not None and upload.is_ready}
    if len(uploads) < len(held):
        raise InvalidDataset(problems_with(sources.without_uploads(chosen, uploads)))
    return list(uploads.values())


def _filtered(statement: Select[Dataset], wanted: Filter) -> Select[Dataset]:
    if wanted.text:
        statement = statement.where(Dataset.name.icontains(wanted.text, autoescape=True))
    if wanted.status is not None:
        statement = statement.where(Job.status == wanted.status)
    return statement


def _ordered(statement: Select[Dataset], wanted: Filter) -> Select[Dataset]:
    is_down = wanted.sort.startswith("-")
    anchor_id, anchor_name = _read_key(wanted.after)
    if wanted.sort.removeprefix("-") == "name":
        if anchor_id is not None:
            beyond = Dataset.name < anchor_name if is_down else Dataset.name > anchor_name
            tie = Dataset.id < anchor_id if is_down else Dataset.id > anchor_id
            statement = statement.where(or_(beyond, and_(Dataset.name == anchor_name, tie)))
        columns = (Dataset.name, Dataset.id)
        return statement.order_by(*(column.desc() if is_down else column for column in columns))
    if anchor_id is not None:
        statement = statement.where(Dataset.id < anchor_id if is_down else Dataset.id > anchor_id)
    return statement.order_by(Dataset.id.desc() if is_down else Dataset.id)


def _key(dataset: Dataset, wanted: Filter) -> str:
    return f"{dataset.id}:{dataset.name}" if wanted.sort.endswith("name") else str(dataset.id)


def _read_key(after: str) -> tuple[int | None, str]:
    number, _, name = after.partition(":")
    return (int(number), name) if number.isascii() and number.isdigit() and len(number) < 19 else (None, "")
