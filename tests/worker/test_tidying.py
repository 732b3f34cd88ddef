"""First batches are thrown away after an hour, arrays of layers after some days, by one or several workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from app.db import Database, Dataset, FirstBatch, Job, JobKind, Prediction, Status
from app.db.base import now
from app.storage import Storage
from tests import factories
from tests.app.predicted import Predicted, model_with_snapshots, predicted
from worker.tidying import forget_arrays, forget_outdated


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


def old(found: Predicted, database: Database, days: float) -> Predicted:
    with database.write() as session:
        session.get_one(Prediction, found.prediction.id).arrays_made_at = now() - timedelta(days=days)
    return found


def test_arrays_of_layers_go_after_so_many_days_and_nothing_else(any_database: Database, storage: Storage) -> None:
    model = model_with_snapshots(any_database, storage)
    aged, fresh = (old(predicted(any_database, storage, model=model), any_database, days) for days in (31, 29))
    forget_arrays(any_database, storage, days=30)
    assert sorted(path.name for path in aged.folder.iterdir()) == ["image", "input.png"]
    assert len(list((fresh.folder / "activations").iterdir())) == len(fresh.prediction.layers)
    with any_database.read() as session:
        row = session.get_one(Prediction, aged.prediction.id)
        assert (row.has_arrays, row.arrays_bytes) == (False, None)
        assert (row.top, row.layers) == (aged.prediction.top, aged.prediction.layers)
        assert session.get_one(Prediction, fresh.prediction.id).has_arrays


def test_arrays_are_kept_for_ever_if_that_is_wanted(database: Database, storage: Storage) -> None:
    found = old(predicted(database, storage), database, 10_000)
    forget_arrays(database, storage, days=0)
    assert (found.folder / "activations").exists()


def test_arrays_that_are_gone_already_are_noted(database: Database, storage: Storage) -> None:
    found = old(predicted(database, storage), database, 31)
    storage.delete(found.folder / "activations")
    forget_arrays(database, storage, days=30)
    with database.read() as session:
        assert not session.get_one(Prediction, found.prediction.id).has_arrays


def test_several_workers_delete_arrays_side_by_side(any_database: Database, storage: Storage) -> None:
    model = model_with_snapshots(any_database, storage)
    all_of_them = [old(predicted(any_database, storage, model=model), any_database, 31) for _ in range(9)]
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: forget_arrays(any_database, storage, 30), range(8)):
            pass
    assert not any((found.folder / "activations").exists() for found in all_of_them)
