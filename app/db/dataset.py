"""Datasets: the choices of the wizard, what the build found, and who needs the result."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.db.account import User
from app.db.base import Record, now
from app.db.job import Job
from app.db.status import Status
from app.db.upload import Upload
from app.preprocessing import Channels, Preprocessing, ResizeMode, fill_color_of


class Dataset(Record):
    """`options` are the wizard's choices, `result` is what the build reported; its state is its job's."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    upload_id: Mapped[int | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    channels: Mapped[str] = mapped_column(String(8))
    width: Mapped[int]
    height: Mapped[int]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # {"classes": [name], "splits": {"train": {"count": n, "per_class": [n]}, …}, "skipped_count": n,
    #  "content_hash": hex, "mean": [float per channel, BGR], "size_bytes": n}
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    submission: Mapped[str | None] = mapped_column(String(64), unique=True)  # the form's one-time mark
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User | None] = relationship(lazy="joined")
    upload: Mapped[Upload | None] = relationship(lazy="joined")
    job: Mapped[Job] = relationship(lazy="joined")

    @property
    def preprocessing(self) -> Preprocessing:
        """Its part: channels, size, and how a picture comes to it."""
        mode = ResizeMode(self.options.get("resize_mode", ResizeMode.SQUASH))
        return Preprocessing(Channels(self.channels), self.width, self.height, mode, fill_color_of(self.options))

    @property
    def status(self) -> Status:
        return Status(self.job.status)

    @property
    def classes(self) -> list[str]:
        return list(self.result.get("classes", []))

    @property
    def splits(self) -> dict[str, Any]:
        return dict(self.result.get("splits", {}))

    def count(self, split: str) -> int:
        return int(self.splits.get(split, {}).get("count", 0))

    @property
    def image_count(self) -> int:
        return sum(self.count(split) for split in self.splits)

    def models_that_need_it(self, session: Session, limit: int = 20) -> tuple[int, list[Any]]:
        """How many models name this dataset, and the newest few of them."""
        from app.db.model import Model

        needing = select(Model).where(Model.dataset_id == self.id)
        count = session.scalar(select(func.count()).select_from(needing.subquery())) or 0
        return count, list(session.scalars(needing.order_by(Model.id.desc()).limit(limit)))
