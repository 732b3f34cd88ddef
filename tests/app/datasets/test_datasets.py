"""What pages and API do with datasets, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.datasets.datasets import (
    SORTS,
    DatasetInUse,
    Filter,
    InvalidDataset,
    change_dataset,
    count_datasets,
    create_dataset,
    delete_dataset,
    list_datasets,
    stop_dataset,
    versions_of,
)
from app.db import Database, Dataset, Job, Record, SourceUpload, Status, Upload, User
from app.preprocessing import Channels
from app.queue import Queue
from app.schemas.datasets import DatasetChanges, NewDataset
from app.settings import Settings
from app.storage import Storage
from app.uploads.uploads import delete_upload
from app.web import ApiError
from tests import factories


@pytest.fixture
def queue(any_settings: Settings, any_database: Database) -> Queue:
    return Queue(any_settings, any_database)


@pytest.fixture
def storage(any_settings: Settings) -> Storage:
    return Storage(any_settings.home.resolve())


@pytest.fixture
def user(any_database: Database) -> User:
    return factories.user(any_database)


def form(upload: Upload, **changes: object) -> NewDataset:
    given = {"upload_id": upload.id, "name": "pets", "channels": Channels.GRAY, "width": 28, "height": 28}
    return NewDataset.model_validate(given | changes)


def rows(database: Database, table: type[Record]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_dataset_comes_with_its_job(any_database: Database, queue: Queue, storage: Storage, user: User) -> None:
    dataset_id = create_dataset(any_database, queue, storage, user, form(factories.upload(any_database)))
    with any_database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        assert (dataset.job.title, dataset.job.path, dataset.job.user_id) == (
            "pets",
            f"/datasets/{dataset_id}",
            user.id,
        )
        assert dataset.job.sent_at is not None


def test_a_form_sent_eight_times_at_once_makes_one_dataset(
    any_database: Database, queue: Queue, storage: Storage, user: User
) -> None:
    wanted = form(factories.upload(any_database), submission="mark")
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: create_dataset(any_database, queue, storage, user, wanted), range(8)))
    assert len(ids) == 1
    assert (rows(any_database, Dataset), rows(any_database, Job)) == (1, 1)


def test_nothing_is_left_of_a_form_that_does_not_fit(
    any_database: Database, queue: Queue, storage: Storage, user: User
) -> None:
    upload = factories.upload(any_database, classes=[{"name": "cats", "count": 5}])
    with pytest.raises(InvalidDataset) as caught:
        create_dataset(any_database, queue, storage, user, form(upload))
    assert list(caught.value.fields) == ["upload_id"]
    assert (rows(any_database, Dataset), rows(any_database, Job)) == (0, 0)


@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
def test_every_sort_pages_through_all(any_database: Database, sort: str) -> None:
    names = ["b", "a", "b", "Ä", "あ", "A", "b", ":", "a:b"]
    made = {factories.dataset(any_database, name=name, upload_id=None).id for name in names}
    seen: list[int] = []
    after: str | None = ""
    with any_database.read() as session:
        while after is not None:
            page = list_datasets(session, Filter(sort=sort, after=after, limit=2))
            seen += [dataset.id for dataset in page.datasets]
            after = page.next
        everything = list_datasets(session, Filter(sort=sort, limit=50)).datasets
    assert len(seen) == len(made)
    assert set(seen) == made
    assert seen == [dataset.id for dataset in everything]


def test_the_list_counts_models_and_states(any_database: Database) -> None:
    first, second = factories.dataset(any_database), factories.dataset(any_database, status=Status.RUNNING)
    for _ in range(3):
        factories.model(any_database, dataset_id=first.id)
    with any_database.read() as session:
        page = list_datasets(session, Filter())
        assert page.model_counts == {first.id: 3, second.id: 0}
        assert count_datasets(session) == {"done": 1, "running": 1, "all": 2}
        found = list_datasets(session, Filter(text="PETS_28")).datasets  # no wildcard
        assert found == []


def test_delete_waits_for_models_and_builds_to_be_gone(
    any_database: Database, any_settings: Settings, user: User
) -> None:
    storage = Storage(any_settings.home.resolve())
    needed = factories.dataset(any_database, user_id=user.id)
    model = factories.model(any_database, dataset_id=needed.id, name="LeNet")
    with pytest.raises(DatasetInUse, match="1 model needs it") as caught:
        delete_dataset(any_database, storage, user, needed.id)
    assert [(one.id, one.name, one.status) for one in caught.value.models] == [(model.id, "LeNet", "done")]
    running = factories.dataset(any_database, user_id=user.id, status=Status.RUNNING)
    with pytest.raises(DatasetInUse, match="being built"):
        delete_dataset(any_database, storage, user, running.id)
    queued = factories.dataset(any_database, user_id=user.id, status=Status.QUEUED)
    delete_dataset(any_database, storage, user, queued.id)
    assert rows(any_database, Dataset) == 2


def test_every_upload_of_a_dataset_is_needed_until_it_is_built(
    any_database: Database, queue: Queue, storage: Storage, user: User
) -> None:
    first, second, third = (factories.upload(any_database) for _ in range(3))
    wanted = form(
        first, more=[{"upload_id": second.id}], test={"upload_id": third.id}, train_percent=90, val_percent=10
    )
    dataset_id = create_dataset(any_database, queue, storage, user, wanted)
    for upload in (first, second, third):
        with pytest.raises(ApiError, match="“pets” still needs this upload"):
            delete_upload(any_database, storage, upload.id)
    stop_dataset(any_database, user, dataset_id)
    delete_upload(any_database, storage, second.id)
    with any_database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        assert (list(dataset.uploads), dataset.made_of.upload_ids) == (
            [first.id, third.id],
            [first.id, second.id, third.id],
        )
        assert "“pets”" in dataset.missing_uploads
    delete_dataset(any_database, storage, user, dataset_id)
    assert (rows(any_database, Dataset), rows(any_database, Upload), rows(any_database, SourceUpload)) == (0, 2, 0)


def test_a_stopped_build_fails_the_models_that_wait_for_it(any_database: Database, user: User) -> None:
    dataset = factories.dataset(any_database, user_id=user.id, status=Status.QUEUED, name="pets")
    model = factories.model(any_database, dataset_id=dataset.id, status=Status.QUEUED)
    with any_database.write() as session:
        session.get_one(Job, model.job_id).waits_for_id = dataset.job_id
    assert stop_dataset(any_database, user, dataset.id)
    with any_database.read() as session:
        job = session.get_one(Job, model.job_id)
        assert (job.status, "stopped" in str(job.error)) == ("failed", True)


def test_renaming_keeps_what_is_not_said(any_database: Database, user: User) -> None:
    dataset = factories.dataset(any_database, user_id=user.id, description="old")
    change_dataset(any_database, user, dataset.id, DatasetChanges(name="new"))
    with any_database.read() as session:
        changed = session.get_one(Dataset, dataset.id)
        assert (changed.name, changed.job.title, changed.description) == ("new", "new", "old")


def test_versions_are_found_by_what_they_were_made_from(any_database: Database) -> None:
    parent, other = (factories.dataset(any_database) for _ in range(2))
    made = [factories.dataset(any_database, options={"parent_id": parent.id}).id for _ in range(2)]
    with any_database.read() as session:
        assert [version.id for version in versions_of(session, parent.id)] == made[::-1]
        assert versions_of(session, other.id) == []
