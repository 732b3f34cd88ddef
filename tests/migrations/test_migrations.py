from __future__ import annotations

import ast
import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from app.db import Database, Record
from app.db.migrating import NewerDatabase, migrate
from tests import databases, factories

VERSIONS = sorted((Path(__file__).parents[2] / "migrations" / "versions").glob("*.py"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
        yield database
        database.close()
        return
    with databases.fresh_postgres() as url:
        database = Database(url)
        yield database
        database.close()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names()) - {"alembic_version", "sqlite_sequence"}


def test_up_down_and_up_again(empty: Database) -> None:
    migrate(empty)
    assert tables(empty) == set(Record.metadata.tables)
    factories.snapshot(empty, factories.model(empty))

    migrate(empty, "base")
    assert tables(empty) == set()

    migrate(empty)
    assert tables(empty) == set(Record.metadata.tables)
    factories.snapshot(empty, factories.model(empty))


def test_the_migrations_make_what_the_records_say(empty: Database) -> None:
    migrate(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, Record.metadata)
    assert differences == []


def test_migrating_a_migrated_database_does_nothing(empty: Database) -> None:
    migrate(empty)
    model = factories.model(empty)
    migrate(empty)
    with empty.read() as session:
        assert session.get(type(model), model.id) is not None


def migrate_in_a_process(url: str, together: Barrier) -> None:
    database = Database(url)
    together.wait(timeout=60)
    migrate(database)


def test_processes_that_start_together_migrate_one_after_the_other(empty: Database) -> None:
    context = multiprocessing.get_context("spawn")
    url = empty.engine.url.render_as_string(hide_password=False)
    together = context.Barrier(4)
    processes = [context.Process(target=migrate_in_a_process, args=(url, together)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert tables(empty) == set(Record.metadata.tables)


def test_foreign_keys_are_watched_after_a_migration(empty: Database) -> None:
    migrate(empty)
    model = factories.model(empty)
    with pytest.raises(Exception, match=r"(?i)foreign key"), empty.write() as session:
        session.execute(text("DELETE FROM datasets WHERE id = :id"), {"id": model.dataset_id})


def test_a_database_of_a_newer_version_is_left_alone(empty: Database) -> None:
    migrate(empty)
    with empty.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabase, match="9999"):
        migrate(empty)
    assert tables(empty) == set(Record.metadata.tables)


def test_an_id_is_never_given_twice(empty: Database) -> None:
    """Folders are named by ids: the folder of a deleted dataset must not become another's."""
    migrate(empty)
    for table in Record.metadata.sorted_tables:
        if empty.is_sqlite:
            with empty.read() as session:
                made = session.scalar(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table.name})
            assert "AUTOINCREMENT" in str(made), table.name
    first = factories.upload(empty)
    with empty.write() as session:
        session.delete(session.get_one(type(first), first.id))
    assert factories.upload(empty).id > first.id


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.stem)
def test_every_migration_can_be_undone_and_says_what_it_does(version: Path) -> None:
    tree = ast.parse(version.read_text())
    bodies = {node.name: node.body for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ast.get_docstring(tree)
    for direction in ("upgrade", "downgrade"):
        assert not all(isinstance(node, (ast.Pass, ast.Raise)) for node in bodies[direction]), direction


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.stem)
def test_every_created_table_counts_its_ids_upwards_on_sqlite(version: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(version.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        if getattr(call.func, "attr", "") == "create_table":
            assert any(keyword.arg == "sqlite_autoincrement" for keyword in call.keywords), ast.unparse(call.args[0])
