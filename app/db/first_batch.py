"""First batches: previews of the images that a run's first iteration would be fed, kept for an hour."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.db.base import Record, now
from app.db.dataset import Dataset
from app.db.job import Job
from app.db.status import Status

KEPT_FOR = timedelta(hours=1)


class FirstBatch(Record):
    """The images lie at datasets/<id>/first_batches/<id>/NNN.png."""

    __tablename__ = "first_batches"

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    key: Mapped[str] = mapped_column(String(64), index=True)  # the same for the same dataset and settings
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what `key_of` takes
    images: Mapped[list[Any]] = mapped_column(default=list)  # [{"index": place in the training split, "label": int}]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)

    dataset: Mapped[Dataset] = relationship(lazy="joined")
    job: Mapped[Job] = relationship(lazy="joined")

    @property
    def status(self) -> Status:
        return Status(self.job.status)

    @property
    def image_count(self) -> int:
        """How many images the first iteration is fed; `images` holds the first of them."""
        return int(self.settings["batch_size"]) * int(self.settings["batch_accumulation"])

    @staticmethod
    def key_of(dataset: Dataset, settings: dict[str, Any]) -> str:
        content = [dataset.id, dataset.result.get("content_hash"), settings]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @classmethod
    def same(cls, session: Session, key: str) -> FirstBatch | None:
        """One that was, or is being, drawn with the same settings and will be there for a while."""
        usable = (Status.QUEUED, Status.RUNNING, Status.DONE)
        found = select(cls).join(cls.job).where(cls.key == key, Job.status.in_(usable))
        return session.scalar(found.where(cls.created_at > now() - KEPT_FOR / 2).order_by(cls.id.desc()).limit(1))

    @classmethod
    def outdated(cls, session: Session, limit: int = 50, *, for_update: bool = False) -> Sequence[FirstBatch]:
        """The ended ones that were kept long enough; `for_update` holds them, and passes over those held by others."""
        ended = (Status.DONE, Status.FAILED, Status.STOPPED)
        found = select(cls).join(cls.job).where(cls.created_at < now() - KEPT_FOR, Job.status.in_(ended)).limit(limit)
        if for_update:
            found = found.with_for_update(of=cls, skip_locked=True)
        return session.scalars(found).all()

    @classmethod
    def forget(cls, session: Session, first_batches: Sequence[FirstBatch]) -> None:
        """Rows and jobs; the files are the caller's."""
        for first_batch in first_batches:
            job = first_batch.job
            session.delete(first_batch)
            session.flush()
            session.delete(job)
