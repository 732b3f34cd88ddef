"""Metrics: one row a number a run reported. Written in batches by the recorder, read by charts and live pages."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Record, now


class Metric(Record):
    __tablename__ = "metrics"
    __table_args__ = (Index("ix_metrics_model_id_id", "model_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    iteration: Mapped[int]
    epoch: Mapped[float]
    name: Mapped[str] = mapped_column(String(200))  # "train/loss", "val/loss", "val/accuracy", "learning_rate", …
    value: Mapped[float]
    at: Mapped[datetime] = mapped_column(default=now)

    @staticmethod
    def since(session: Session, model_id: int, metric_id: int, limit: int = 10_000) -> list[Metric]:
        statement = select(Metric).where(Metric.model_id == model_id, Metric.id > metric_id)
        return list(session.scalars(statement.order_by(Metric.id).limit(limit)))

    @staticmethod
    def rewind(session: Session, model_id: int, iteration: int) -> None:
        """Forgets what a lost attempt reported after the snapshot that its successor goes on from."""
        session.execute(delete(Metric).where(Metric.model_id == model_id, Metric.iteration > iteration))
