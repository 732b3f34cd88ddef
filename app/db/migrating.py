"""Brings a database to the newest schema, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from app.db.session import Database

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = 7_211_995  # PostgreSQL advisory lock: two hosts that start together migrate one after the other


class NewerDatabase(Exception):
    """The database was migrated by a newer Trainyard; this one must not touch it."""


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrades, or for a revision before the present one downgrades, the database."""
    config = _config()
    script = ScriptDirectory.from_config(config)
    with _alone(database) as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        known = {entry.revision for entry in script.walk_revisions()}
        if present is not None and present not in known:
            raise NewerDatabase(
                f"The database is at revision {present}, which this version does not know. "
                "Start the newer Trainyard that wrote it, or restore a backup."
            )
        if present == script.get_current_head() and revision == "head":
            return
        config.attributes["connection"] = connection
        downwards = revision == "base" or (present is not None and revision != "head" and revision < present)
        (command.downgrade if downwards else command.upgrade)(config, revision)


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """One transaction that no other migration can share. SQLite copies tables to change them, so its foreign keys
    must sleep meanwhile, and that can only be said outside a transaction."""
    options = {"immediate": True} if database.is_sqlite else {}
    with database.engine.execution_options(**options).connect() as connection:
        driver = connection.connection.driver_connection
        if database.is_sqlite and driver is not None:
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
                yield connection
        finally:
            if database.is_sqlite and driver is not None:
                driver.execute("PRAGMA foreign_keys=ON")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return config
