"""Uploads: an archive that was, or is being, received. Receiving is in `app/uploads`, reading in `app/archives`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.archives.holdings import Holdings
from app.db.account import User
from app.db.base import OneOf, Record, now
from app.db.status import Status


class Upload(Record):
    """queued: announced, nothing received · running: receiving or checking · done: checked · failed · stopped."""

    __tablename__ = "uploads"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(255))  # "To": what it is called here
    filename: Mapped[str] = mapped_column(String(1000))  # "From": the file's name on the user's machine
    token: Mapped[str] = mapped_column(String(64), unique=True)  # names it in tus addresses
    status: Mapped[Status] = mapped_column(OneOf(Status, 16), default=Status.QUEUED, index=True)
    error: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)  # declared
    received_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    sha256: Mapped[str | None] = mapped_column(String(64))
    kind: Mapped[str | None] = mapped_column(String(16))  # zip, tar, tar.gz, …
    classes: Mapped[list[Any]] = mapped_column(default=list)  # [{"name": str, "count": int}]
    skipped: Mapped[dict[str, Any]] = mapped_column(default=dict)  # reason → count
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    # `Holdings`: folders, lists, LMDBs; none for uploads from before it was kept. Large, so read only when asked for.
    holds: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(lazy="joined")

    @property
    def image_count(self) -> int:
        """Those in class folders; all of them when there are none."""
        return sum(int(entry["count"]) for entry in self.classes) or self.holdings.image_count()

    @property
    def holdings(self) -> Holdings:
        return Holdings.of_dict(self.holds or {})

    @property
    def skipped_count(self) -> int:
        return sum(int(count) for count in self.skipped.values())

    @property
    def is_received(self) -> bool:
        return self.received_bytes == self.size_bytes

    @property
    def is_ready(self) -> bool:
        return self.status == Status.DONE

    def finish(
        self,
        *,
        kind: str,
        classes: list[Any],
        skipped: dict[str, Any],
        warnings: list[Any],
        holds: dict[str, Any],
        sha256: str,
    ) -> None:
        self.kind, self.classes, self.skipped, self.warnings = kind, classes, skipped, warnings
        self.holds, self.sha256 = holds, sha256
        self.status, self.error, self.finished_at = Status.DONE, None, now()

    def fail(self, reason: str) -> None:
        self.status, self.error, self.finished_at = Status.FAILED, reason, now()

    def stop(self) -> None:
        self.status, self.finished_at = Status.STOPPED, now()
