"""What the live reader reads: new numbers, states and log lines of the models that somebody follows, and changed jobs.

Only reads, and runs in a thread; who is sent what is decided in `app/live.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select, union_all
from sqlalchemy.orm import Session

from app.db import Database, Job, Metric, Model, Snapshot
from app.storage import Storage

ROWS_PER_MODEL = 5_000
MODELS_PER_QUERY = 100  # SQLite takes 500 terms in a compound SELECT
LOG_BYTES = 64 * 1024  # of one read
CHANGED_JOBS = 1_000


@dataclass
class NewPoints:
    """Points of one attempt, in order; `rewind_to` when what lies after that iteration no longer counts."""

    attempt: int
    rows: list[dict[str, Any]]
    rewind_to: int | None = None


@dataclass
class Reading:
    """What one round found about one model."""

    state: dict[str, Any] = field(default_factory=dict)
    rows: list[Row[Any]] = field(default_factory=list)  # id, attempt, iteration, epoch, name, value
    before: dict[int, tuple[int, int] | None] = field(default_factory=dict)  # id → (id, iteration) at or before it
    log_start: int = 0
    log_bytes: bytes = b""
    log_size: int = 0
    has_more: bool = False
    is_gone: bool = False


@dataclass
class Place:
    """How far one client has got with one model."""

    model_id: int
    metric_id: int = 0
    log_offset: int = 0  # bytes
    wants_points: bool = True
    wants_log: bool = True
    attempt: int | None = None  # of the last point it was sent
    is_checked: bool = False  # whether its last point is known to exist still

    @property
    def text(self) -> str:
        return f"{self.metric_id}-{self.log_offset}"

    @property
    def needs_check(self) -> bool:
        return self.metric_id > 0 and not self.is_checked

    def new_points(self, reading: Reading) -> list[NewPoints]:
        """What of a reading this client has not been sent, split where a new attempt begins."""
        if not self.wants_points:
            return []
        groups: list[NewPoints] = []
        lost_to = self._lost_to(reading)
        if lost_to is not None:
            groups.append(NewPoints(self.attempt or 0, [], rewind_to=lost_to))
        last_iteration = None
        for row in reading.rows:
            if row.id <= self.metric_id:
                last_iteration = row.iteration
                continue
            if not groups or groups[-1].attempt != row.attempt or not groups[-1].rows:
                groups.append(NewPoints(row.attempt, [], self._rewind_to(row, reading, last_iteration)))
            groups[-1].rows.append(point_dict(row))
            self.attempt, last_iteration = row.attempt, row.iteration
        return groups

    def _lost_to(self, reading: Reading) -> int | None:
        """For a client that came back: the last iteration that still counts, if its last point is gone."""
        if not self.needs_check or self.metric_id not in reading.before:
            return None
        self.is_checked = True
        found = reading.before[self.metric_id]
        if found is not None and found[0] == self.metric_id:
            return None
        return found[1] if found else -1

    def _rewind_to(self, row: Row[Any], reading: Reading, last_iteration: int | None) -> int | None:
        if self.attempt in (None, row.attempt):
            return None
        if last_iteration is not None:
            return last_iteration
        found = reading.before.get(self.metric_id)
        return found[1] if found else -1

    def new_log(self, reading: Reading) -> dict[str, Any] | None:
        """Whole lines that were not sent yet; `restart` when the file has begun anew or much was skipped."""
        if not self.wants_log:
            return None
        restart = reading.log_size < self.log_offset or reading.log_start > self.log_offset
        start = reading.log_start if restart else self.log_offset
        fresh = reading.log_bytes[max(0, start - reading.log_start) :]
        if reading.log_size < self.log_offset and not fresh:
            self.log_offset = 0
            return None
        if not fresh:
            return None
        self.log_offset = start + len(fresh)
        lines = fresh.decode("utf-8", "replace").splitlines()
        return {"lines": lines, "restart": restart, "offset": self.log_offset}


def read_models(database: Database, storage: Storage, places: Sequence[Place]) -> dict[int, Reading]:
    """One reading per followed model, from the place of the client that is furthest behind."""
    by_model: dict[int, list[Place]] = {}
    for place in places:
        by_model.setdefault(place.model_id, []).append(place)
    readings = {model_id: Reading() for model_id in by_model}
    with database.read() as session:
        _read_states(session, readings)
        _read_points(session, by_model, readings)
    for model_id, followers in by_model.items():
        offsets = [place.log_offset for place in followers if place.wants_log]
        if offsets:
            read_log(storage.model_log(model_id), min(offsets), readings[model_id])
    return readings


def changed_jobs(session: Session, moment: datetime) -> list[Job]:
    statement = select(Job).where(Job.changed_at > moment).order_by(Job.changed_at).limit(CHANGED_JOBS)
    return list(session.scalars(statement))


def point_dict(row: Any) -> dict[str, Any]:
    value = row.value if math.isfinite(row.value) else None
    return {"id": row.id, "name": row.name, "iteration": row.iteration, "epoch": row.epoch, "value": value}


def last_place(session: Session, model_id: int) -> int:
    """The id of the newest number of a model: where a page that has just been drawn goes on from."""
    return session.scalar(select(func.max(Metric.id)).where(Metric.model_id == model_id)) or 0


def _read_states(session: Session, readings: dict[int, Reading]) -> None:
    snapshots = select(func.count(Snapshot.id)).where(Snapshot.model_id == Model.id).scalar_subquery()
    statement = select(Model, snapshots).where(Model.id.in_(readings))
    found = set()
    for model, snapshot_count in session.execute(statement):
        readings[model.id].state = state_dict(model, snapshot_count)
        found.add(model.id)
    for model_id in readings.keys() - found:
        readings[model_id].is_gone = True


def state_dict(model: Model, snapshot_count: int) -> dict[str, Any]:
    job = model.job
    return {
        "id": model.id,
        "status": job.status,
        "is_stopping": job.is_stopping,
        "attempt": job.attempt,
        "progress_percent": round(job.progress_percent, 2),
        "epoch": job.detail.get("epoch"),
        "epochs": model.epochs,
        "iteration": job.detail.get("iteration"),
        "images_per_s": job.detail.get("images_per_s"),
        "phase": job.detail.get("phase"),
        "eta_s": job.eta_s,
        "error": job.error,
        "accuracy": model.accuracy,
        "snapshots": snapshot_count,
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }


def _read_points(session: Session, followers: dict[int, list[Place]], readings: dict[int, Reading]) -> None:
    by_model = {model_id: [place for place in found if place.wants_points] for model_id, found in followers.items()}
    model_ids = [model_id for model_id, found in by_model.items() if found and not readings[model_id].is_gone]
    for start in range(0, len(model_ids), MODELS_PER_QUERY):
        part = model_ids[start : start + MODELS_PER_QUERY]
        places = {model_id: min(place.metric_id for place in by_model[model_id]) for model_id in part}
        for row in session.execute(union_all(*[_points_after(*place) for place in places.items()])):
            readings[row.model_id].rows.append(row)
    for model_id in model_ids:
        reading = readings[model_id]
        reading.rows.sort(key=lambda row: row.id)
        reading.has_more = len(reading.rows) >= ROWS_PER_MODEL
        for place in by_model[model_id]:
            if place.needs_check or _may_have_rewound(place, reading):
                reading.before[place.metric_id] = _at_or_before(session, model_id, place.metric_id)


def _points_after(model_id: int, metric_id: int) -> Any:
    newest = (
        select(Metric.id, Metric.model_id, Metric.attempt, Metric.iteration, Metric.epoch, Metric.name, Metric.value)
        .where(Metric.model_id == model_id, Metric.id > metric_id)
        .order_by(Metric.id)
        .limit(ROWS_PER_MODEL)
        .subquery()
    )
    return select(newest)


def _may_have_rewound(place: Place, reading: Reading) -> bool:
    return place.attempt is not None and any(row.attempt != place.attempt for row in reading.rows)


def _at_or_before(session: Session, model_id: int, metric_id: int) -> tuple[int, int] | None:
    statement = select(Metric.id, Metric.iteration).where(Metric.model_id == model_id, Metric.id <= metric_id)
    row = session.execute(statement.order_by(Metric.id.desc()).limit(1)).first()
    return (row.id, row.iteration) if row else None


def read_log(path: Path, offset: int, reading: Reading) -> None:
    """Whole lines from `offset` on; from the beginning if the file has become shorter, near the end if far behind."""
    try:
        with path.open("rb") as file:
            reading.log_size = file.seek(0, 2)
            start = offset if offset <= reading.log_size else 0
            if reading.log_size - start > LOG_BYTES:
                start = reading.log_size - LOG_BYTES
            file.seek(start)
            data = file.read(LOG_BYTES)
    except OSError:
        return
    if start != offset and start > 0:  # begin with a whole line
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
    reading.log_start, reading.log_bytes = start, data[: data.rfind(b"\n") + 1]
