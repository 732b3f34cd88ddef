"""Predictions: one picture put through a snapshot or a pretrained net, and what every layer made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

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
