"""Workers: which processes do the work of which lane, seen when last, with which devices."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import OneOf, Record, now
from app.db.job import Lane

SILENT_AFTER_S = 20.0


class Worker(Record):
    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)  # lane@host:pid
    lane: Mapped[Lane] = mapped_column(OneOf(Lane, 16))
    host: Mapped[str] = mapped_column(String(255))
    slots: Mapped[int]
    busy: Mapped[int] = mapped_column(default=0)
    devices: Mapped[list[Any]] = mapped_column(default=list)
    started_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)

    @property
    def is_alive(self) -> bool:
        return self.seen_at > now() - timedelta(seconds=SILENT_AFTER_S)

    @staticmethod
    def alive(session: Session) -> list[Worker]:
        recent = now() - timedelta(seconds=SILENT_AFTER_S)
        return list(session.scalars(select(Worker).where(Worker.seen_at > recent).order_by(Worker.name)))

    @staticmethod
    def forget_silent(session: Session) -> None:
        session.execute(delete(Worker).where(Worker.seen_at < now() - timedelta(days=1)))
