"""The one set of states, for jobs and uploads alike, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_active(self) -> bool:
        return self in (Status.QUEUED, Status.RUNNING)

    @property
    def has_ended(self) -> bool:
        return not self.is_active
