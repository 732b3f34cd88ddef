"""Archives that people send, by mistake or on purpose, on their whole way: over HTTP, through the check, into a build.

Each has its expected message or outcome (`tests/zoo`), is judged within a minute, and none lets the web process or the
processes of a build grow past what a small machine has.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.db import Database
from app.settings import Settings
from tests import factories
from tests.app.live_server import ROOT, Server, serving
from tests.memory import family_of, watched
from tests.zoo.pictures import LEFT_OUT, ODD, PICTURES
from tests.zoo.sample import Built, NotBuilt, Refused, Sample, Taken
from tests.zoo.tars import OTHERS, TARS
from tests.zoo.zips import ZIPS

ZOO = ZIPS | TARS | OTHERS | PICTURES
MOST_BYTES = 512 * 2**20
MOST_SECONDS = 60
Builder = Callable[[Path, Sample], dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("zoo") / "home"
    home.mkdir()
    (home / "trainyard.sqlite3").write_bytes(migrated_file.read_bytes())
    with serving(home) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[httpx.Client]:
    database = Database.open(Settings(home=server.home))
    token = factories.api_token(database, factories.user(database))
    database.close()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{server.url}/api/v1/", headers=headers, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def builder() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.zoo.builder"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    yield process
    process.communicate(timeout=30)


def test_the_zoo_is_as_large_as_it_should_be() -> None:
    assert len(ZOO) >= 100
    assert len(ODD) + len(LEFT_OUT) >= 45


@pytest.mark.parametrize("name", ZOO)
def test_an_archive_of_the_zoo(
    name: str, tmp_path: Path, server: Server, api: httpx.Client, builder: subprocess.Popen[str]
) -> None:
    sample = ZOO[name]
    archive = sample.make(tmp_path / "archive")
    started = time.monotonic()
    with watched(lambda: [*family_of(server.process.pid), *family_of(builder.pid)], 0.1) as peak:
        if sample.is_sent:
            _check_what_the_upload_says(sample, _sent(api, archive, sample))
        if isinstance(sample.outcome, Built | NotBuilt):
            _check_what_the_build_says(sample, _built(builder, archive, sample))
    assert peak.total_bytes < MOST_BYTES
    assert time.monotonic() - started < MOST_SECONDS


def _sent(api: httpx.Client, archive: Path, sample: Sample) -> httpx.Response:
    with archive.open("rb") as file:
        return api.post("uploads", files={"file": (sample.filename, file)})


def _check_what_the_upload_says(sample: Sample, answer: httpx.Response) -> None:
    outcome = sample.outcome
    if isinstance(outcome, Refused):
        assert answer.status_code == 422, answer.text
        message = answer.json()["error"]["fields"]["file"]
        assert re.search(outcome.message, message), message
        return
    assert answer.status_code == 201, answer.text
    sent = answer.json()
    assert {entry["name"]: entry["count"] for entry in sent["classes"]} == dict(outcome.classes)
    if isinstance(outcome, Taken | Built):
        assert sent["skipped"] == dict(outcome.skipped)


def _built(builder: subprocess.Popen[str], archive: Path, sample: Sample) -> dict[str, Any]:
    assert isinstance(sample.outcome, Built | NotBuilt)
    assert builder.stdin is not None
    assert builder.stdout is not None
    builder.stdin.write(json.dumps([str(archive), sample.filename, sample.outcome.percents]) + "\n")
    builder.stdin.flush()
    return dict(json.loads(builder.stdout.readline()))


def _check_what_the_build_says(sample: Sample, found: dict[str, Any]) -> None:
    outcome = sample.outcome
    assert found["left"] == []
    if isinstance(outcome, NotBuilt):
        assert re.search(outcome.message, found["error"]), found
        return
    assert isinstance(outcome, Built)
    assert "error" not in found, found
    left_out = Counter(path.split("/")[0] for path in outcome.unreadable)
    assert found["counts"] == {name: count - left_out[name] for name, count in outcome.classes.items()}
    assert set(found["unreadable"]) == set(outcome.unreadable)
    for path, reason in outcome.unreadable.items():
        assert re.search(reason, found["unreadable"][path]), (path, found["unreadable"][path])
