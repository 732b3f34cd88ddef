"""Jobs as JSON: the work that is queued, running or ended, and how to stop it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from app import jobs, live
from app.db import Lane, Status
from app.jobs import Wanted
from app.schemas.errors import refuses
from app.schemas.jobs import JobDetails, JobPage
from app.web import ApiError, CurrentUser, DatabaseDep, ReadSession

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.get("", responses=refuses())
def list_jobs(
    session: ReadSession,
    status: Status | None = None,
    lane: Lane | None = None,
    after: int | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobPage:
    """Jobs, the newest first."""
    listed, next_id = jobs.list_jobs(session, Wanted(status, lane, after, limit))
    return JobPage(items=[JobDetails.of(row) for row in listed], next=next_id)


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def follow_jobs(
    request: Request, since: str = "", last_event_id: Annotated[str, Header()] = ""
) -> StreamingResponse:
    """Server-sent events: `state` whenever a job changes."""
    return live.event_stream(request.app.state.live.follow_jobs(last_event_id or since))


@router.get("/{job_id}", responses=refuses(404))
def get_job(session: ReadSession, job_id: int) -> JobDetails:
    return JobDetails.of(jobs.find_job(session, job_id))


@router.post("/{job_id}/stop-request", status_code=202, responses=refuses(403, 404, 409))
def request_stop(database: DatabaseDep, user: CurrentUser, job_id: int) -> JobDetails:
    """Stops a queued job at once and asks a running one to; what it has learnt is kept as a snapshot."""
    if not jobs.stop_job(database, user, job_id):
        raise ApiError(409, "has_ended", "This job has ended already.")
    with database.read() as session:
        return JobDetails.of(jobs.find_job(session, job_id))
