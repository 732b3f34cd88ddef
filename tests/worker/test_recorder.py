from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from app.db import Database, Job, Lane, Metric, Model, Snapshot, Status
from app.storage import Storage
from tests import factories
from tests.server import wait_until
from worker.engine.spec import RunInfo, SnapshotInfo
from worker.lease import Lease
from worker.recorder import Fenced, Recorder

INFO = RunInfo(iterations_per_epoch=100, max_iter=200, device="cpu", precision="float32", parameters=431_080,
               resumed_iteration=0)  # fmt: skip


@pytest.fixture
def model(any_database: Database) -> Model:
    model: Model = factories.model(any_database, status=Status.QUEUED)
    with any_database.write() as session:
        assert Job.claim_next(session, Lane.TRAIN, "train@here:1:1", 30) is not None
    return model


@pytest.fixture
def recorder(any_database: Database, storage: Storage, model: Model) -> Recorder:
    lease = Lease(any_database, model.job_id, 1, lease_s=30, heartbeat_s=5)
    return Recorder(any_database, storage, model.id, lease, epochs=2)


def points(database: Database, model: Model) -> list[tuple[int, str, float]]:
    with database.read() as session:
        return [(row.iteration, row.name, row.value) for row in Metric.since(session, model.id, 0)]


def job_of(database: Database, model: Model) -> Job:
    with database.read() as session:
        return session.get_one(Job, model.job_id)


def test_metrics_become_rows_in_their_order(any_database: Database, recorder: Recorder, model: Model) -> None:
    with recorder:
        recorder.on_start(INFO)
        for iteration in range(1, 51):
            recorder.on_metrics(iteration, iteration / 100, {"train/loss": 1 / iteration, "learning_rate": 0.01})
    expected = [
        (i, name, value) for i in range(1, 51) for name, value in (("train/loss", 1 / i), ("learning_rate", 0.01))
    ]
    assert points(any_database, model) == expected


def test_metrics_are_in_the_database_within_a_second(any_database: Database, recorder: Recorder, model: Model) -> None:
    with recorder:
        recorder.on_start(INFO)
        recorder.on_metrics(1, 0.01, {"train/loss": 2.3})
        wait_until(lambda: points(any_database, model), "the point", 5)


def test_a_number_that_is_none_is_left_out(any_database: Database, recorder: Recorder, model: Model) -> None:
    with recorder:
        recorder.on_metrics(1, 0.01, {"train/loss": float("nan"), "val/loss": float("inf"), "learning_rate": 0.01})
    assert points(any_database, model) == [(1, "learning_rate", 0.01)]


def test_the_start_is_on_the_model_and_progress_on_the_job(
    any_database: Database, recorder: Recorder, model: Model
) -> None:
    with recorder:
        recorder.on_start(INFO)
        recorder.on_progress(50, 0.5, 8123.456)
        recorder.on_phase("validating")
    with any_database.read() as session:
        row = session.get_one(Model, model.id)
    assert row.parameters == 431_080
    assert row.run_info["device"] == "cpu"
    assert row.run_info["max_iter"] == 200
    job = job_of(any_database, model)
    assert job.progress_percent == 25.0
    assert job.detail["epoch"] == 0.5
    assert job.detail["images_per_s"] == 8123.5
    assert job.detail["phase"] == "validating"


def test_the_time_left_follows_the_pace_of_this_attempt(
    any_database: Database, recorder: Recorder, model: Model
) -> None:
    """A run that resumed at 100 of 200 and did 10 in a second has 90 to go: nine seconds, not one."""
    recorder.on_start(replace(INFO, resumed_iteration=100))
    assert recorder._eta_s() is None
    assert recorder._pace is not None
    recorder._pace = (time.monotonic() - 1.0, 100)
    recorder.on_progress(110, 1.1, 640)
    assert recorder._eta_s() == pytest.approx(9.0, rel=0.05)


def info(storage: Storage, model: Model, iteration: int, **metrics: float) -> SnapshotInfo:
    folder = storage.snapshots_dir(model.id) / f"epoch-{iteration // 100:04d}"
    return SnapshotInfo(iteration / 100, iteration, folder, 1_700_000, metrics)


