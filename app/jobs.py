"""Jobs as people see them: listed, counted, stopped. What a worker does with them is on the record itself."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session, aliased

from app.db import Database, Job, Lane, Status, User
from app.web import PageNotFound, require_owner


@dataclass(frozen=True)
class Wanted:
    """Which jobs a list shows, the newest first; `after` is the id of the last one seen."""

    status: Status | None = None
    lane: Lane | None = None
    after: int | None = None
    limit: int = 50


@dataclass(frozen=True)
class Listed:
    """A job, whose it is, and what it waits for if that has not ended."""

    job: Job
    username: str
    waits_for: str


def list_jobs(session: Session, wanted: Wanted) -> tuple[list[Listed], int | None]:
    """One page, and the id to go on after."""
    statement = _with_names()
    if wanted.status is not None:
        statement = statement.where(Job.status == wanted.status)
    if wanted.lane is not None:
        statement = statement.where(Job.lane == wanted.lane)
    if wanted.after is not None:
        statement = statement.where(Job.id < wanted.after)
    found = _listed(session, statement.order_by(Job.id.desc()).limit(wanted.limit + 1))
    page = found[: wanted.limit]
    return page, page[-1].job.id if len(found) > wanted.limit else None


def active_jobs(session: Session, limit: int = 50) -> list[Listed]:
    """Running jobs, then queued ones in the order in which they will be taken."""
    statement = _with_names().where(Job.status.in_([Status.RUNNING, Status.QUEUED]))
    running_first = case((Job.status == Status.RUNNING, 0), else_=1)
    return _listed(session, statement.order_by(running_first, Job.queued_at, Job.id).limit(limit))


def find_job(session: Session, job_id: int) -> Listed:
    found = _listed(session, _with_names().where(Job.id == job_id))
    if not found:
        raise PageNotFound("job")
    return found[0]


def count_jobs(session: Session) -> dict[str, int]:
    """How many there are in each state, and `all` of them."""
    counts = {str(status): 0 for status in Status}
    for status, count in session.execute(select(Job.status, func.count()).group_by(Job.status)):
        counts[str(status)] = count
    return counts | {"all": sum(counts.values())}


def stop_job(database: Database, user: User, job_id: int) -> bool:
    """Asks a job to stop; False if it had ended already."""
    with database.write() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise PageNotFound("job")
        require_owner(user, job.user_id)
        return Job.request_stop(session, job_id)


def _with_names() -> Select[Job, str, str]:
    awaited = aliased(Job)
    is_waiting = (Job.waits_for_id == awaited.id) & (awaited.status != Status.DONE)
    return (
        select(Job, User.username, awaited.title).outerjoin(User, Job.user_id == User.id).outerjoin(awaited, is_waiting)
    )


def _listed(session: Session, statement: Select[Job, str, str]) -> list[Listed]:
    rows = session.execute(statement)
    return [Listed(job, username or "", title or "") for job, username, title in rows]
