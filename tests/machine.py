"""What this machine has for the tests: Redis, PostgreSQL, Chromium, real images.

In CI nothing may be missing. Elsewhere a test that misses something is skipped, and says what to install.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

IN_CI = os.environ.get("CI") == "true"


def missing(what: str) -> NoReturn:
    if IN_CI:
        pytest.fail(f"In CI nothing is skipped: {what}")
    pytest.skip(what)


def real_data() -> Path:
    named = os.environ.get("TRAINYARD_REAL_DATA", "")
    if not named or not (Path(named) / "mnist-test.zip").is_file():
        missing("Set TRAINYARD_REAL_DATA to a folder with mnist-train.zip, mnist-test.zip and cifar10-test.zip")
    return Path(named).resolve()


def redis_url() -> str:
    url = os.environ.get("TRAINYARD_TEST_REDIS_URL", "redis://127.0.0.1:6379/5")
    if not url or not _answers(url, 6379):
        missing("Install Redis (apt install redis) or set TRAINYARD_TEST_REDIS_URL")
    return url


def database_url() -> str:
    """A PostgreSQL database in which tests may make schemas of their own."""
    url = os.environ.get("TRAINYARD_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
    if not url or not _answers(url, 5432):
        missing("Install PostgreSQL (apt install postgresql) or set TRAINYARD_TEST_DATABASE_URL")
    return url


def chromium() -> str:
    named = os.environ.get("TRAINYARD_TEST_CHROMIUM")
    path = shutil.which("chromium") or shutil.which("chromium-browser") if named is None else named
    if not path or not Path(path).exists():
        missing("Install Chromium (apt install chromium) or set TRAINYARD_TEST_CHROMIUM to its path")
    return path


def _answers(url: str, default_port: int) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or default_port), timeout=2):
            return True
    except OSError:
        return False
