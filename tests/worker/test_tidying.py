"""First batches are thrown away after an hour, on SQLite and PostgreSQL, by one worker or by several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from app.db import Database, Dataset, FirstBatch, Job, JobKind, Status
from app.db.base import now
from app.storage import Storage
from tests import factories
from worker.tidying import forget_outdated


def first_batch(database: Database, storage: Storage, dataset: Dataset, status: Status, minutes: float) -> Path:
    """The folder of one that was asked for so long ago."""
    job = factories.job(database, JobKind.DRAW_BATCH, status)
    with database.write() as session:
        row = FirstBatch(dataset_id=dataset.id, job_id=job.id, key="k", settings={}, images=[],
                         created_at=now() - timedelta(minutes=minutes))  # fmt: skip
        session.add(row)
        session.flush()
        folder = storage.first_batch_dir(dataset.id, row.id)
    folder.mkdir(parents=True)
    (folder / "000.png").write_bytes(b"png")
    return folder


def counts(database: Database) -> tuple[int, int]:
    with database.read() as session:
        jobs = select(func.count()).select_from(Job).where(Job.kind == JobKind.DRAW_BATCH)
        return session.scalar(select(func.count()).select_from(FirstBatch)) or 0, session.scalar(jobs) or 0


def test_only_old_ones_that_have_ended_are_forgotten(any_database: Database, storage: Storage) -> None:
    dataset = factories.dataset(any_database)
    wanted = [(Status.DONE, 61), (Status.FAILED, 99), (Status.DONE, 59), (Status.QUEUED, 99), (Status.RUNNING, 99)]
    folders = [first_batch(any_database, storage, dataset, *each) for each in wanted]
    forget_outdated(any_database, storage)
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]
    assert counts(any_database) == (3, 3)


def test_several_workers_do_not_stumble_over_each_other(any_database: Database, storage: Storage) -> None:
    dataset = factories.dataset(any_database)
    folders = [first_batch(any_database, storage, dataset, Status.DONE, 61) for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: forget_outdated(any_database, storage), range(8)):
            pass
    assert counts(any_database) == (0, 0)
    assert not any(folder.exists() for folder in folders)
