"""Lists that sort and page, and what can be done to a model: stop, go on, change, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.db import Database, Job, Metric, Model, Prediction, Snapshot, Status, Sweep, User
from app.models import models
from app.models.models import Filter, ModelBusy
from app.queue import Queue
from app.schemas.models import ModelChanges
from app.storage import Storage
from app.web import NotAllowed, PageNotFound
from tests import factories


@pytest.fixture
def user(database: Database) -> User:
    return factories.user(database)


@pytest.fixture
def queue(app: FastAPI) -> Queue:
    queue: Queue = app.state.queue
    return queue


def pages(database: Database, **wanted: Any) -> list[str]:
    """The names of all models, read two at a time as somebody who presses Next."""
    names: list[str] = []
    after = None
    while True:
        with database.read() as session:
            page = models.list_models(session, Filter(**wanted, limit=2, after=after))
            names += [model.name for model in page.models]
        if page.next is None:
            return names
        after = int(page.next)


def make(database: Database, names: Sequence[str], **columns: Sequence[Any]) -> None:
    dataset_id = factories.dataset(database).id
    for place, name in enumerate(names):
        values = {column: given[place] for column, given in columns.items()}
        factories.model(database, name=name, dataset_id=dataset_id, **values)


def test_the_newest_model_comes_first(database: Database) -> None:
    make(database, ["a", "b", "c", "d", "e"])
    assert pages(database) == ["e", "d", "c", "b", "a"]
    assert pages(database, sort="created") == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["a", "b", "c", "d", "e"]),
        ("-name", ["e", "d", "c", "b", "a"]),
        ("base_lr", ["b", "d", "a", "c", "e"]),
        ("-batch_size", ["e", "d", "c", "b", "a"]),
        ("-val", ["c", "e", "a", "d", "b"]),
        ("val", ["b", "d", "a", "e", "c"]),
        ("status", ["a", "c", "d", "b", "e"]),
    ],
)
def test_pages_follow_the_order_without_gap_or_double(database: Database, sort: str, expected: list[str]) -> None:
    make(
        database, ["a", "b", "c", "d", "e"], base_lr=[0.1, 0.001, 1.0, 0.01, 1.0], batch_size=[1, 2, 3, 4, 4],
        accuracy=[{"val": 0.9}, {}, {"val": 0.95}, {}, {"val": 0.9}],
        status=[Status.DONE, Status.RUNNING, Status.DONE, Status.FAILED, Status.STOPPED],
    )  # fmt: skip
    assert pages(database, sort=sort) == expected


def test_a_row_that_is_deleted_between_two_pages_stops_nobody(database: Database) -> None:
    make(database, ["a", "b", "c", "d"])
    with database.read() as session:
        found = models.list_models(session, Filter(limit=2))
    assert found.next is not None
    with database.write() as session:
        session.delete(session.get_one(Model, int(found.next)))
    with database.read() as session:
        following = models.list_models(session, Filter(limit=2, after=int(found.next)))
    assert [model.name for model in following.models] == ["b", "a"]


def test_the_list_is_filtered_by_name_status_and_dataset(database: Database) -> None:
    make(database, ["LeNet 100%", "LeNet 手", "AlexNet"], status=[Status.DONE, Status.RUNNING, Status.DONE])
    factories.model(database, name="elsewhere")
    with database.read() as session:
        dataset_id = session.scalars(select(Model.dataset_id).where(Model.name == "AlexNet")).one()
    assert pages(database, text="lenet") == ["LeNet 手", "LeNet 100%"]
    assert pages(database, text="100%") == ["LeNet 100%"]
    assert pages(database, text="手") == ["LeNet 手"]
    assert pages(database, status=Status.RUNNING) == ["LeNet 手"]
    assert pages(database, dataset_id=dataset_id, status=Status.DONE) == ["AlexNet", "LeNet 100%"]


def test_models_are_counted_by_status(database: Database) -> None:
    make(database, ["a", "b", "c"], status=[Status.DONE, Status.RUNNING, Status.DONE])
    with database.read() as session:
        assert models.count_models(session) == {"all": 3, "done": 2, "running": 1}


def test_stop_asks_a_running_model_and_ends_a_queued_one(database: Database, user: User) -> None:
    running = factories.model(database, status=Status.RUNNING, user_id=user.id)
    queued = factories.model(database, status=Status.QUEUED, user_id=user.id)
    done = factories.model(database, status=Status.DONE, user_id=user.id)
    assert [models.stop_model(database, user, model.id) for model in (running, queued, done)] == [True, True, False]
    with database.read() as session:
        assert session.get_one(Job, running.job_id).is_stopping
        assert session.get_one(Job, queued.job_id).status == Status.STOPPED


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FAILED])
def test_a_model_that_ended_early_goes_on(database: Database, queue: Queue, user: User, status: Status) -> None:
    model = factories.model(database, status=status, user_id=user.id)
    models.resume_model(database, queue, user, model.id)
    with database.read() as session:
        job = session.get_one(Job, model.job_id)
        assert (job.status, job.sent_at is not None) == (Status.QUEUED, True)


@pytest.mark.parametrize("status", [Status.DONE, Status.RUNNING, Status.QUEUED])
def test_only_a_model_that_ended_early_can_go_on(database: Database, queue: Queue, user: User, status: Status) -> None:
    model = factories.model(database, status=status, user_id=user.id)
    with pytest.raises(ModelBusy, match=str(status)):
        models.resume_model(database, queue, user, model.id)


def test_a_model_does_not_go_on_without_its_dataset(database: Database, queue: Queue, user: User) -> None:
    dataset = factories.dataset(database, status=Status.FAILED, name="broken")
    model = factories.model(database, status=Status.FAILED, user_id=user.id, dataset_id=dataset.id)
    with pytest.raises(ModelBusy, match="broken"):
        models.resume_model(database, queue, user, model.id)


def test_a_renamed_model_is_renamed_in_the_list_of_jobs_too(database: Database, user: User) -> None:
    model = factories.model(database, user_id=user.id)
    models.change_model(database, user, model.id, ModelChanges(name="新しい名前", notes="two\nlines"))
    with database.read() as session:
        changed = models.get_model(session, model.id)
        assert (changed.name, changed.notes, changed.job.title) == ("新しい名前", "two\nlines", "新しい名前")


def test_delete_leaves_nothing_of_a_model_and_all_of_the_others(
    database: Database, storage: Storage, user: User
) -> None:
    sweep = factories.sweep(database)
    model = factories.model(database, user_id=user.id, sweep_id=sweep.id)
    other = factories.model(database, user_id=user.id, sweep_id=sweep.id, dataset_id=model.dataset_id)
    for one in (model, other):
        factories.metric(database, one, "train/loss", 0.5)
        factories.prediction(database, factories.snapshot(database, one))
        storage.model_dir(one.id).mkdir(parents=True)
    jobs_before = _count(database, Job)
    models.delete_model(database, storage, user, model.id)
    assert not storage.model_dir(model.id).exists()
    assert storage.model_dir(other.id).exists()
    assert [_count(database, record) for record in (Model, Metric, Snapshot, Prediction, Sweep)] == [1, 1, 1, 1, 1]
    assert _count(database, Job) == jobs_before - 2
    models.delete_model(database, storage, user, other.id)
    assert _count(database, Sweep) == 0


def test_a_running_model_is_not_deleted_and_not_stopped_either(
    database: Database, storage: Storage, user: User
) -> None:
    model = factories.model(database, status=Status.RUNNING, user_id=user.id)
    with pytest.raises(ModelBusy, match="Stop it first"):
        models.delete_model(database, storage, user, model.id)
    with database.read() as session:
        assert not session.get_one(Job, model.job_id).stop_requested


def test_a_queued_model_is_deleted(database: Database, storage: Storage, user: User) -> None:
    model = factories.model(database, status=Status.QUEUED, user_id=user.id)
    models.delete_model(database, storage, user, model.id)
    assert _count(database, Model) == 0


def test_stopping_a_sweep_stops_what_has_not_ended(database: Database, user: User) -> None:
    sweep = factories.sweep(database, user_id=user.id)
    for status in (Status.RUNNING, Status.QUEUED, Status.DONE):
        factories.model(database, status=status, sweep_id=sweep.id)
    assert models.stop_sweep(database, user, sweep.id) == 2


def test_what_belongs_to_somebody_else_is_left_alone(
    database: Database, storage: Storage, queue: Queue, user: User
) -> None:
    owner = factories.user(database)
    sweep = factories.sweep(database, user_id=owner.id)
    model = factories.model(database, status=Status.STOPPED, user_id=owner.id, sweep_id=sweep.id)
    with pytest.raises(NotAllowed):
        models.stop_model(database, user, model.id)
    with pytest.raises(NotAllowed):
        models.resume_model(database, queue, user, model.id)
    with pytest.raises(NotAllowed):
        models.change_model(database, user, model.id, ModelChanges(name="mine"))
    with pytest.raises(NotAllowed):
        models.delete_model(database, storage, user, model.id)
    with pytest.raises(NotAllowed):
        models.stop_sweep(database, user, sweep.id)


def test_what_does_not_exist_is_not_found(database: Database) -> None:
    with database.read() as session, pytest.raises(PageNotFound):
        models.get_model(session, 1)
    with database.read() as session, pytest.raises(PageNotFound):
        models.get_sweep(session, 1)


def _count(database: Database, record: type) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(record)) or 0
