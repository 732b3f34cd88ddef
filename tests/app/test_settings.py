from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from app.settings import PREFIX, Settings, SettingsError

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def test_an_empty_environment_gives_one_machine_on_localhost() -> None:
    settings = Settings.read({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.home) == ("127.0.0.1", 8080, Path("var"))
    assert settings.is_one_machine
    assert settings.resolved_database_url == f"sqlite:///{Path('var').resolve()}/trainyard.sqlite3"


def test_every_setting_is_read_from_its_variable_in_its_type() -> None:
    settings = Settings.read(
        {
            "TRAINYARD_HOME": "/srv/データ",
            "TRAINYARD_PORT": "9000",
            "TRAINYARD_MAX_UPLOAD_GB": "2.5",
            "TRAINYARD_SECURE_COOKIES": "yes",
            "TRAINYARD_ADMIN_PASSWORD": "correct horse",
            "PATH": "/bin",
        }
    )
    assert settings.home == Path("/srv/データ")
    assert settings.port == 9000
    assert settings.max_upload_gb == 2.5
    assert settings.secure_cookies is True
    assert settings.admin_password == "correct horse"


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Settings.read({"TRAINYARD_PORT": "", "TRAINYARD_DATABASE_URL": ""}) == Settings()


def test_a_misspelt_variable_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(SettingsError, match=r"TRAINYARD_PROT is not a setting.*TRAINYARD_PORT"):
        Settings.read({"TRAINYARD_PROT": "1"})


def test_variables_of_the_tests_are_nobodys_fault() -> None:
    assert Settings.read({"TRAINYARD_TEST_REDIS_URL": "x", "TRAINYARD_REAL_DATA": "/data"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "eighty", "expected a whole number"),
        ("PORT", "0", "expected 1 to 65535"),
        ("PORT", "70000", "expected 1 to 65535"),
        ("NICE", "-5", "expected 0 to 19"),
        ("MAX_UPLOAD_GB", "-1", "expected a number above 0"),
        ("MAX_UPLOAD_GB", "nan", "expected a number above 0"),
        ("SECURE_COOKIES", "maybe", "expected true or false"),
        ("DATA_SLOTS", "0", "expected 1 to 64"),
        ("LEASE_S", "10", "more than twice TRAINYARD_HEARTBEAT_S"),
        ("LEASE_S", "nan", "more than twice TRAINYARD_HEARTBEAT_S"),
        ("HEARTBEAT_S", "0", "expected a number above 0"),
        ("LOG_LEVEL", "loud", "expected debug, info, warning, error"),
        ("ADMIN_PASSWORD", "short", "shorter than 8"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(expected)) as caught:
        Settings.read({PREFIX + variable: value})
    assert PREFIX + variable in str(caught.value)


def test_a_refused_password_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({"TRAINYARD_ADMIN_PASSWORD": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_data_roots_are_full_paths_divided_by_colons() -> None:
    roots = Settings.read({"TRAINYARD_DATA_ROOTS": "/data/pictures:/mnt/share:"}).data_roots
    assert roots == (Path("/data/pictures"), Path("/mnt/share"))
    with pytest.raises(SettingsError, match=r"TRAINYARD_DATA_ROOTS is /data:pictures; expected full paths"):
        Settings.read({"TRAINYARD_DATA_ROOTS": "/data:pictures"})


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_address_gets_the_driver_that_is_installed(scheme: str) -> None:
    settings = Settings(database_url=f"{scheme}://mary:secret@db/trainyard")
    assert settings.resolved_database_url == "postgresql+psycopg://mary:secret@db/trainyard"
    assert not settings.is_one_machine


def test_cores_are_those_this_process_may_use() -> None:
    assert Settings().cores == len(os.sched_getaffinity(0))
    assert Settings(threads=3).cores == 3


# -- docs/settings.md ---------------------------------------------------------------------------------------------


def documented() -> dict[str, str]:
    """Variable → default, from the table."""
    return dict(re.findall(r"^\| `(TRAINYARD_\w+)` \| ([^|]*?) \|", DOCUMENTED, flags=re.MULTILINE))


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert set(documented()) == {PREFIX + field.name.upper() for field in fields(Settings)}


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_the_documented_default_is_the_default(field: object) -> None:
    said = documented()[PREFIX + field.name.upper()].strip("`")
    default = field.default
    if default in ("", ()):
        assert said == "empty"
    elif isinstance(default, bool):
        assert said == str(default).lower()
    elif isinstance(default, float):
        assert float(said) == default
    else:
        assert said == str(default)
