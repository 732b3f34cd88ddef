"""Sweeps as JSON: list, one, stop. A sweep is made by POST /api/v1/models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.db import Sweep
from app.models import models, sweeps
from app.schemas.models import MAX_ID, ModelOut
from app.schemas.sweeps import SweepDetail, SweepList, SweepOut
from app.web import CurrentUser, DatabaseDep, ReadSession

router = APIRouter(prefix="/api/v1/sweeps", tags=["sweeps"])


@router.get("")
def index(
    session: ReadSession,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> SweepList:
    found, following = sweeps.list_sweeps(session, after, limit)
    return SweepList(items=[SweepOut.of(sweep) for sweep in found], next=following)


@router.get("/{sweep_id}")
def show(session: ReadSession, sweep_id: int) -> SweepDetail:
    return _detail(models.get_sweep(session, sweep_id))


@router.post("/{sweep_id}/stop-request", status_code=202)
def stop(database: DatabaseDep, user: CurrentUser, sweep_id: int) -> SweepDetail:
    """Stops every model of the sweep that is queued or running; what was learnt stays."""
    models.stop_sweep(database, user, sweep_id)
    with database.read() as session:
        return _detail(models.get_sweep(session, sweep_id))


def _detail(sweep: Sweep) -> SweepDetail:
    return SweepDetail(**SweepOut.of(sweep).model_dump(), models=[ModelOut.of(model) for model in sweep.models])
