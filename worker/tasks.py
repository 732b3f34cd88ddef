"""The worker of one lane: `python -m worker.tasks LANE`. An id comes in, a row is claimed, a run is watched.

The Celery message is only a wake-up: whoever is woken claims the oldest ready job of the lane, and goes on claiming
until there is none. A thread looks after the lane every five seconds: lapsed leases, lost messages.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress

import psutil
from celery import signals
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db import Database, Job, JobKind, Lane, PretrainedNet, Snapshot, Status, Worker
from app.db.base import now
from app.processes import die_with, end_group, end_groups
from app.queue import TASK, make_celery, send
from app.settings import Settings
from app.storage import Storage
from worker.devices import CPU, Device, gpus, held
from worker.lease import EXIT_FENCED, Lease
from worker.run import do, run_of
from worker.tidying import forget_arrays, forget_outdated

log = logging.getLogger("worker.tasks")
RECONCILE_EVERY_S = 5.0
SPIN_COUNT = "1000"  # how long idle OpenMP threads burn a core before they sleep; see docs/decisions.md
GRACE_S = 25.0  # from "finish up" to "now": enough to write a snapshot


class LaneWorker:
    """One lane on one machine: its slots, its runs, its row."""

    def __init__(self, settings: Settings, lane: Lane) -> None:
        self.settings, self.lane = settings, lane
        self.database, self.storage = Database.open(settings), Storage(settings.home.resolve())
        self.celery = make_celery(settings)
        self.host = socket.gethostname()
        self.name = owner_name(lane, self.host, os.getpid())
        self.slots = self._slots()
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._busy = 0
        self._is_warm = False
        self._runs: set[subprocess.Popen[bytes]] = set()

    def _slots(self) -> int:
        if self.lane is Lane.TRAIN:
            return self.settings.train_slots or max(1, len(gpus()))
        return self.settings.data_slots if self.lane is Lane.DATA else 1

    # -- doing ------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Claims and does jobs of the lane, oldest first, until none is ready."""
        while not self.closing.is_set():
            with self.database.write() as session:
                job = Job.claim_next(session, self.lane, self.name, self.settings.lease_s)
            if job is None:
                return
            with self._lock:
                self._busy += 1
            try:
                self._do(job)
            finally:
                with self._lock:
                    self._busy -= 1

    def _do(self, job: Job) -> None:
        if self.lane is Lane.PREDICT:
            self._do_here(job)
            return
        with ExitStack() as stack:
            device = CPU
            if self.lane is Lane.TRAIN:
                device = stack.enter_context(held(self.storage.home / "locks"))
            self._watch(job, self._start(job, device))

    def _do_here(self, job: Job) -> None:
        """Predictions run in the worker itself, which keeps torch and the last net loaded: a run of its own would spend
        seconds on starting for every picture."""
        lease = Lease(self.database, job.id, job.attempt, lease_s=self.settings.lease_s,
                      heartbeat_s=self.settings.heartbeat_s)  # fmt: skip
        with lease:
            do(self.settings, self.database, self.storage, lease, JobKind(job.kind))

    def _start(self, job: Job, device: Device) -> subprocess.Popen[bytes]:
        visible = str(device.index) if device.is_gpu else ""
        environment = {"GOMP_SPINCOUNT": SPIN_COUNT, **os.environ, "CUDA_VISIBLE_DEVICES": visible}
        output = (self.storage.logs / f"job-{job.id}.txt").open("ab")
        run = subprocess.Popen(
            [sys.executable, "-m", "worker.run", str(job.id), str(job.attempt), str(os.getpid())],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        output.close()
        with self._lock:
            self._runs.add(run)
        if self.closing.is_set():
            run.terminate()
        return run

    def _watch(self, job: Job, run: subprocess.Popen[bytes]) -> None:
        """Waits for the run's end; ends it when its row has gone to a later attempt, or it will not leave."""
        looks_without_job = 0
        while True:
            try:
                code = run.wait(timeout=RECONCILE_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                looks_without_job = 0 if self._is_still(job) else looks_without_job + 1
                if looks_without_job >= 2:  # at the first it may just have recorded its end
                    log.warning("job %s attempt %s: hung or taken over; ending its process", job.id, job.attempt)
                    end_group(run.pid)
        end_group(run.pid)  # what it may have started itself
        with self._lock:
            self._runs.discard(run)
        if code == EXIT_FENCED:
            return
        with self.database.write() as session:
            if self.closing.is_set():
                Job.give_back(session, job.id, job.attempt)
                return
            outcome = Job.lose(session, job.id, job.attempt, cause_of(code))
        if outcome is not None:
            log.warning("job %s attempt %s ended with %s: now %s", job.id, job.attempt, code, outcome)

    def _is_still(self, job: Job) -> bool:
        try:
            with self.database.read() as session:
                return Job.holds(session, job.id, job.attempt)
        except DBAPIError:
            return True

    # -- looking after the lane -------------------------------------------------------------------------------------

    def look_after(self) -> None:
        while not self.closing.is_set():
            try:
                self.reconcile()
                self.warm_up()
                if self.lane is Lane.PREDICT:
                    forget_outdated(self.database, self.storage)
                    forget_arrays(self.database, self.storage, self.settings.activation_days)
            except DBAPIError as error:
                log.warning("the database does not answer: %s", error)
            self.closing.wait(RECONCILE_EVERY_S)

    def reconcile(self) -> None:
        """Says that this worker lives; ends attempts whose process is gone; wakes for jobs whose message was lost."""
        with self.database.write() as session:
            self._sign(session)
            for job in session.scalars(
                select(Job).where(Job.lane == self.lane, Job.status == Status.RUNNING, Job.owner != self.name)
            ).all():
                if job.owner and is_dead_here(job.owner, self.host):
                    Job.lose(session, job.id, job.attempt, "its worker was killed")
            Job.reconcile(session, self.lane)
            idle = self.slots - self._busy
            unsent = Job.unsent(session, self.lane, idle) if idle > 0 else []
        sent = [job_id for job_id in unsent if send(self.celery, job_id, self.lane)]
        if sent:
            with self.database.write() as session:
                Job.mark_sent(session, sent)

    def warm_up(self) -> None:
        """Imports torch before the first picture comes, once there is a snapshot that one could be tested on."""
        if self.lane is not Lane.PREDICT or self._is_warm:
            return
        with self.database.read() as session:
            has_weights = any(session.scalar(select(kept).limit(1)) for kept in (Snapshot.id, PretrainedNet.id))
        if has_weights:
            self._is_warm = True
            run_of(JobKind.PREDICT)

    def _sign(self, session: Session) -> None:
        row = session.scalar(select(Worker).where(Worker.name == self.name))
        if row is None:
            row = Worker(name=self.name, lane=self.lane, host=self.host, slots=self.slots)
            session.add(row)
            Worker.forget_silent(session)
        row.busy, row.seen_at = self._busy, now()
        row.devices = [device.to_dict() for device in gpus()] if self.lane is Lane.TRAIN else []

    # -- leaving ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Asks every run to keep what it has learnt and give its job back; ends those that take too long."""
        self.closing.set()
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            with suppress(ProcessLookupError):
                run.terminate()
        if runs:
            timer = threading.Timer(GRACE_S, end_groups, [[run.pid for run in runs]])
            timer.daemon = True
            timer.start()

    def sign_off(self) -> None:
        with suppress(DBAPIError), self.database.write() as session:
            row = session.scalar(select(Worker).where(Worker.name == self.name))
            if row is not None:
                session.delete(row)


def owner_name(lane: Lane, host: str, pid: int) -> str:
    """lane@host:pid:start, so that a dead owner is known as such even when its pid is used again."""
    return f"{lane}@{host[:60]}:{pid}:{int(psutil.Process(pid).create_time())}"


def is_dead_here(owner: str, host: str) -> bool:
    """Whether the owner was a process of this machine and is no more; False for other machines' (their lease tells)."""
    place, _, rest = owner.partition("@")
    name, pid, started = rest.rsplit(":", 2) if rest.count(":") >= 2 else ("", "", "")
    if not place or name != host[:60]:
        return False
    try:
        return int(psutil.Process(int(pid)).create_time()) != int(started)
    except psutil.NoSuchProcess:
        return True


def cause_of(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed (signal 9); the machine may have run out of memory"
    if code < 0:
        return f"its process was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"its process ended with code {code} before its work was done"


def main(lane: Lane, parent_pid: int | None = None) -> None:
    if parent_pid:
        die_with(parent_pid, signal.SIGTERM)
    settings = Settings.read()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    worker = LaneWorker(settings, lane)

    @worker.celery.task(name=TASK)  # type: ignore[untyped-decorator]
    def work(_job_id: int) -> None:
        worker.work()

    signals.worker_shutting_down.connect(lambda **_: worker.close(), weak=False)
    threading.Thread(target=worker.look_after, name="reconcile", daemon=True).start()
    try:
        worker.celery.worker_main(
            ["worker", "--pool", "threads", "--concurrency", str(worker.slots), "--queues", lane.value,
             "--hostname", f"{lane}@%h-{os.getpid()}", "--loglevel", settings.log_level,
             "--without-gossip", "--without-mingle", "--without-heartbeat"]
        )  # fmt: skip
    finally:
        worker.close()
        worker.sign_off()


if __name__ == "__main__":
    main(Lane(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
