"""Whether the server is well, for whatever watches it. Needs no sign-in, so it tells nothing but numbers."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.db import Lane, Status, Worker
from app.jobs import count_jobs
from app.version import VERSION
from app.web import ReadSession

router = APIRouter(prefix="/api/v1/health", tags=["health"])


class Queue(BaseModel):
    queued: int
    running: int


class Health(BaseModel):
    status: Literal["ok", "no_workers"]  # no_workers: some lane has nobody who works
    version: str
    workers: dict[Lane, int]
    queue: Queue


@router.get("")
def get_health(session: ReadSession) -> Health:
    workers = dict.fromkeys(Lane, 0)
    for worker in Worker.alive(session):
        workers[Lane(worker.lane)] += 1
    counts = count_jobs(session)
    return Health(
        status="ok" if all(workers.values()) else "no_workers",
        version=VERSION,
        workers=workers,
        queue=Queue(queued=counts[Status.QUEUED], running=counts[Status.RUNNING]),
    )
