"""What a client gets of a sweep; used by pages and API alike. A sweep is made by POST /api/v1/models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from app.db import Sweep
from app.models.sweeps import counts_of
from app.schemas.models import ModelOut


class SweepOut(BaseModel):
    id: int
    name: str
    created_at: datetime
    counts: dict[str, int] = Field(description="How many of its models are in each status, and `all`")

    @classmethod
    def of(cls, sweep: Sweep) -> SweepOut:
        return cls(id=sweep.id, name=sweep.name, created_at=sweep.created_at, counts=counts_of(sweep))


class SweepDetail(SweepOut):
    models: list[ModelOut]


class SweepList(BaseModel):
    items: list[SweepOut]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last")
