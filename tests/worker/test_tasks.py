"""A lane's worker on real rows, with real runs: who claims what, how a run's end is told, what happens to the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.db import Database, Job, JobKind, Lane, Status, Worker
from app.db.base import now
from app.settings import Settings
from app.storage import Storage
from tests import factories
from tests.app.test_queue import waiting
from worker.tasks import LaneWorker, cause_of, is_dead_here, owner_name


@pytest.fixture
def worker(settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[LaneWorker]:
    monkeypatch.setenv("TRAINYARD_HOME", str(settings.home))  # what its runs read
    worker = LaneWorker(replace(settings, nice=0), Lane.DATA)
    yield worker
    worker.close()
    worker.database.close()


def look(database: Database, job: Job) -> Job:
    with database.read() as session:
        return session.get_one(Job, job.id)


def test_work_does_all_jobs_of_its_lane_and_leaves_the_others(
    worker: LaneWorker, database: Database, storage: Storage
) -> None:
    """Both builds fail for want of a real archive: that their reason is on the row shows that they were run."""
    builds = [factories.dataset(database, status=Status.QUEUED).job_id for _ in range(2)]
    train = factories.job(database, JobKind.TRAIN)

    worker.work()

    for build in builds:
        with database.read() as session:
            row = session.get_one(Job, build)
        assert (row.status, row.attempt) == (Status.FAILED, 1)
        assert row.error
        assert (storage.logs / f"job-{build}.txt").stat().st_size > 0
    assert look(database, train).status == Status.QUEUED


def test_a_closing_worker_claims_nothing(worker: LaneWorker, database: Database) -> None:
    build = factories.job(database, JobKind.BUILD_DATASET)
    worker.closing.set()
    worker.work()
    assert look(database, build).status == Status.QUEUED


def claimed(database: Database, worker: LaneWorker, **values: object) -> Job:
    factories.job(database, JobKind.BUILD_DATASET, **values)
    with database.write() as session:
        job = Job.claim_next(session, Lane.DATA, worker.name, 30)
    assert job is not None
    return job


def process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def test_a_killed_run_is_queued_again_with_the_cause_in_the_end(worker: LaneWorker, database: Database) -> None:
    job = claimed(database, worker)
    for attempt in (1, 2, 3):
        worker._watch(look(database, job), process("import os; os.kill(os.getpid(), 9)"))
        assert look(database, job).lost_attempts == attempt
        with database.write() as session:
            Job.claim_next(session, Lane.DATA, worker.name, 30)
    row = look(database, job)
    assert row.status == Status.FAILED
    assert row.error == (
        "Given up after 3 attempts: its process was killed (signal 9); the machine may have run out of memory"
    )


def test_a_run_that_ends_without_a_word_is_lost(worker: LaneWorker, database: Database) -> None:
    job = claimed(database, worker)
    worker._watch(job, process("raise SystemExit(0)"))
    assert (look(database, job).status, look(database, job).lost_attempts) == (Status.QUEUED, 1)


def test_a_run_that_was_fenced_changes_nothing(worker: LaneWorker, database: Database) -> None:
    job = claimed(database, worker)
    worker._watch(job, process("raise SystemExit(75)"))
    assert look(database, job).status == Status.RUNNING


def test_a_run_that_dies_while_its_worker_leaves_is_given_back_at_no_cost(
    worker: LaneWorker, database: Database
) -> None:
    job = claimed(database, worker)
    worker.closing.set()
    worker._watch(job, process("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"))
    assert (look(database, job).status, look(database, job).lost_attempts) == (Status.QUEUED, 0)


def test_a_run_whose_job_was_taken_over_is_ended(
    worker: LaneWorker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.tasks.RECONCILE_EVERY_S", 0.2)
    job = claimed(database, worker)
    with database.write() as session:
        Job.lose(session, job.id, 1, "silence")
        Job.claim_next(session, Lane.DATA, "data@elsewhere:1:1", 30)
    run = process("import time; time.sleep(600)")
    worker._watch(job, run)
    assert run.returncode == -signal.SIGKILL
    row = look(database, job)
    assert (row.status, row.attempt, row.owner) == (Status.RUNNING, 2, "data@elsewhere:1:1")


def test_reconcile_signs_for_the_worker(worker: LaneWorker, database: Database) -> None:
    worker.reconcile()
    worker.reconcile()
    with database.read() as session:
        (row,) = Worker.alive(session)
    assert (row.name, row.lane, row.slots, row.busy) == (worker.name, Lane.DATA, 1, 0)
    worker.sign_off()
    with database.read() as session:
        assert Worker.alive(session) == []


def test_reconcile_takes_jobs_from_owners_that_are_dead(worker: LaneWorker, database: Database) -> None:
    dead = process("pass")
    dead.wait()
    owner = f"data@{worker.host}:{dead.pid}:1"
    of_the_dead = factories.job(
        database, JobKind.BUILD_DATASET, Status.RUNNING, attempt=1, owner=owner, lease_until=now() + timedelta(days=1)
    )
    elsewhere = factories.job(
        database, JobKind.BUILD_DATASET, Status.RUNNING, attempt=1, owner="data@elsewhere:1:1",
        lease_until=now() + timedelta(days=1),
    )  # fmt: skip
    worker.reconcile()
    assert look(database, of_the_dead).status == Status.QUEUED
    assert look(database, elsewhere).status == Status.RUNNING


def test_reconcile_sends_what_was_never_sent(worker: LaneWorker, database: Database, settings: Settings) -> None:
    job = factories.job(database, JobKind.BUILD_DATASET)
    worker.reconcile()
    assert [arguments for _, arguments in waiting(settings, "data")] == [[job.id]]
    worker.reconcile()
    assert waiting(settings, "data") == []


def test_a_busy_worker_wakes_nobody(worker: LaneWorker, database: Database, settings: Settings) -> None:
    factories.job(database, JobKind.BUILD_DATASET)
    worker._busy = worker.slots
    worker.reconcile()
    assert waiting(settings, "data") == []


def test_an_owner_is_known_by_host_pid_and_start() -> None:
    name = owner_name(Lane.TRAIN, "host-1", os.getpid())
    assert not is_dead_here(name, "host-1")
    assert not is_dead_here(name, "host-2")
    host_and_pid, _, started = name.rpartition(":")
    assert is_dead_here(f"{host_and_pid}:{int(started) - 60}", "host-1")  # the pid was given to somebody else
    assert not is_dead_here("", "host-1")
    assert not is_dead_here("train@host-1", "host-1")


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "out of memory"), (-11, "SIGSEGV"), (1, "code 1 before its work was done")]
)
def test_the_cause_is_said_in_words(code: int, words: str) -> None:
    assert words in cause_of(code)


def test_the_train_lane_has_as_many_slots_as_told(settings: Settings, storage: Storage) -> None:
    assert LaneWorker(replace(settings, train_slots=3), Lane.TRAIN).slots == 3
    assert LaneWorker(settings, Lane.PREDICT).slots == 1


def test_a_run_on_the_cpu_sees_no_gpu(worker: LaneWorker, database: Database, tmp_path: Path) -> None:
    """Another training holds the GPU, or there is none: torch must not take one that was not given to it."""
    from worker.devices import CPU

    job = claimed(database, worker)
    run = worker._start(job, CPU)
    environment = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{run.pid}/environ").read_text().split("\0") if "=" in entry
    )
    run.kill()
    run.wait()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
