"""Snapshots: weights and solver state at an epoch. The files lie under the model's folder; rows say which exist."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Record, now


class Snapshot(Record):
    __tablename__ = "snapshots"
    __table_args__ = (UniqueConstraint("model_id", "iteration"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    epoch: Mapped[float]
    iteration: Mapped[int]
    path: Mapped[str] = mapped_column(String(500))  # folder, relative to the home
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)  # the last validation: {"val/loss": …}
    created_at: Mapped[datetime] = mapped_column(default=now)

    @property
    def epoch_label(self) -> str:
        return f"{self.epoch:g}" if self.epoch == round(self.epoch) else f"{self.epoch:.2f}"

    @staticmethod
    def of_model(session: Session, model_id: int) -> list[Snapshot]:
        """All snapshots of a model, the newest first."""
        statement = select(Snapshot).where(Snapshot.model_id == model_id).order_by(Snapshot.iteration.desc())
        return list(session.scalars(statement))

    @staticmethod
    def last(session: Session, model_id: int) -> Snapshot | None:
        statement = select(Snapshot).where(Snapshot.model_id == model_id).order_by(Snapshot.iteration.desc())
        return session.scalars(statement.limit(1)).first()

    @staticmethod
    def find(session: Session, model_id: int, wanted: str) -> Snapshot | None:
        """The snapshot that `wanted` names: "last", "best" (validation accuracy, then loss), or an epoch."""
        if wanted in ("", "last"):
            return Snapshot.last(session, model_id)
        snapshots = Snapshot.of_model(session, model_id)
        if wanted == "best":
            return max(snapshots, key=_goodness, default=None)
        return next((entry for entry in snapshots if entry.epoch_label == wanted), None)


def _goodness(snapshot: Snapshot) -> tuple[float, float]:
    return snapshot.metrics.get("val/accuracy", 0.0), -snapshot.metrics.get("val/loss", float("inf"))
