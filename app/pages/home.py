"""Home: what runs and what waits, what was made last, and for a newcomer what to do next."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import Dataset, Job, Model, Upload
from app.jobs import active_jobs, count_jobs
from app.web import ReadSession, render

router = APIRouter(include_in_schema=False)

ACTIVE_SHOWN = 20
RECENT_SHOWN = 8


@router.get("/")
def show(request: Request, session: ReadSession) -> HTMLResponse:
    counts = {
        noun: session.scalar(select(func.count()).select_from(record)) or 0
        for noun, record in (("uploads", Upload), ("datasets", Dataset), ("models", Model))
    }
    return render(request, "home/show.html", counts=counts, **_active(session), **_recent(session))


@router.get("/_active")
def show_active(request: Request, session: ReadSession) -> HTMLResponse:
    """What of home moves, for live updates."""
    return render(request, "home/_active.html", **_active(session), **_recent(session))


def _active(session: Session) -> dict[str, Any]:
    return {"jobs": active_jobs(session, ACTIVE_SHOWN), "job_counts": count_jobs(session)}


def _recent(session: Session) -> dict[str, Any]:
    """The newest datasets and models with their jobs; only the columns that are shown."""
    datasets = select(Dataset.id, Dataset.name, Dataset.channels, Dataset.width, Dataset.height, Job)
    datasets = datasets.join(Job, Dataset.job_id == Job.id).order_by(Dataset.id.desc())
    models = select(Model.id, Model.name, Model.accuracy, Dataset.name.label("dataset_name"), Job)
    models = models.join(Job, Model.job_id == Job.id).join(Dataset, Model.dataset_id == Dataset.id)
    return {
        "datasets": session.execute(datasets.limit(RECENT_SHOWN)).all(),
        "models": session.execute(models.order_by(Model.id.desc()).limit(RECENT_SHOWN)).all(),
    }
