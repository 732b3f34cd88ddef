"""Settings: one value, read once from TRAINYARD_* variables and passed in. Nothing else reads the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

PREFIX = "TRAINYARD_"
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A variable holds something that cannot be used; the message names it and says what was expected."""


@dataclass(frozen=True)
class Settings:
    """Every setting, with its variable `TRAINYARD_<NAME>`; documented for users in docs/settings.md."""

    home: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = 8080
    admin_password: str = ""  # creates the user `admin` at the first start
    database_url: str = ""  # empty: SQLite file in home
    broker_url: str = ""  # empty: Celery's filesystem broker in home
    max_upload_gb: float = 100.0
    data_roots: tuple[Path, ...] = ()  # folders below which datasets may be made of what lies on the server
    train_slots: int = 0  # models trained at once by one worker; 0: one per GPU, or one on the CPU
    data_slots: int = 1  # datasets built at once by one worker
    threads: int = 0  # CPU threads of one training; 0: all cores
    nice: int = 5  # how far trainings and builds step back for other work on the machine, 0–19
    activation_days: int = 30  # after which the arrays of a prediction's layers are deleted; 0: never
    session_days: int = 30
    secure_cookies: bool = False  # true behind TLS
    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    log_level: str = "info"

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from the environment; unknown TRAINYARD_ variables are refused unless they are for tests."""
        environ = os.environ if environ is None else environ
        known = {PREFIX + field.name.upper(): field.name for field in fields(cls)}
        values: dict[str, object] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX) or variable in {"TRAINYARD_REAL_DATA"}:
                continue
            if variable.startswith(PREFIX + "TEST_"):
                continue
            if variable not in known:
                raise SettingsError(f"{variable} is not a setting; known are {', '.join(sorted(known))}")
            if text != "":
                values[known[variable]] = _converted(variable, text, getattr(cls, known[variable]))
        settings = cls(**values)  # type: ignore[arg-type]
        settings._check()
        return settings

    def _check(self) -> None:
        self._expect("port", 1 <= self.port <= 65535, "1 to 65535")
        self._expect("nice", 0 <= self.nice <= 19, "0 to 19")
        self._expect("max_upload_gb", 0 < self.max_upload_gb < math.inf, "a number above 0")
        self._expect("activation_days", 0 <= self.activation_days <= 36500, "0 to 36500")
        self._expect("session_days", 1 <= self.session_days <= 3650, "1 to 3650")
        self._expect("data_slots", 1 <= self.data_slots <= 64, "1 to 64")
        self._expect("train_slots", 0 <= self.train_slots <= 64, "0 to 64")
        self._expect("threads", 0 <= self.threads <= 1024, "0 to 1024")
        self._expect("heartbeat_s", 0 < self.heartbeat_s < math.inf, "a number above 0")
        self._expect("data_roots", all(root.is_absolute() for root in self.data_roots), "full paths, divided by “:”")
        self._expect("lease_s", 2 * self.heartbeat_s < self.lease_s < math.inf, "more than twice TRAINYARD_HEARTBEAT_S")
        self._expect("log_level", self.log_level in LOG_LEVELS, ", ".join(LOG_LEVELS))
        if self.admin_password and len(self.admin_password) < 8:
            raise SettingsError("TRAINYARD_ADMIN_PASSWORD is shorter than 8 characters")

    def _expect(self, name: str, is_fine: bool, expected: str) -> None:
        if not is_fine:
            value = getattr(self, name)
            found = ":".join(map(str, value)) if isinstance(value, tuple) else value
            raise SettingsError(f"{PREFIX}{name.upper()} is {found}; expected {expected}")

    @property
    def is_one_machine(self) -> bool:
        return not self.database_url and not self.broker_url

    @property
    def cores(self) -> int:
        """CPU threads and processes that one run may use."""
        if self.threads:
            return self.threads
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def resolved_database_url(self) -> str:
        if self.database_url:
            return _with_driver(self.database_url)
        return f"sqlite:///{self.home.resolve() / 'trainyard.sqlite3'}"


def _with_driver(url: str) -> str:
    for plain in ("postgres://", "postgresql://"):
        if url.startswith(plain):
            return "postgresql+psycopg://" + url.removeprefix(plain)
    return url


def _converted(variable: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
    except (ValueError, KeyError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise SettingsError(f"{variable} is {text!r}; expected {kind}") from None
    if isinstance(default, tuple):
        return tuple(Path(part) for part in text.split(":") if part)
    return Path(text) if isinstance(default, Path) else text
