"""Custom topologies: prototxt saved under a name. The zoo's own are files, not rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.account import User
from app.db.base import Record, now


class Topology(Record):
    __tablename__ = "topologies"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    original: Mapped[str] = mapped_column(String(255), default="")  # the zoo id or name it was edited from
    image_size: Mapped[str] = mapped_column(String(64), default="")  # "28 × 28 (gray)"
    prototxt: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User | None] = relationship(lazy="joined")
