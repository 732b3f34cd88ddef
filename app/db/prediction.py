"""Predictions: one picture put through one snapshot of a model, with what every layer made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.account import User
from app.db.base import Record, now
from app.db.job import Job
from app.db.model import Model
from app.db.snapshot import Snapshot
from app.db.status import Status


class Prediction(Record):
    """The picture lies at models/<id>/predictions/<id>/image, activations in activations/NN.npy beside it."""

    __tablename__ = "predictions"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    filename: Mapped[str] = mapped_column(String(1000))
    with_layers: Mapped[bool] = mapped_column(default=True)
    top: Mapped[list[Any]] = mapped_column(default=list)  # [{"label": str, "probability": float}], the best five
    # [{"name", "type", "shape", "mean", "std", "min", "max", "histogram": {"counts", "edges"}, "file"}]
    layers: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User | None] = relationship(lazy="joined")
    model: Mapped[Model] = relationship(lazy="joined")
    snapshot: Mapped[Snapshot] = relationship(lazy="joined")
    job: Mapped[Job] = relationship(lazy="joined")

    @property
    def status(self) -> Status:
        return Status(self.job.status)
