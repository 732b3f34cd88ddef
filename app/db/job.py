"""Jobs: the truth about work that is queued, running or ended.

A worker claims a row, extends its lease while the run lives, and ends it; every write of a run names its attempt and
changes nothing once that attempt is no longer the row's (the fence). The queue's messages are only wake-ups.
All verbs here are single UPDATEs whose WHERE names the state they expect: one row changed, or somebody else won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import CursorResult, ForeignKey, Index, Select, String, Text, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from app.db.base import OneOf, Record, now
from app.db.status import Status

MAX_LOST_ATTEMPTS = 3
RESEND_AFTER_S = 10.0


class JobKind(StrEnum):
    BUILD_DATASET = "build_dataset"
    TRAIN = "train"
    PREDICT = "predict"
    EVALUATE = "evaluate"
    DRAW_BATCH = "draw_batch"
    IMPORT_PRETRAINED = "import_pretrained"


class Lane(StrEnum):
    """What never waits behind what: each lane has workers of its own."""

    DATA = "data"
    TRAIN = "train"
    PREDICT = "predict"


LANES = {
    JobKind.BUILD_DATASET: Lane.DATA,
    JobKind.TRAIN: Lane.TRAIN,
    JobKind.PREDICT: Lane.PREDICT,
    JobKind.EVALUATE: Lane.PREDICT,
    JobKind.DRAW_BATCH: Lane.PREDICT,  # where torch is warm, and nothing takes long
    JobKind.IMPORT_PRETRAINED: Lane.DATA,
}


@dataclass(frozen=True)
class Beat:
    """What a heartbeat brings back: is the run still the row's, and has somebody asked it to stop."""

    is_mine: bool
    stop_requested: bool


