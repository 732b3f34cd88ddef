"""All jobs: what runs, waits, and how the others ended; and the button that stops one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session

from app import jobs
from app.db import Lane, Status
from app.jobs import Wanted
from app.security.gate import safe_next
from app.web import CurrentUser, DatabaseDep, ReadSession, redirect, render

router = APIRouter(prefix="/jobs", include_in_schema=False)


def wanted(status: str = "", lane: str = "", after: str = "") -> Wanted:
    """The list's filter; a word that is not known counts as not given, so that an old link still opens."""
    return Wanted(
        status=Status(status) if status in list(Status) else None,
        lane=Lane(lane) if lane in list(Lane) else None,
        after=int(after) if after.isdecimal() and len(after) < 18 else None,
    )


WantedDep = Annotated[Wanted, Depends(wanted)]


@router.get("")
def index(request: Request, session: ReadSession, wanted: WantedDep) -> HTMLResponse:
    return render(request, "jobs/index.html", statuses=list(Status), lanes=list(Lane), **_table(session, wanted))


@router.get("/_table")
def table(request: Request, session: ReadSession, wanted: WantedDep) -> HTMLResponse:
    return render(request, "jobs/_table.html", **_table(session, wanted))


@router.post("/{job_id:int}/stop")
def stop(database: DatabaseDep, user: CurrentUser, job_id: int, next: Annotated[str, Form()] = "/jobs") -> Response:
    jobs.stop_job(database, user, job_id)  # one that has ended meanwhile is as it was asked to be
    return redirect(safe_next(next))


def _table(session: Session, wanted: Wanted) -> dict[str, Any]:
    listed, next_id = jobs.list_jobs(session, wanted)
    return {"jobs": listed, "next": next_id, "job_counts": jobs.count_jobs(session), "wanted": wanted}
