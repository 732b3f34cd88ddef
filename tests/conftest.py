"""Fixtures: real migrations on a database of the test's own, the real application, a signed-in browser, a token."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import expect
from sqlalchemy import make_url

from app.db import Database, User, WebSession
from app.db.migrating import migrate
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests import databases, factories, machine

expect.set_options(timeout=60_000)

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True, scope="module")
def subnormal_numbers() -> Iterator[None]:
    """The engine flushes them to zero for its whole process; the tests after it in the same one have them back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, made once; tests get a copy."""
    home = tmp_path_factory.mktemp("migrated")
    database = Database.open(Settings(home=home))
    migrate(database)
    database.close()
    return home / "trainyard.sqlite3"


@pytest.fixture
def settings(tmp_path: Path, migrated_file: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    (home / "trainyard.sqlite3").write_bytes(migrated_file.read_bytes())
    return Settings(home=home)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database.open(settings)
    yield database
    database.close()


@pytest.fixture
def storage(settings: Settings) -> Storage:
    storage = Storage(settings.home.resolve())
    storage.prepare()
    return storage


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings, setup_code="SETUP-CODE")


@pytest.fixture
def admin(database: Database) -> User:
    """The user `admin`, whose password is PASSWORD."""
    return factories.user(database, username="admin", is_admin=True, password=PASSWORD)


class Browser(TestClient):
    """A signed-in browser: sends its session cookie, follows no redirects, knows its CSRF token."""

    csrf: str = ""

    def send_form(self, path: str, **fields: object) -> object:
        """POSTs a form as the page would, CSRF token included."""
        return self.post(path, data={"csrf_token": self.csrf, **fields}, follow_redirects=False)


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """A browser that has not signed in."""
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(app: FastAPI, database: Database, admin: User) -> Iterator[Browser]:
    with Browser(app, base_url="http://localhost", follow_redirects=False) as browser:
        sign_in(browser, database, admin)
        yield browser


def sign_in(browser: Browser, database: Database, user: User) -> WebSession:
    session, cookie = factories.web_session(database, user)
    browser.cookies.set(*cookie)
    browser.csrf = session.csrf_token
    browser.headers["Origin"] = "http://localhost"
    return session


@pytest.fixture
def api(app: FastAPI, database: Database, admin: User) -> Iterator[TestClient]:
    """A script with a token of the admin's."""
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        client.headers["Authorization"] = f"Bearer {factories.api_token(database, admin)}"
        yield client


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with mnist-test.zip, mnist-train.zip and cifar10-test.zip."""
    return machine.real_data()


@pytest.fixture(scope="session")
def migrated_postgres() -> Iterator[str]:
    """The name of a migrated, empty PostgreSQL database, made once; tests get a copy."""
    with databases.fresh_postgres() as url:
        database = Database(url)
        migrate(database)
        database.close()
        yield str(make_url(url).database)


@pytest.fixture
def postgres_settings(settings: Settings, migrated_postgres: str) -> Iterator[Settings]:
    with databases.fresh_postgres(migrated_postgres) as url:
        yield replace(settings, database_url=url)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_settings(request: pytest.FixtureRequest) -> Settings:
    """Settings with an empty, migrated database: once SQLite's, once PostgreSQL's."""
    name = "settings" if request.param == "sqlite" else "postgres_settings"
    return cast(Settings, request.getfixturevalue(name))


@pytest.fixture
def any_database(any_settings: Settings) -> Iterator[Database]:
    database = Database.open(any_settings)
    yield database
    database.close()


@pytest.fixture
def postgres_database(postgres_settings: Settings) -> Iterator[Database]:
    database = Database.open(postgres_settings)
    yield database
    database.close()
