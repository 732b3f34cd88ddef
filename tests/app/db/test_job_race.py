"""Many workers at one table: every job is done once, none is lost, and a worker that dies takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.pool import Pool

from sqlalchemy import text

from app.db import Database, Job, JobKind, Lane, Status
from app.db.base import now
from app.settings import Settings
from tests import factories

JOBS = 200
PROCESSES, THREADS = 4, 2


def work_until_empty(url: str, name: str) -> list[tuple[int, int]]:
    """What one worker thread claimed and finished: (job, attempt)."""
    database, done = Database(url), []
    while True:
        with database.write() as session:
            job = Job.claim_next(session, Lane.TRAIN, name, lease_s=30)
        if job is None:
            return done
        with database.write() as session:
            if Job.finish(session, job.id, job.attempt):
                done.append((job.id, job.attempt))


def work_in_threads(url: str) -> list[tuple[int, int]]:
    with ThreadPoolExecutor(THREADS) as pool:
        runs = [pool.submit(work_until_empty, url, f"train@race:{os.getpid()}:{thread}") for thread in range(THREADS)]
        return [entry for run in runs for entry in run.result()]


def workers(count: int) -> Pool:
    return multiprocessing.get_context("spawn").Pool(count)


def add_jobs(database: Database, count: int) -> None:
    with database.write() as session:
        session.add_all([Job.of(JobKind.TRAIN, title=f"job {number}", user_id=None) for number in range(count)])


def test_eight_workers_do_every_job_once(any_settings: Settings, any_database: Database) -> None:
    add_jobs(any_database, JOBS)
    with workers(PROCESSES) as pool:
        shares = pool.map(work_in_threads, [any_settings.resolved_database_url] * PROCESSES)

    done = Counter(job_id for share in shares for job_id, _ in share)
    assert len(done) == JOBS
    assert set(done.values()) == {1}
    with any_database.read() as session:
        jobs = session.query(Job).all()
    assert Counter((job.status, job.attempt) for job in jobs) == {(Status.DONE, 1): JOBS}


def test_a_claim_does_not_wait_for_another_workers_claim(postgres_database: Database) -> None:
    """On PostgreSQL two open claims take two jobs; SQLite has one writer at a time anyway."""
    first, second = factories.job(postgres_database), factories.job(postgres_database)
    with postgres_database.write() as one, postgres_database.write() as other:
        other.execute(text("SET LOCAL lock_timeout = '2s'"))
        claimed = [Job.claim_next(session, Lane.TRAIN, "w", lease_s=30) for session in (one, other)]
        assert [job.id if job else None for job in claimed] == [first.id, second.id]
        assert Job.claim_next(other, Lane.TRAIN, "w", lease_s=30) is None


def work_and_die(url: str, seed: int) -> None:
    """A worker that is killed after some jobs, with the last one claimed, and in every other case half finished."""
    dice = random.Random(seed)
    database = Database(url)
    for left in reversed(range(dice.randrange(5, 25))):
        with database.write() as session:
            Job.reconcile(session, Lane.TRAIN)
            job = Job.claim_next(session, Lane.TRAIN, f"train@race:{os.getpid()}:0", lease_s=20)
        if left == 0 and seed % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if job is None:
            continue
        time.sleep(dice.uniform(0, 0.01))
        with database.write() as session:
            Job.finish(session, job.id, job.attempt)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def test_killed_workers_lose_and_double_nothing(any_settings: Settings, any_database: Database) -> None:
    add_jobs(any_database, JOBS)
    url = any_settings.resolved_database_url
    context = multiprocessing.get_context("spawn")
    generation = [context.Process(target=work_and_die, args=(url, seed)) for seed in range(4)]
    for process in generation:
        process.start()
    for process in generation:
        process.join()
    assert {process.exitcode for process in generation} == {-signal.SIGKILL}

    with any_database.write() as session:
        for job in session.query(Job).filter(Job.status == Status.RUNNING):
            job.lease_until = now() - timedelta(seconds=1)
    with any_database.write() as session:
        Job.reconcile(session)
    work_until_empty(url, "train@race:survivor:0")

    with any_database.read() as session:
        jobs = session.query(Job).all()
    assert {job.status for job in jobs} == {Status.DONE}
    assert all(job.attempt == job.lost_attempts + 1 for job in jobs)
    assert sum(job.lost_attempts for job in jobs) == len(generation)
    if any_database.is_sqlite:
        with any_database.read() as session:
            assert session.scalar(text("PRAGMA integrity_check")) == "ok"
