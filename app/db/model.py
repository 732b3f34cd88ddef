"""Models: trained, or training, networks; and the sweeps that launch several at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.augmentation import Augmentation
from app.db.account import User
from app.db.base import Record, now
from app.db.dataset import Dataset
from app.db.job import Job
from app.db.status import Status
from app.models.start import Start
from app.preprocessing import Preprocessing
from app.solver.spec import SolverSpec


class Sweep(Record):
    """The models of one form: one for every learning rate × batch size."""

    __tablename__ = "sweeps"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    submission: Mapped[str | None] = mapped_column(String(64), unique=True)  # the form's one-time mark
    created_at: Mapped[datetime] = mapped_column(default=now)

    models: Mapped[list[Model]] = relationship(back_populates="sweep", order_by="Model.id")


class Model(Record):
    """Everything a run needs is frozen in the row: prototxt, preprocessing, augmentation, solver."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(300))
    notes: Mapped[str] = mapped_column(Text, default="")
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey("sweeps.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    topology_name: Mapped[str] = mapped_column(String(255))
    prototxt: Mapped[str] = mapped_column(Text)  # fitted to the dataset's classes once those are known
    preprocessing: Mapped[dict[str, Any]] = mapped_column(default=dict)
    augmentation: Mapped[dict[str, Any] | None]  # none of models made before there was any
    solver: Mapped[dict[str, Any]] = mapped_column(default=dict)
    epochs: Mapped[int]
    batch_size: Mapped[int]
    base_lr: Mapped[float]
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    accuracy: Mapped[dict[str, Any]] = mapped_column(default=dict)  # {"train": 0.99, "val": …, "test": …} at the end
    run_info: Mapped[dict[str, Any]] = mapped_column(default=dict)  # device, precision, iterations, versions
    start_from: Mapped[str | None] = mapped_column(String(40), index=True)  # "model:3" or "pretrained:4"; None: nothing
    # What that was: {"name", "epoch", "path" of the weights, "sha256", "preprocessing", …}; it may be gone by now.
    start: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User | None] = relationship(lazy="joined")
    dataset: Mapped[Dataset] = relationship(lazy="joined")
    sweep: Mapped[Sweep | None] = relationship(back_populates="models")
    job: Mapped[Job] = relationship(lazy="joined")

    @property
    def status(self) -> Status:
        return Status(self.job.status)

    @property
    def class_count(self) -> int:
        return len(self.dataset.classes)

    @property
    def preprocessing_value(self) -> Preprocessing:
        return Preprocessing.from_dict(self.preprocessing)

    @property
    def augmentation_value(self) -> Augmentation:
        return Augmentation.from_dict(self.augmentation or {})

    @property
    def start_value(self) -> Start | None:
        """What it started from; None for new weights."""
        return Start(key=self.start_from, **self.start) if self.start_from and self.start else None

    @property
    def unfrozen_prototxt(self) -> str:
        """The prototxt before what was loaded was frozen: what to go on from."""
        start = self.start_value
        return start.prototxt if start and start.prototxt else self.prototxt

    @property
    def solver_spec(self) -> SolverSpec:
        return SolverSpec.from_dict(self.solver)
