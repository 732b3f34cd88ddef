"""Jobs as the API gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from app.db import JobKind, Lane, Status
from app.jobs import Listed


class JobDetails(BaseModel):
    id: int
    kind: JobKind
    lane: Lane
    title: str
    path: str
    username: str
    status: Status
    stop_requested: bool
    waits_for: str  # the title of the job that has to be done first; "" if none
    attempt: int
    progress_percent: float
    detail: dict[str, Any]
    eta_s: float | None
    error: str | None
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_s: float | None

    @classmethod
    def of(cls, listed: Listed) -> Self:
        own = {"username": listed.username, "waits_for": listed.waits_for}
        names = [name for name in cls.model_fields if name not in own]
        return cls.model_validate({name: getattr(listed.job, name) for name in names} | own)


class JobPage(BaseModel):
    items: list[JobDetails]
    next: int | None
