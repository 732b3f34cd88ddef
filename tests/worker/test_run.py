from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.db import Database, Job, JobKind, Lane, Status
from app.settings import Settings
from app.storage import Storage
from tests import factories
from tests.server import wait_until
from worker.lease import Lease
from worker.outcome import Outcome, Refusal
from worker.run import do, reason_for, run_of

ROOT = Path(__file__).parents[2]


class OutOfMemoryError(RuntimeError):
    """Named as torch's, which is not imported here."""


def claimed(database: Database) -> Job:
    factories.job(database)
    with database.write() as session:
        job = Job.claim_next(session, Lane.TRAIN, "train@here:1:1", 30)
    assert job is not None
    return job


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Refusal("conv2: kernel_size 11 exceeds its input 8×8 (line 42)"), "conv2: kernel_size 11"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (MemoryError(), "smaller batch size"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller batch size"),
        (KeyError("data"), "Unexpected error: KeyError: 'data'"),
        (RuntimeError("no such column\n[SQL: SELECT 1]"), "RuntimeError: no such column. The log has the details."),
    ],
)
def test_a_reason_is_in_plain_words(error: Exception, words: str) -> None:
    assert words in reason_for(error)


@pytest.mark.parametrize("kind", [kind for kind in JobKind if kind is not JobKind.EVALUATE])
def test_every_kind_that_can_be_queued_has_its_work(kind: JobKind) -> None:
    assert callable(run_of(kind))


def ended(
    database: Database,
    settings: Settings,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    work: object,
    **flags: bool,
) -> Job:
    """The job's row after a run that did `work`, with the lease in the given state."""
    job = claimed(database)
    lease = Lease(database, job.id, job.attempt, lease_s=30, heartbeat_s=5)
    for name, value in flags.items():
        setattr(lease, name, value)
    monkeypatch.setattr("worker.run.run_of", lambda kind: work)
    do(settings, database, storage, lease, JobKind.TRAIN)
    with database.read() as session:
        return session.get_one(Job, job.id)


@pytest.mark.parametrize(
    ("outcome", "flags", "status"),
    [
        (Outcome.DONE, {}, Status.DONE),
        (Outcome.STOPPED, {"stop_requested": True}, Status.STOPPED),
        (Outcome.STOPPED, {"closing": True}, Status.QUEUED),
        (Outcome.STOPPED, {"closing": True, "stop_requested": True}, Status.STOPPED),
        (Outcome.DONE, {"closing": True}, Status.DONE),
    ],
)
def test_the_end_of_a_run_is_on_its_row(
    database: Database,
    settings: Settings,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
    flags: dict[str, bool],
    status: Status,
) -> None:
    row = ended(database, settings, storage, monkeypatch, lambda *_: outcome, **flags)
    assert (row.status, row.lost_attempts, row.error) == (status, 0, None)


def test_a_fault_is_a_reason_on_the_row(
    database: Database, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> Outcome:
        raise Refusal("Every image of 犬 is broken.")

    row = ended(database, settings, storage, monkeypatch, work)
    assert (row.status, row.error) == (Status.FAILED, "Every image of 犬 is broken.")


def run(settings: Settings, job: Job, attempt: int, parent: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"TRAINYARD_HOME": str(settings.home), "TRAINYARD_NICE": "0"}
    command = [sys.executable, "-m", "worker.run", str(job.id), str(attempt), str(parent)]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_run_of_another_attempt_does_nothing(
    settings: Settings, database: Database, storage: Storage, attempt: int
) -> None:
    job = claimed(database)
    assert run(settings, job, attempt, os.getpid()).wait(timeout=60) == 0
    with database.read() as session:
        assert session.get_one(Job, job.id).status == Status.RUNNING


def test_a_run_whose_worker_has_gone_does_not_start(settings: Settings, database: Database, storage: Storage) -> None:
    job = claimed(database)
    assert run(settings, job, 1, 1).wait(timeout=60) == 1


def test_a_run_without_a_model_says_so_and_goes(settings: Settings, database: Database, storage: Storage) -> None:
    job = claimed(database)  # a training that no model belongs to
    assert run(settings, job, 1, os.getpid()).wait(timeout=120) == 0
    with database.read() as session:
        row = session.get_one(Job, job.id)
    assert row.status == Status.FAILED
    assert "Unexpected error" in str(row.error)
    assert "Traceback" in (storage.logs / f"job-{job.id}.txt").read_text()


def test_a_run_dies_with_its_worker(settings: Settings, database: Database, storage: Storage) -> None:
    """The worker is a shell in the middle; the run waits for a database whose write lock we hold."""
    job = claimed(database)
    environment = os.environ | {"TRAINYARD_HOME": str(settings.home), "TRAINYARD_NICE": "0"}
    starter = (
        "import os, subprocess, sys, time\n"
        f"run = subprocess.Popen([sys.executable, '-m', 'worker.run', '{job.id}', '1', str(os.getpid())])\n"
        "print(run.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with database.write() as session:
        session.get_one(Job, job.id, with_for_update=True)
        worker = subprocess.Popen(
            [sys.executable, "-c", starter], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        wait_until((storage.logs / f"job-{job.id}.txt").exists, "the run to begin", 60)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the run to die", 20)
    with database.read() as session:
        assert session.get_one(Job, job.id).status == Status.RUNNING  # it could say nothing any more
