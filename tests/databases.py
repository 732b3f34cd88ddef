"""PostgreSQL databases of a test's own: made when asked for, dropped afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url, text

from tests import machine


@contextmanager
def fresh_postgres(template: str = "template0") -> Iterator[str]:
    """The URL of a new database, empty or a copy of `template`."""
    server = make_url(machine.database_url()).set(drivername="postgresql+psycopg")
    name = f"trainyard_test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'"))
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        engine.dispose()
