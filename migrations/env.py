"""Alembic's entry: migrates the database that TRAINYARD_* settings, or the caller, name."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from app.db import Database, Record
from app.settings import Settings


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Record.metadata,
        render_as_batch=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with Database.open(Settings.read()).engine.begin() as connection:
        run(connection)
