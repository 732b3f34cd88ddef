"""From the engine's callbacks to rows: metrics in batches, snapshots at once, all fenced by the attempt number."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from app.db import Database, Job, Metric, Model, Snapshot
from app.db.base import now
from app.storage import Storage
from worker.engine.train import RunInfo, SnapshotInfo
from worker.lease import Lease

FLUSH_EVERY_S = 0.5
RETRY_FOR_S = 300.0

log = logging.getLogger(__name__)


class Fenced(Exception):
    """The row belongs to a later attempt: this run must leave no more traces."""


class Recorder:
    """The callbacks of one training run. Its thread writes twice a second, so the loop never waits for a database."""

    def __init__(self, database: Database, storage: Storage, model_id: int, lease: Lease, epochs: int) -> None:
        self.database, self.storage, self.model_id, self.lease, self.epochs = database, storage, model_id, lease, epochs
        self._lock = threading.Lock()
        self._metrics: list[dict[str, Any]] = []
        self._detail: dict[str, Any] = {"phase": "starting", "epochs": epochs}
        self._progress_percent = 0.0
        self._max_iter = 0
        self._pace: tuple[float, int] | None = None  # when and at which iteration this attempt began
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)
        self.flush()

    # -- what the engine calls --------------------------------------------------------------------------------------

    def on_start(self, info: RunInfo) -> None:
        self._max_iter = info.max_iter
        self._pace = (time.monotonic(), info.resumed_iteration)
        facts = {
            "device": info.device,
            "precision": info.precision,
            "iterations_per_epoch": info.iterations_per_epoch,
            "max_iter": info.max_iter,
        }
        self._write(lambda session: self._start(session, info.parameters, info.resumed_iteration, facts))
        with self._lock:
            self._detail |= {"phase": "training", "device": info.device, "precision": info.precision}

    def on_metrics(self, iteration: int, epoch: float, values: dict[str, float]) -> None:
        moment = now()
        rows = [
            {"model_id": self.model_id, "attempt": self.lease.attempt, "iteration": iteration, "epoch": epoch,
             "name": name, "value": float(value), "at": moment}
            for name, value in values.items()
            if math.isfinite(value)  # SQLite has no NaN; a run that makes one ends with advice anyway
        ]  # fmt: skip
        with self._lock:
            self._metrics.extend(rows)

    def on_progress(self, iteration: int, epoch: float, images_per_s: float) -> None:
        with self._lock:
            self._progress_percent = 100.0 * iteration / max(1, self._max_iter)
            self._detail |= {"iteration": iteration, "epoch": round(epoch, 3), "images_per_s": round(images_per_s, 1)}

    def on_phase(self, phase: str) -> None:
        with self._lock:
            self._detail |= {"phase": phase}

    def on_snapshot(self, snapshot: SnapshotInfo) -> None:
        self.flush()
        self._write(lambda session: self._keep(session, snapshot))

    def should_stop(self) -> bool:
        return self.lease.should_stop

    def log(self, line: str) -> None:
        log.info("%s", line)

    # -- writing ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Writes what has gathered; what cannot be written stays for the next time."""
        with self._lock:
            rows, self._metrics = self._metrics, []
            progress, detail, eta_s = self._progress_percent, dict(self._detail), self._eta_s()
        try:
            self._write(lambda session: self._report(session, rows, progress, detail, eta_s))
        except DBAPIError:
            with self._lock:
                self._metrics = rows + self._metrics
            raise

    def _eta_s(self) -> float | None:
        iteration = self._detail.get("iteration")
        if self._pace is None or iteration is None:
            return None
        began, first = self._pace
        done = int(iteration) - first
        return (time.monotonic() - began) / done * (self._max_iter - int(iteration)) if done > 0 else None

    def _write_on(self) -> None:
        while not self._ended.wait(FLUSH_EVERY_S):
            try:
                self.flush()
            except Fenced:
                return
            except DBAPIError as error:
                log.warning("the database did not take the metrics (%s); trying again", error)

    def _write(self, write: Callable[[Any], None]) -> None:
        """One fenced write transaction, tried again while the database is away."""
        deadline = time.monotonic() + RETRY_FOR_S
        while True:
            try:
                with self.database.write() as session:
                    if not Job.holds(session, self.lease.job_id, self.lease.attempt):
                        raise Fenced
                    write(session)
                return
            except DBAPIError:
                if time.monotonic() > deadline or self._ended.is_set():
                    raise
                time.sleep(2.0)

    def _start(self, session: Any, parameters: int, resumed_iteration: int, facts: dict[str, Any]) -> None:
        model = session.get(Model, self.model_id)
        model.parameters = parameters
        model.run_info = {**model.run_info, **facts}
        Metric.rewind(session, self.model_id, resumed_iteration)
        Job.report(session, self.lease.job_id, self.lease.attempt, self._progress_percent, self._detail, None)

    def _report(
        self, session: Any, rows: list[dict[str, Any]], progress: float, detail: dict[str, Any], eta_s: float | None
    ) -> None:
        if rows:
            session.execute(insert(Metric), rows)
        Job.report(session, self.lease.job_id, self.lease.attempt, progress, detail, eta_s)

    def _keep(self, session: Any, info: SnapshotInfo) -> None:
        known = session.scalar(
            select(Snapshot).where(Snapshot.model_id == self.model_id, Snapshot.iteration == info.iteration)
        )
        snapshot = known or Snapshot(model_id=self.model_id, iteration=info.iteration)
        snapshot.attempt, snapshot.epoch = self.lease.attempt, info.epoch
        snapshot.path, snapshot.size_bytes = self.storage.relative(info.path), info.size_bytes
        snapshot.metrics = info.metrics
        session.add(snapshot)
