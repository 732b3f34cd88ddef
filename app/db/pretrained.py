"""Pretrained nets: weights with their prototxt, kept in a library to be tested and to start new models from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.account import User
from app.db.base import OneOf, Record, now
from app.db.job import Job
from app.db.status import Status
from app.preprocessing import Preprocessing
from app.pretrained.weights_files import WeightsSource


class PretrainedNet(Record):
    """The files lie at pretrained/<id>/; what the import found out is in the row. Its state is its job's."""

    __tablename__ = "pretrained_nets"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    notes: Mapped[str] = mapped_column(Text, default="")
    source: Mapped[WeightsSource] = mapped_column(OneOf(WeightsSource, 16))
    origin: Mapped[dict[str, Any]] = mapped_column(default=dict)  # {"filename"}, or {"model_id", "epoch", …}
    topology_name: Mapped[str] = mapped_column(String(255))
    prototxt: Mapped[str] = mapped_column(Text)
    labels: Mapped[list[Any]] = mapped_column(default=list)
    preprocessing: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Filled by the import: [{"layer", "type", "weights": [{"name", "shape"}]}], and what a person should know.
    layers: Mapped[list[Any]] = mapped_column(default=list)
    remarks: Mapped[list[Any]] = mapped_column(default=list)
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    is_complete: Mapped[bool] = mapped_column(default=False)  # every weight of the net that predicts is there
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User | None] = relationship(lazy="joined")
    job: Mapped[Job] = relationship(lazy="joined")

    @property
    def status(self) -> Status:
        return Status(self.job.status)

    @property
    def class_count(self) -> int:
        return len(self.labels)

    @property
    def preprocessing_value(self) -> Preprocessing:
        return Preprocessing.from_dict(self.preprocessing)

    @property
    def origin_title(self) -> str:
        """The name of the file that was sent, or the model and its epoch."""
        if self.source is WeightsSource.SNAPSHOT:
            return f"{self.origin.get('model')}, epoch {self.origin.get('epoch')}"
        return str(self.origin.get("filename", ""))

    @property
    def start_key(self) -> str:
        """What models that started from it have in `start_from`."""
        return f"pretrained:{self.id}"
