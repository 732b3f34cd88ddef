from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.db import Database, Job, Lane
from app.settings import Settings
from tests import factories
from tests.server import wait_until
from worker import lease as lease_module
from worker.lease import EXIT_FENCED, Lease

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LOOK_EVERY_S", 0.1)


def claimed(database: Database) -> Job:
    factories.job(database)
    with database.write() as session:
        job = Job.claim_next(session, Lane.TRAIN, "train@here:1:1", 3.0)
    assert job is not None
    return job


def held(database: Database, job: Job) -> Lease:
    return Lease(database, job.id, job.attempt, lease_s=3.0, heartbeat_s=0.3)


def test_a_held_lease_outlives_its_length(any_database: Database) -> None:
    job = claimed(any_database)
    with held(any_database, job):
        time.sleep(4.0)
        with any_database.write() as session:
            assert Job.reconcile(session) == []
    time.sleep(3.2)
    with any_database.write() as session:
        assert Job.reconcile(session) == [job.id]


def test_a_stop_request_arrives_between_heartbeats(database: Database) -> None:
    job = claimed(database)
    lease = Lease(database, job.id, job.attempt, lease_s=60, heartbeat_s=30)
    with lease:
        time.sleep(0.5)  # the first beat is over, the next is half a minute away
        assert not lease.should_stop
        with database.write() as session:
            Job.request_stop(session, job.id)
        wait_until(lambda: lease.stop_requested, "the stop request", 20)
    assert not lease.closing


def test_a_stop_request_for_another_attempt_is_not_ours(database: Database) -> None:
    job = claimed(database)
    lease = Lease(database, job.id, job.attempt + 1, lease_s=60, heartbeat_s=30)
    with database.write() as session:
        Job.request_stop(session, job.id)
    lease._look()
    assert not lease.should_stop


def test_a_run_that_ends_its_job_itself_is_not_taken_for_lost(database: Database) -> None:
    """The beat that comes between the end of the job and the end of the run finds the row no longer running."""
    job = claimed(database)
    with held(database, job) as lease:
        with database.write() as session:
            assert Job.finish(session, job.id, job.attempt)
        time.sleep(1.0)  # several beats; taking this for a loss would end the whole test run
    assert not lease._thread.is_alive()


LOSER = """
import sys, time
from app.db import Database
from worker import lease
lease.LOOK_EVERY_S = lease.ENDING_S = 0.1
url, job, attempt = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with lease.Lease(Database(url), job, attempt, lease_s=1.0, heartbeat_s=0.2):
    print("holding", flush=True)
    time.sleep(60)
    print("still here")
"""


def test_a_run_whose_job_was_taken_over_leaves_at_once(settings: Settings, database: Database) -> None:
    job = claimed(database)
    run = subprocess.Popen(
        [sys.executable, "-c", LOSER, settings.resolved_database_url, str(job.id), "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "holding\n"
    with database.write() as session:
        Job.lose(session, job.id, 1, "silence")
        Job.claim_next(session, Lane.TRAIN, "train@elsewhere:1:1", 30)
    assert run.wait(timeout=30) == EXIT_FENCED
    assert run.stdout.read() == ""