def test_a_snapshot_is_a_row_at_once_with_the_metrics_before_it(
    any_database: Database, storage: Storage, recorder: Recorder, model: Model
) -> None:
    recorder.on_metrics(100, 1.0, {"val/loss": 0.2})
    recorder.on_snapshot(info(storage, model, 100, **{"val/loss": 0.2}))
    assert points(any_database, model) == [(100, "val/loss", 0.2)]
    with any_database.read() as session:
        (row,) = Snapshot.of_model(session, model.id)
    assert (row.epoch, row.iteration, row.attempt, row.metrics) == (1.0, 100, 1, {"val/loss": 0.2})
    assert row.path == f"models/{model.id}/snapshots/epoch-0001"


def test_a_snapshot_that_is_written_again_stays_one_row(
    any_database: Database, storage: Storage, recorder: Recorder, model: Model
) -> None:
    recorder.on_snapshot(info(storage, model, 100, **{"val/loss": 0.2}))
    recorder.on_snapshot(info(storage, model, 100, **{"val/loss": 0.1}))
    with any_database.read() as session:
        (row,) = Snapshot.of_model(session, model.id)
    assert row.metrics == {"val/loss": 0.1}


def test_a_resumed_run_forgets_what_lies_after_its_snapshot(
    any_database: Database, recorder: Recorder, model: Model
) -> None:
    for iteration in (50, 100, 150):
        factories.metric(any_database, model, "train/loss", 0.5, iteration=iteration)
    recorder.on_start(replace(INFO, resumed_iteration=100))
    assert [iteration for iteration, _, _ in points(any_database, model)] == [50, 100]


def test_a_fenced_attempt_leaves_no_trace(
    any_database: Database, storage: Storage, recorder: Recorder, model: Model
) -> None:
    with any_database.write() as session:
        Job.lose(session, model.job_id, 1, "silence")
        Job.claim_next(session, Lane.TRAIN, "train@elsewhere:1:1", 30)
    before = job_of(any_database, model).changed_at
    recorder.on_metrics(1, 0.01, {"train/loss": 2.3})
    with pytest.raises(Fenced):
        recorder.flush()
    with pytest.raises(Fenced):
        recorder.on_snapshot(info(storage, model, 100))
    with pytest.raises(Fenced):
        recorder.on_start(INFO)
    assert points(any_database, model) == []
    assert job_of(any_database, model).changed_at == before
    with any_database.read() as session:
        assert Snapshot.of_model(session, model.id) == []


def test_metrics_wait_for_a_database_that_is_busy(database: Database, storage: Storage, tmp_path: Path) -> None:
    """Somebody holds SQLite's write lock; the loop goes on meanwhile, and nothing is lost."""
    model = factories.model(database, status=Status.QUEUED)
    with database.write() as session:
        Job.claim_next(session, Lane.TRAIN, "train@here:1:1", 30)
    recorder = Recorder(database, storage, model.id, Lease(database, model.job_id, 1, lease_s=30, heartbeat_s=5), 2)
    release = threading.Event()

    def hold() -> None:
        with database.write() as session:
            session.execute(text("DELETE FROM sign_in_attempts"))
            release.wait(20)

    holder = threading.Thread(target=hold)
    with recorder:
        holder.start()
        for iteration in range(1, 101):
            recorder.on_metrics(iteration, 0.1, {"train/loss": 1.0})
            recorder.on_progress(iteration, 0.1, 1.0)
            time.sleep(0.01)
        was_locked_all_the_time = holder.is_alive()
        release.set()
        holder.join()
    assert was_locked_all_the_time
    assert [iteration for iteration, _, _ in points(database, model)] == list(range(1, 101))


def test_a_stop_or_a_closing_worker_both_stop_the_loop(recorder: Recorder) -> None:
    assert not recorder.should_stop()
    recorder.lease.closing = True
    assert recorder.should_stop()
    recorder.lease.closing, recorder.lease.stop_requested = False, True
    assert recorder.should_stop()
