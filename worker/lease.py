"""A run's hold on its job's row: extended by a thread, which also carries stop requests back."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import NoReturn

from sqlalchemy.exc import DBAPIError

from app.db import Database, Job

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
ENDING_S = 5.0  # a run that has just recorded its own end needs a moment to leave; until then it looks the same
EXIT_FENCED = 75


class Lease:
    """Beats every `heartbeat_s`, looks for a stop request every second.

    When the row is no longer this attempt's, the process ends at once: it must leave no more traces.
    """

    def __init__(self, database: Database, job_id: int, attempt: int, *, lease_s: float, heartbeat_s: float) -> None:
        self.database, self.job_id, self.attempt = database, job_id, attempt
        self.lease_s, self.heartbeat_s = lease_s, heartbeat_s
        self.stop_requested = False  # by a person: the run ends, what was learnt is kept
        self.closing = False  # by the worker going away: the run is given back to the queue
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="lease", daemon=True)

    @property
    def should_stop(self) -> bool:
        return self.stop_requested or self.closing

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _beat_on(self) -> None:
        last_beat = 0.0
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                if time.monotonic() - last_beat >= self.heartbeat_s:
                    self._beat()
                    last_beat = time.monotonic()
                else:
                    self._look()
            except DBAPIError as error:
                log.warning("the database does not answer (%s); the run goes on", error)

    def _beat(self) -> None:
        with self.database.write() as session:
            beat = Job.beat(session, self.job_id, self.attempt, self.lease_s)
        if not beat.is_mine and not self._ended.wait(ENDING_S):
            self._lost()
        self.stop_requested = self.stop_requested or beat.stop_requested

    def _look(self) -> None:
        with self.database.read() as session:
            job = session.get(Job, self.job_id)
            if job is not None and job.attempt == self.attempt:
                self.stop_requested = self.stop_requested or job.stop_requested

    def _lost(self) -> NoReturn:
        log.error("job %s attempt %s: the row is no longer ours; leaving", self.job_id, self.attempt)
        logging.shutdown()
        os._exit(EXIT_FENCED)
