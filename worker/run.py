"""The process that does one job: `python -m worker.run JOB_ID ATTEMPT PARENT_PID`.

It records its own end on the job's row. A run whose process dies without that is ended by its worker (`tasks.py`) or,
when that is gone too, by whoever finds the lapsed lease.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from app.db import Database, Job, JobKind, Status
from app.processes import die_with
from app.settings import Settings
from app.storage import Storage
from worker.lease import Lease
from worker.outcome import Outcome, Refusal

log = logging.getLogger("worker.run")

Run = Callable[[Settings, Database, Storage, Lease], Outcome]


def main(job_id: int, attempt: int, parent_pid: int) -> None:
    die_with(parent_pid, signal.SIGKILL)
    settings = Settings.read()
    database, storage = Database.open(settings), Storage(settings.home.resolve())
    with database.read() as session:
        job = session.get(Job, job_id)
    if job is None or job.attempt != attempt or job.status != Status.RUNNING:
        return
    log_to(storage.logs / f"job-{job_id}.txt", settings.log_level)
    step_back(settings.nice)
    lease = Lease(database, job_id, attempt, lease_s=settings.lease_s, heartbeat_s=settings.heartbeat_s)

    def close(_signal: int, _frame: FrameType | None) -> None:
        lease.closing = True

    signal.signal(signal.SIGTERM, close)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with lease:
        do(settings, database, storage, lease, JobKind(job.kind))


def do(settings: Settings, database: Database, storage: Storage, lease: Lease, kind: JobKind) -> None:
    """Does the job and records how it ended; faults become reasons in plain words on the row."""
    job_id, attempt = lease.job_id, lease.attempt
    try:
        outcome = run_of(kind)(settings, database, storage, lease)
    except Exception as error:
        reason = reason_for(error)
        log.exception("job %s failed: %s", job_id, reason)
        _end(lambda: _fail(database, job_id, attempt, reason))
        return
    if outcome is Outcome.STOPPED and lease.closing and not lease.stop_requested:
        outcome = Outcome.GIVEN_BACK
    log.info("job %s: %s", job_id, outcome)
    _end(lambda: _record(database, job_id, attempt, outcome))


def run_of(kind: JobKind) -> Run:
    """What does a job of this kind; imported when needed, since torch takes seconds and a dataset needs none."""
    if kind is JobKind.BUILD_DATASET:
        from worker.building import build_dataset

        return build_dataset
    if kind is JobKind.TRAIN:
        from worker.training import train

        return train
    if kind is JobKind.PREDICT:
        from worker.predicting import predict

        return predict
    if kind is JobKind.DRAW_BATCH:
        from worker.drawing import draw_batch

        return draw_batch
    if kind is JobKind.IMPORT_PRETRAINED:
        from worker.importing import import_pretrained

        return import_pretrained
    raise Refusal(f"This version of Trainyard has no work of the kind {kind}.")


def reason_for(error: Exception) -> str:
    """Why a run failed, for the person who launched it."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "The disk is full. Free some space, then resume."
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "Out of memory. Try a smaller batch size, or smaller images."
    said = (str(error).splitlines() or [""])[0]  # a database's error goes on with the whole statement
    return f"Unexpected error: {type(error).__name__}: {said}. The log has the details."


def _fail(database: Database, job_id: int, attempt: int, reason: str) -> None:
    with database.write() as session:
        Job.fail(session, job_id, attempt, reason)


def _record(database: Database, job_id: int, attempt: int, outcome: Outcome) -> None:
    with database.write() as session:
        if outcome is Outcome.STOPPED:
            Job.end_stopped(session, job_id, attempt)
        elif outcome is Outcome.GIVEN_BACK:
            Job.give_back(session, job_id, attempt)
        else:
            Job.finish(session, job_id, attempt)


def _end(record: Callable[[], None]) -> None:
    """The end of a run is worth waiting for a database that is away for a moment."""
    for pause_s in (1, 2, 5, 10, 20, 40):
        try:
            record()
            return
        except Exception:
            log.exception("the end could not be recorded; trying again in %s s", pause_s)
            time.sleep(pause_s)
    record()


def step_back(nice: int) -> None:
    """Leaves the cores to others first. On Linux desktops the scheduler groups processes by session, and weighs a run,
    which leads a session of its own, by its group's niceness only."""
    if nice:
        os.nice(nice)
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice))


def log_to(path: Path, level: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
