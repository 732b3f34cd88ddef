"""A job's whole life in random order, against a model of it that is small enough to be seen to be right."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import delete

from app.db import Database, Job, JobKind, Lane, Record, Status
from app.db.base import now
from app.db.job import MAX_LOST_ATTEMPTS


@dataclass
class Expected:
    status: Status = Status.QUEUED
    attempt: int = 0
    lost: int = 0
    stop: bool = False
    lapsed: bool = False
    waits_for: int | None = None
    line: int = 0  # place in the queue
    history: list[Status] = field(default_factory=list)


MAY_FOLLOW = {
    Status.QUEUED: {Status.RUNNING, Status.STOPPED, Status.FAILED},
    Status.RUNNING: {Status.DONE, Status.FAILED, Status.STOPPED, Status.QUEUED},
    Status.FAILED: {Status.QUEUED},
    Status.STOPPED: {Status.QUEUED},
    Status.DONE: set(),
}


class JobLife(RuleBasedStateMachine):
    """Verbs in any order, by anybody, also by attempts that are long gone."""

    jobs = Bundle("jobs")
    runs = Bundle("runs")
    database: Database  # one for all examples: making it is slow, emptying it is not

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[int, Expected] = {}
        self.line = 0
        with self.database.write() as session:
            session.execute(delete(Job))

    # -- verbs ------------------------------------------------------------------------------------------------------

    @rule(target=jobs)
    def create(self) -> int:
        return self._create(None)

    @rule(target=jobs, other=jobs)
    def create_one_that_waits(self, other: int) -> int:
        return self._create(other)

    def _create(self, other: int | None) -> int:
        with self.database.write() as session:
            awaited = session.get(Job, other) if other is not None else None
            job = Job.of(JobKind.TRAIN, title="a job", user_id=None, waits_for=awaited)
            session.add(job)
            session.flush()
        waits_for = other if other is not None and self.expected[other].status != Status.DONE else None
        self.line += 1
        self.expected[job.id] = Expected(waits_for=waits_for, line=self.line)
        return job.id

    @rule(target=runs)
    def claim_next(self) -> Any:
        ready = [job_id for job_id, job in self.expected.items() if job.status == Status.QUEUED and self._is_free(job)]
        with self.database.write() as session:
            job = Job.claim_next(session, Lane.TRAIN, "train@here:1:1", lease_s=60)
        if not ready:
            assert job is None
            return multiple()
        assert job is not None
        assert job.id == min(ready, key=lambda job_id: self.expected[job_id].line)
        expected = self.expected[job.id]
        self._to(job.id, Status.RUNNING)
        expected.attempt, expected.lapsed = expected.attempt + 1, False
        assert job.attempt == expected.attempt
        return (job.id, job.attempt)

    def _is_free(self, job: Expected) -> bool:
        return job.waits_for is None or self.expected[job.waits_for].status == Status.DONE

    @rule(run=runs)
    def beat(self, run: tuple[int, int]) -> None:
        with self.database.write() as session:
            beat = Job.beat(session, *run, lease_s=60)
        assert beat.is_mine == self._holds(run)
        assert beat.stop_requested == self.expected[run[0]].stop
        if beat.is_mine:
            self.expected[run[0]].lapsed = False

    @rule(run=runs, percent=st.floats(-10, 200))
    def report(self, run: tuple[int, int], percent: float) -> None:
        with self.database.write() as session:
            assert Job.report(session, *run, percent, {}, None) == self._holds(run)

    @rule(run=runs)
    def finish(self, run: tuple[int, int]) -> None:
        with self.database.write() as session:
            assert Job.finish(session, *run) == self._holds(run)
        if self._holds(run):
            self._end(run[0], Status.DONE)

    @rule(run=runs)
    def fail(self, run: tuple[int, int]) -> None:
        with self.database.write() as session:
            assert Job.fail(session, *run, "a reason") == self._holds(run)
        if self._holds(run):
            self._end(run[0], Status.FAILED)

    @rule(run=runs)
    def end_stopped(self, run: tuple[int, int]) -> None:
        with self.database.write() as session:
            assert Job.end_stopped(session, *run) == self._holds(run)
        if self._holds(run):
            self._end(run[0], Status.STOPPED)

    @rule(run=runs)
    def give_back(self, run: tuple[int, int]) -> None:
        with self.database.write() as session:
            assert Job.give_back(session, *run) == self._holds(run)
        if self._holds(run):
            self._to(run[0], Status.QUEUED)

    @rule(run=runs)
    def lose(self, run: tuple[int, int]) -> None:
        with self.database.write() as session:
            outcome = Job.lose(session, *run, "killed")
        assert (outcome is not None) == self._holds(run)
        if self._holds(run):
            assert outcome == self._lost(run[0])

    @rule(job=jobs)
    def the_worker_falls_silent(self, job: int) -> None:
        with self.database.write() as session:
            row = session.get_one(Job, job)
            if row.status == Status.RUNNING:
                row.lease_until = now() - timedelta(seconds=1)
                self.expected[job].lapsed = True

    @rule()
    def reconcile(self) -> None:
        with self.database.write() as session:
            requeued = Job.reconcile(session)
        lapsed = [job_id for job_id, job in self.expected.items() if job.status == Status.RUNNING and job.lapsed]
        assert set(requeued) == {job_id for job_id in lapsed if self._lost(job_id) is Status.QUEUED}
        for job in [*self.expected.values()]:
            if job.status == Status.QUEUED and job.waits_for is not None:
                awaited = self.expected[job.waits_for].status
                if awaited in (Status.FAILED, Status.STOPPED):
                    self._fail_waiting_for(job.waits_for)

    @rule(job=jobs)
    def request_stop(self, job: int) -> None:
        with self.database.write() as session:
            assert Job.request_stop(session, job) == self.expected[job].status.is_active
        if self.expected[job].status == Status.QUEUED:
            self._end(job, Status.STOPPED)
        elif self.expected[job].status == Status.RUNNING:
            self.expected[job].stop = True

    @rule(job=jobs)
    def resume(self, job: int) -> None:
        expected = self.expected[job]
        may = expected.status in (Status.FAILED, Status.STOPPED)
        with self.database.write() as session:
            assert Job.resume(session, job) == may
        if may:
            self.line += 1
            expected.lost, expected.stop, expected.line = 0, False, self.line
            self._to(job, Status.QUEUED)

    # -- what is expected -------------------------------------------------------------------------------------------

    def _holds(self, run: tuple[int, int]) -> bool:
        job = self.expected[run[0]]
        return job.status == Status.RUNNING and job.attempt == run[1]

    def _to(self, job_id: int, status: Status) -> None:
        job = self.expected[job_id]
        job.history.append(job.status)
        job.status = status

    def _end(self, job_id: int, status: Status) -> None:
        self._to(job_id, status)
        self.expected[job_id].stop = False
        if status != Status.DONE:
            self._fail_waiting_for(job_id)

    def _fail_waiting_for(self, job_id: int) -> None:
        for other_id, other in self.expected.items():
            if other.waits_for == job_id and other.status == Status.QUEUED:
                self._end(other_id, Status.FAILED)

    def _lost(self, job_id: int) -> Status:
        job = self.expected[job_id]
        if job.stop:
            self._end(job_id, Status.STOPPED)
            return Status.STOPPED
        job.lost += 1
        if job.lost >= MAX_LOST_ATTEMPTS:
            self._end(job_id, Status.FAILED)
            return Status.FAILED
        self._to(job_id, Status.QUEUED)
        return Status.QUEUED

    @invariant()
    def the_rows_are_as_expected(self) -> None:
        with self.database.read() as session:
            rows = {job.id: job for job in session.query(Job)}
        assert rows.keys() == self.expected.keys()
        for job_id, job in self.expected.items():
            row = rows[job_id]
            assert (row.status, row.attempt, row.lost_attempts) == (job.status, job.attempt, job.lost)
            assert row.stop_requested == job.stop
            is_held = row.status == Status.RUNNING
            assert (row.owner is not None, row.lease_until is not None) == (is_held, is_held)
            assert (row.finished_at is not None) == row.status.has_ended
            assert (row.error is not None) == (row.status == Status.FAILED)
            assert 0 <= row.progress_percent <= 100
            path = [*job.history, job.status]
            assert all(after in MAY_FOLLOW[before] for before, after in pairwise(path))


def test_no_order_of_verbs_leads_astray() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'life.sqlite3'}")
        Record.metadata.create_all(database.engine)
        JobLife.database = database
        run_state_machine_as_test(
            JobLife,
            settings=settings(
                max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        database.close()
