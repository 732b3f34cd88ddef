"""Datasets: the choices of the wizard, what the build found, and who needs the result."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.datasets.made_of import MadeOf
from app.db.account import User
from app.db.base import Record, now
from app.db.job import Job
from app.db.status import Status
from app.db.upload import Upload
from app.preprocessing import Channels, Preprocessing, ResizeMode, fill_color_of


class SourceUpload(Record):
    """An upload that a dataset needs besides its first: more pictures to divide, or a split of their own."""

    __tablename__ = "source_uploads"

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)


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
    more_uploads: Mapped[list[Upload]] = relationship(secondary="source_uploads", lazy="selectin")

    @property
    def uploads(self) -> dict[int, Upload]:
        """Those that it is made of and that are still there, by their id."""
        return {upload.id: upload for upload in (self.upload, *self.more_uploads) if upload is not None}

    @property
    def made_of(self) -> MadeOf:
        return MadeOf.of(self.options, self.upload_id)

    @property
    def missing_uploads(self) -> str:
        """Says which uploads were deleted that it would need to be made again; empty when none was."""
        made_of, there = self.made_of, self.uploads
        if made_of.main.folder is None and made_of.main.upload_id is None:
            return "The upload that this dataset is made of has been deleted."
        gone = {place.name for _, place in made_of.places() if place.upload_id and place.upload_id not in there}
        names = ", ".join(f"“{name}”" for name in sorted(gone))
        return f"An upload that this dataset is made of has been deleted: {names}." if gone else ""

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
