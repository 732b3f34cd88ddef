"""Fixtures: real migrations on a database of the test's own, the real application, a signed-in browser, a script's token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database, User, WebSession
from app.db.migrating import migrate
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests import factories, machine

PASSWORD = "correct horse battery"


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