class Job(Record):
    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_lane_status", "lane", "status", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(OneOf(JobKind, 32))
    lane: Mapped[Lane] = mapped_column(OneOf(Lane, 16))
    title: Mapped[str] = mapped_column(String(300), default="")  # for lists: the name of what is worked on
    path: Mapped[str] = mapped_column(String(200), default="")  # its page
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    status: Mapped[Status] = mapped_column(OneOf(Status, 16), default=Status.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    lost_attempts: Mapped[int] = mapped_column(default=0)  # runs that died under it since a person last asked for it
    owner: Mapped[str | None] = mapped_column(String(100))  # which worker holds the lease
    lease_until: Mapped[datetime | None]
    stop_requested: Mapped[bool] = mapped_column(default=False)
    waits_for_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    progress_percent: Mapped[float] = mapped_column(default=0.0)
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)  # phase, epoch, iteration, images_per_s, …
    eta_s: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    queued_at: Mapped[datetime] = mapped_column(default=now)
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]  # of the first attempt
    attempt_started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(default=now, index=True)  # every verb sets it; live pages follow it

    @classmethod
    def of(cls, kind: JobKind, *, title: str, user_id: int | None, waits_for: Job | None = None) -> Job:
        waits_for_id = waits_for.id if waits_for is not None and waits_for.status != Status.DONE else None
        return cls(kind=kind, lane=LANES[kind], title=title[:300], user_id=user_id, waits_for_id=waits_for_id,
                   status=Status.QUEUED, attempt=0, lost_attempts=0, stop_requested=False, progress_percent=0.0,
                   detail={})  # fmt: skip

    @property
    def elapsed_s(self) -> float | None:
        if self.started_at is None:
            return None
        return ((self.finished_at or now()) - self.started_at).total_seconds()

    @property
    def is_stopping(self) -> bool:
        return self.stop_requested and self.status == Status.RUNNING

    # -- what a worker does ---------------------------------------------------------------------------------------

    @staticmethod
    def claim_next(session: Session, lane: Lane, owner: str, lease_s: float) -> Job | None:
        """The oldest job of the lane that is queued and waits for nothing, now running under a lease; None if none."""
        ready = session.scalar(_ready(lane).limit(1).with_for_update(of=Job, skip_locked=True))
        return Job.claim(session, ready, owner, lease_s) if ready is not None else None

    @staticmethod
    def claim(session: Session, job_id: int, owner: str, lease_s: float) -> Job | None:
        moment = now()
        changed = _update(
            session,
            (Job.id == job_id, Job.status == Status.QUEUED),
            status=Status.RUNNING,
            attempt=Job.attempt + 1,
            owner=owner,
            lease_until=moment + timedelta(seconds=lease_s),
            started_at=func.coalesce(Job.started_at, moment),
            attempt_started_at=moment,
            finished_at=None,
            error=None,
        )
        return session.get(Job, job_id, populate_existing=True) if changed else None

    @staticmethod
    def beat(session: Session, job_id: int, attempt: int, lease_s: float) -> Beat:
        """Extends the lease of this attempt; says whether it is still the row's, and whether to stop."""
        is_mine = _update(session, _fence(job_id, attempt), touch=False, lease_until=now() + timedelta(seconds=lease_s))
        stop = session.scalar(select(Job.stop_requested).where(Job.id == job_id))
        return Beat(is_mine=is_mine, stop_requested=bool(stop))

    @staticmethod
    def holds(session: Session, job_id: int, attempt: int) -> bool:
        """Whether this attempt is still the row's; inside a write transaction it stays so until the commit."""
        statement = select(Job.id).where(*_fence(job_id, attempt))
        return session.scalar(statement.with_for_update()) is not None

    @staticmethod
    def report(
        session: Session,
        job_id: int,
        attempt: int,
        progress_percent: float,
        detail: dict[str, Any],
        eta_s: float | None,
    ) -> bool:
        return _update(
            session,
            _fence(job_id, attempt),
            progress_percent=min(100.0, max(0.0, progress_percent)),
            detail=detail,
            eta_s=eta_s,
        )

    @staticmethod
    def finish(session: Session, job_id: int, attempt: int) -> bool:
        return _update(session, _fence(job_id, attempt), **_ended(Status.DONE), progress_percent=100.0)

    @staticmethod
    def fail(session: Session, job_id: int, attempt: int, reason: str) -> bool:
        changed = _update(session, _fence(job_id, attempt), **_ended(Status.FAILED), error=reason)
        if changed:
            _fail_dependents(session, job_id)
        return changed

    @staticmethod
    def end_stopped(session: Session, job_id: int, attempt: int) -> bool:
        changed = _update(session, _fence(job_id, attempt), **_ended(Status.STOPPED))
        if changed:
            _fail_dependents(session, job_id)
        return changed

    @staticmethod
    def give_back(session: Session, job_id: int, attempt: int) -> bool:
        """Queued again because its worker is going away in an orderly way; costs it no attempt."""
        return _update(session, _fence(job_id, attempt), **_requeued())

    @staticmethod
    def lose(session: Session, job_id: int, attempt: int, cause: str) -> Status | None:
        """Ends an attempt whose process died: queued again, or failed after three; None if it was not the row's."""
        job = session.get(Job, job_id, populate_existing=True)
        if job is None or job.attempt != attempt or job.status != Status.RUNNING:
            return None
        lost = job.lost_attempts + 1
        if job.stop_requested:
            return Status.STOPPED if Job.end_stopped(session, job_id, attempt) else None
        if lost >= MAX_LOST_ATTEMPTS:
            reason = f"Given up after {lost} attempts: {cause}"
            _update(session, _fence(job_id, attempt), lost_attempts=lost)
            return Status.FAILED if Job.fail(session, job_id, attempt, reason) else None
        changed = _update(session, _fence(job_id, attempt), lost_attempts=lost, **_requeued())
        return Status.QUEUED if changed else None

    @staticmethod
    def reconcile(session: Session, lane: Lane | None = None) -> list[int]:
        """Ends attempts whose lease has lapsed, and jobs whose awaited one ended in another way than done.

        Gives the ids of the jobs that are queued again.
        """
        statement = select(Job).where(Job.status == Status.RUNNING, Job.lease_until < now())
        if lane is not None:
            statement = statement.where(Job.lane == lane)
        requeued = []
        for job in session.scalars(statement.with_for_update(skip_locked=True)).all():
            cause = f"its worker ({job.owner}) stopped answering"
            if Job.lose(session, job.id, job.attempt, cause) is Status.QUEUED:
                requeued.append(job.id)
        _fail_forsaken(session)
        return requeued

    @staticmethod
    def unsent(session: Session, lane: Lane, limit: int) -> list[int]:
        """Ready jobs whose wake-up may have been lost: queued, and last sent more than ten seconds ago."""
        old = now() - timedelta(seconds=RESEND_AFTER_S)
        return list(session.scalars(_ready(lane).where(or_(Job.sent_at.is_(None), Job.sent_at < old)).limit(limit)))

    @staticmethod
    def mark_sent(session: Session, job_ids: Sequence[int]) -> None:
        session.execute(update(Job).where(Job.id.in_(job_ids)).values(sent_at=now()))

    # -- what a person does ---------------------------------------------------------------------------------------

    @staticmethod
    def request_stop(session: Session, job_id: int) -> bool:
        """Stops a queued job at once and asks a running one to; False if it has already ended."""
        if _update(session, (Job.id == job_id, Job.status == Status.QUEUED), **_ended(Status.STOPPED)):
            _fail_dependents(session, job_id)
            return True
        return _update(session, (Job.id == job_id, Job.status == Status.RUNNING), stop_requested=True)

    @staticmethod
    def resume(session: Session, job_id: int) -> bool:
        """Queues a stopped or failed job again; it goes on from its last snapshot, if it made one."""
        ended = (Job.id == job_id, Job.status.in_([Status.STOPPED, Status.FAILED]))
        return _update(session, ended, lost_attempts=0, stop_requested=False, queued_at=now(), **_requeued())

    @staticmethod
    def repeat(session: Session, job_id: int) -> bool:
        """Queues a job that has ended, however it did, to be done once more from its beginning."""
        ended = (Job.id == job_id, Job.status.in_([Status.DONE, Status.STOPPED, Status.FAILED]))
        anew = {"progress_percent": 0.0, "queued_at": now(), "started_at": None, **_requeued()}
        return _update(session, ended, lost_attempts=0, stop_requested=False, **anew)


