"""The command line: `trainyard serve | web | worker | migrate | user | token | sample | backup`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import OperationalError

from app.db import Database, Lane
from app.db.migrating import NewerDatabase, migrate
from app.settings import Settings, SettingsError
from app.storage import Storage
from app.version import VERSION

cli = typer.Typer(help="Train image models from a browser.", no_args_is_help=True, pretty_exceptions_enable=False)
users = typer.Typer(help="Who may sign in.", no_args_is_help=True)
cli.add_typer(users, name="user")


class Refused(Exception):
    """A command that cannot do what it was asked; the message is all the user needs."""


@cli.command()
def serve() -> None:
    """Run everything on this machine: the web pages and all workers. Ctrl-C ends it."""
    from app.serving import Unservable, serve_until_stopped

    settings = _settings()
    try:
        serve_until_stopped(settings)
    except Unservable as error:
        raise Refused(str(error)) from error


@cli.command()
def web() -> None:
    """Run the web process only, on a database that `trainyard migrate` or `serve` has prepared."""
    from app.serving import run_web

    run_web(_settings())


@cli.command()
def worker(
    lane: Annotated[list[Lane] | None, typer.Option(help="Which work to do; all lanes if not given.")] = None,
) -> None:
    """Run workers only: one process a lane."""
    from app.serving import run_workers

    run_workers(_settings(), lane or list(Lane))


@cli.command(name="migrate")
def migrate_database() -> None:
    """Bring the database to this version's schema."""
    with _database() as (_, database):
        migrate(database)
    typer.echo("The database is up to date.")


@users.command("add")
def add_user(
    username: str, admin: Annotated[bool, typer.Option("--admin", help="May change what belongs to others.")] = False
) -> None:
    """Add a user; asks for the password, or reads it from standard input when that is not a terminal."""
    from app.security.accounts import AccountError
    from app.security.accounts import add_user as add

    password = _asked_password()
    with _database() as (_, database):
        try:
            with database.write() as session:
                add(session, username, password, is_admin=admin)
        except AccountError as error:
            raise Refused(str(error)) from error
    typer.echo(f"User {username} may now sign in.")


@users.command("password")
def change_password(username: str) -> None:
    """Set a user's password anew; signs the user out everywhere."""
    from app.security.accounts import find_user, set_password
    from app.security.passwords import hash_password, password_fault

    password = _asked_password()
    with _database() as (_, database):
        with database.read() as session:
            user = find_user(session, username)
        if user is None:
            raise Refused(f"There is no user {username}.")
        fault = password_fault(password, username)
        if fault:
            raise Refused(fault)
        password_hash = hash_password(password)
        with database.write() as session:
            set_password(session, user.id, password_hash)
    typer.echo(f"The password of {username} is changed.")


@cli.command()
def token(username: str, label: str = "command line") -> None:
    """Make an API token for a user and print it, once."""
    from app.security.accounts import find_user
    from app.security.sessions import new_api_token

    with _database() as (_, database), database.write() as session:
        user = find_user(session, username)
        if user is None:
            raise Refused(f"There is no user {username}.")
        typer.echo(new_api_token(session, user.id, label)[1])


@cli.command()
def sample() -> None:
    """Put scikit-learn's handwritten digits among the uploads."""
    from app.uploads.uploads import add_sample

    with _database() as (settings, database):
        upload = add_sample(database, Storage(settings.home.resolve()), user_id=None)
    typer.echo(f"Upload {upload.id} {upload.name!r}: {upload.image_count} images in {len(upload.classes)} classes.")


@cli.command()
def backup(target: Path) -> None:
    """Copy the SQLite database, whole and consistent, to a new file; uploads and models are copied as files."""
    from app.backup import back_up_database

    with _database() as (_, database):
        if not database.is_sqlite:
            raise Refused("Back PostgreSQL up with pg_dump; this command copies SQLite files.")
        if target.exists():
            raise Refused(f"{target} exists already; name a file that does not.")
        if not target.parent.is_dir():
            raise Refused(f"there is no folder {target.parent}.")
        back_up_database(database, target)
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


@cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def _asked_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise Refused("The two passwords differ.")
    return password


def _settings() -> Settings:
    try:
        return Settings.read()
    except SettingsError as error:
        raise Refused(str(error)) from error


@contextmanager
def _database() -> Iterator[tuple[Settings, Database]]:
    settings = _settings()
    Storage(settings.home.resolve()).prepare()
    database = Database.open(settings)
    try:
        migrate(database)
        yield settings, database
    except NewerDatabase as error:
        raise Refused(str(error)) from error
    except OperationalError as error:
        raise Refused(f"the database does not answer: {error.orig}") from error
    finally:
        database.close()


def main() -> None:
    try:
        cli()
    except Refused as error:
        typer.echo(f"trainyard: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
