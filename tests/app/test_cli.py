"""The commands as a user types them. Most run in this process, by the same way in as the real one: `main()`."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from app.cli import main
from app.db import ApiToken, Database, Upload, User, WebSession
from app.security.passwords import is_right
from app.security.sessions import find_api_token
from app.settings import Settings
from app.version import VERSION
from tests import factories

ROOT = Path(__file__).parents[2]
PASSWORD = "a long enough one"
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a command: (exit code, what it printed, what it complained)."""
    monkeypatch.setenv("TRAINYARD_HOME", str(settings.home))

    def type_in(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trainyard", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return type_in


def test_the_module_runs_as_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{VERSION}\n"


def test_a_command_prepares_a_home_that_is_not_there_yet(tmp_path: Path) -> None:
    home = tmp_path / "家" / "trainyard"
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "user", "add", "メアリー"],
        cwd=ROOT,
        env={"TRAINYARD_HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    database = Database.open(Settings(home=home))
    with database.read() as session:
        assert session.scalars(select(User.username)).all() == ["メアリー"]
    database.close()


def test_a_bad_setting_is_one_line(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_PORT", "eighty")
    code, out, err = typed("migrate")
    assert (code, out) == (1, "")
    assert err == "trainyard: TRAINYARD_PORT is 'eighty'; expected a whole number\n"


def test_a_database_that_is_away_is_one_line(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    code, _, err = typed("migrate")
    assert code == 1
    assert err.startswith("trainyard: the database does not answer: ")
    assert "Traceback" not in err


def test_migrate_says_when_it_is_done_and_may_be_repeated(typed: Typed) -> None:
    assert typed("migrate") == typed("migrate") == (0, "The database is up to date.\n", "")


def test_a_newer_database_is_refused(typed: Typed, database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    code, _, err = typed("migrate")
    assert code == 1
    assert "newer" in err


def test_users_are_added_with_a_password_from_standard_input(typed: Typed, database: Database) -> None:
    code, out, _ = typed("user", "add", "mary", "--admin", stdin=f"{PASSWORD}\n")
    assert (code, out) == (0, "User mary may now sign in.\n")
    with database.read() as session:
        user = session.scalars(select(User)).one()
    assert (user.username, user.is_admin) == ("mary", True)
    assert is_right(user.password_hash, PASSWORD)
    assert PASSWORD not in user.password_hash


def test_users_are_not_administrators_unless_told(typed: Typed, database: Database) -> None:
    typed("user", "add", "mary", stdin=f"{PASSWORD}\n")
    with database.read() as session:
        assert not session.scalars(select(User)).one().is_admin


@pytest.mark.parametrize(
    ("name", "password", "complaint"),
    [
        ("mary", "short", "at least 8"),
        ("mary", "", "at least 8"),
        ("mary", "password1", "first that people guess"),
        ("", PASSWORD, "user name"),
        ("ADMIN", PASSWORD, "already a user"),
    ],
)
def test_a_user_that_cannot_be_is_refused_in_one_line(
    typed: Typed, database: Database, admin: User, name: str, password: str, complaint: str
) -> None:
    code, out, err = typed("user", "add", name, stdin=f"{password}\n")
    assert (code, out) == (1, "")
    assert complaint in err
    assert err.count("\n") == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(User)) == 1


def test_a_changed_password_signs_the_user_out_everywhere(typed: Typed, database: Database, admin: User) -> None:
    other = factories.user(database)
    factories.web_session(database, admin)
    kept, _ = factories.web_session(database, other)

    code, out, _ = typed("user", "password", "Admin", stdin="another long one\n")

    assert (code, out) == (0, "The password of Admin is changed.\n")
    with database.read() as session:
        assert is_right(session.get_one(User, admin.id).password_hash, "another long one")
        assert session.scalars(select(WebSession.id)).all() == [kept.id]


@pytest.mark.parametrize(("name", "password"), [("nobody", PASSWORD), ("admin", "short")])
def test_a_password_that_cannot_be_changed_stays(
    typed: Typed, database: Database, admin: User, name: str, password: str
) -> None:
    code, _, err = typed("user", "password", name, stdin=f"{password}\n")
    assert code == 1
    assert err.startswith("trainyard: ")
    with database.read() as session:
        assert session.get_one(User, admin.id).password_hash == admin.password_hash


def test_a_token_is_printed_once_and_stored_hashed(typed: Typed, database: Database, admin: User) -> None:
    code, out, _ = typed("token", "admin", "--label", "夜の実験")
    token = out.strip()
    assert code == 0
    with database.read() as session:
        row = session.scalars(select(ApiToken)).one()
        assert row.label == "夜の実験"
        assert token not in row.token_hash
        visitor = find_api_token(session, token)
    assert visitor is not None
    assert visitor.user.id == admin.id


def test_nobody_gets_no_token(typed: Typed) -> None:
    assert typed("token", "nobody") == (1, "", "trainyard: There is no user nobody.\n")


def test_the_sample_is_an_upload_that_is_ready(typed: Typed, database: Database) -> None:
    code, out, _ = typed("sample")
    assert code == 0
    assert "1797 images in 10 classes" in out
    with database.read() as session:
        upload = session.scalars(select(Upload)).one()
    assert upload.is_ready
    assert [entry["name"] for entry in upload.classes] == [str(digit) for digit in range(10)]


def test_a_backup_goes_to_a_new_file_only(typed: Typed, tmp_path: Path, admin: User) -> None:
    target = tmp_path / "copy.sqlite3"
    code, out, _ = typed("backup", str(target))
    assert code == 0
    assert str(target) in out
    assert target.stat().st_size > 0

    code, _, err = typed("backup", str(target))
    assert code == 1
    assert "exists already" in err


def test_a_backup_into_a_folder_that_is_not_there_is_one_line(typed: Typed, tmp_path: Path) -> None:
    code, _, err = typed("backup", str(tmp_path / "nowhere" / "copy.sqlite3"))
    assert code == 1
    assert err == f"trainyard: there is no folder {tmp_path / 'nowhere'}.\n"


def test_a_backup_of_postgresql_is_left_to_pg_dump(
    typed: Typed, postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRAINYARD_DATABASE_URL", postgres_settings.database_url)
    code, _, err = typed("backup", str(tmp_path / "copy.sqlite3"))
    assert code == 1
    assert "pg_dump" in err


@pytest.mark.parametrize("command", ["serve", "web", "worker", "migrate", "user", "token", "sample", "backup"])
def test_every_command_explains_itself(typed: Typed, command: str) -> None:
    code, out, _ = typed(command, "--help")
    assert code == 0
    assert "Usage" in out