def _ready(lane: Lane) -> Select[int]:
    """Ids of the lane's jobs that are queued and wait for nothing, the oldest first."""
    awaited = aliased(Job)
    return (
        select(Job.id)
        .outerjoin(awaited, Job.waits_for_id == awaited.id)
        .where(Job.lane == lane, Job.status == Status.QUEUED)
        .where(or_(awaited.id.is_(None), awaited.status == Status.DONE))
        .order_by(Job.queued_at, Job.id)
    )


def _fence(job_id: int, attempt: int) -> tuple[Any, ...]:
    return (Job.id == job_id, Job.attempt == attempt, Job.status == Status.RUNNING)


def _ended(status: Status) -> dict[str, Any]:
    return {"status": status, "finished_at": now(), "lease_until": None, "owner": None, "eta_s": None,
            "stop_requested": False}  # fmt: skip


def _requeued() -> dict[str, Any]:
    """Without `queued_at`: a run that was interrupted keeps its place in the queue."""
    return {"status": Status.QUEUED, "sent_at": None, "lease_until": None, "owner": None, "eta_s": None,
            "finished_at": None, "error": None}  # fmt: skip


def _fail_dependents(session: Session, job_id: int) -> None:
    awaited = session.get(Job, job_id, populate_existing=True)
    if awaited is None:
        return
    reason = f"What it waited for, {awaited.title!r}, has {awaited.status}"
    if awaited.error:
        reason += f": {awaited.error}"
    waiting = select(Job.id).where(Job.waits_for_id == job_id, Job.status == Status.QUEUED)
    for dependent_id in session.scalars(waiting).all():
        queued = (Job.id == dependent_id, Job.status == Status.QUEUED)
        if _update(session, queued, **_ended(Status.FAILED), error=reason):
            _fail_dependents(session, dependent_id)


def _fail_forsaken(session: Session) -> None:
    """Jobs that were made, or resumed, just when what they wait for ended: nobody would ever wake them."""
    waiting = aliased(Job)
    ended = Job.status.in_([Status.FAILED, Status.STOPPED])
    awaited = select(Job.id).join(waiting, waiting.waits_for_id == Job.id)
    for awaited_id in session.scalars(awaited.where(ended, waiting.status == Status.QUEUED).distinct()).all():
        _fail_dependents(session, awaited_id)


def _update(session: Session, where: tuple[Any, ...], *, touch: bool = True, **values: Any) -> bool:
    if touch:
        values["changed_at"] = now()
    statement = update(Job).where(*where).values(**values).execution_options(synchronize_session=False)
    changed = cast(CursorResult[Any], session.execute(statement)).rowcount == 1
    if changed:
        session.expire_all()
    return changed
