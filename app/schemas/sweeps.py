"""What a client gets of a sweep; used by pages and API alike. A sweep is made by POST /api/v1/models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from app.db import Sweep
from app.schemas.models import ModelOut


class SweepOut(BaseModel):
    id: int
    name: str
    owner: str | None
    created_at: datetime
    counts: dict[str, int] = Field(description="How many of its models are in each status, and `all`")

    @classmethod
    def of(cls, sweep: Sweep, owner: str | None) -> SweepOut:
        return cls(id=sweep.id, name=sweep.name, owner=owner, created_at=sweep.created_at, counts=counts_of(sweep))


class SweepDetail(SweepOut):
    models: list[ModelOut]


class SweepList(BaseModel):
    items: list[SweepOut]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last")


def counts_of(sweep: Sweep) -> dict[str, int]:
    counts: dict[str, int] = {"all": len(sweep.models)}
    for model in sweep.models:
        counts[model.status.value] = counts.get(model.status.value, 0) + 1
    return counts
