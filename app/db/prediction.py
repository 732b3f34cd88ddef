"""Predictions: one picture put through a snapshot or a pretrained net, and what every layer made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.db.account import User
from app.db.base import Record, now
from app.db.job import Job
from app.db.model import Model
from app.db.pretrained import PretrainedNet
from app.db.snapshot import Snapshot
from app.db.status import Status


class Noun(StrEnum):
    """What pictures are tested on; the word of addresses and folders alike."""

    MODELS = "models"
    PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Subject:
    """The model, or the pretrained net, that pictures are tested on."""

    noun: Noun
    id: int

    @property
    def address(self) -> str:
        return f"/{self.noun}/{self.id}"


class Prediction(Record):
    """The picture lies at <noun>/<id>/predictions/<id>/image, activations in activations/NN.npy beside it."""

    __tablename__ = "predictions"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id", ondelete="CASCADE"), index=True)
    pretrained_id: Mapped[int | None] = mapped_column(
        ForeignKey("pretrained_nets.id", ondelete="CASCADE"), index=True
    )  # this, or model and snapshot
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    filename: Mapped[str] = mapped_column(String(1000))
    with_layers: Mapped[bool] = mapped_column(default=True)
    top: Mapped[list[Any]] = mapped_column(default=list)  # [{"label": str, "probability": float}], the best five
    # [{"name", "type", "shape", "mean", "std", "min", "max", "histogram": {"counts", "edges"}, "file"}]
    layers: Mapped[list[Any]] = mapped_column(default=list)
    arrays_made_at: Mapped[datetime | None] = mapped_column(index=True)  # None: there are none, or no more
    arrays_bytes: Mapped[int | None] = mapped_column(BigInteger)  # what they take on the disk
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User | None] = relationship(lazy="joined")
    model: Mapped[Model | None] = relationship(lazy="joined")
    snapshot: Mapped[Snapshot | None] = relationship(lazy="joined")
    pretrained: Mapped[PretrainedNet | None] = relationship()
    job: Mapped[Job] = relationship(lazy="joined")

    @property
    def subject(self) -> Subject:
        if self.pretrained_id is not None:
            return Subject(Noun.PRETRAINED, self.pretrained_id)
        assert self.model_id is not None
        return Subject(Noun.MODELS, self.model_id)

    @property
    def has_arrays(self) -> bool:
        return self.arrays_made_at is not None

    @classmethod
    def has_old_arrays(cls, session: Session, age: timedelta) -> bool:
        return session.scalar(select(cls.id).where(cls.arrays_made_at < now() - age).limit(1)) is not None

    @classmethod
    def with_old_arrays(cls, session: Session, age: timedelta, limit: int) -> Sequence[Prediction]:
        """The ended ones whose layers were made so long ago, held; passes over those held by others."""
        ended = (Status.DONE, Status.FAILED, Status.STOPPED)
        found = select(cls).join(cls.job).where(cls.arrays_made_at < now() - age, Job.status.in_(ended))
        held = found.order_by(cls.arrays_made_at).limit(limit).with_for_update(of=cls, skip_locked=True)
        return session.scalars(held).all()

    @classmethod
    def arrays_bytes_of(cls, session: Session, subject: Subject) -> int:
        """What the layers of all its predictions take."""
        column = cls.model_id if subject.noun is Noun.MODELS else cls.pretrained_id
        total = select(func.sum(cls.arrays_bytes)).where(column == subject.id)
        return int(session.scalar(total) or 0)

    @property
    def address(self) -> str:
        """Its page."""
        return f"{self.subject.address}/predictions/{self.id}"

    @property
    def epoch_label(self) -> str:
        """Of its snapshot; empty for a pretrained net."""
        return self.snapshot.epoch_label if self.snapshot else ""

    @property
    def status(self) -> Status:
        return Status(self.job.status)
