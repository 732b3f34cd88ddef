"""A consistent copy of the SQLite database while it is in use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from app.db import Database


def back_up_database(database: Database, target: Path) -> None:
    """Copies page by page with SQLite's own backup; checks the copy before it gets its name."""
    part = target.with_name(f"{target.name}.part")
    with database.engine.connect() as connection, sqlite3.connect(part) as copy:
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        source.backup(copy)
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        part.unlink()
        raise RuntimeError(f"the copy is damaged: {verdict}")
    part.rename(target)
