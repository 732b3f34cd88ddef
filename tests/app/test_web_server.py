"""The web process as a process: what happens to its clients when it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest

from app.db import Database, Status
from app.settings import Settings
from tests import factories
from tests.app.live_server import Server, serving


@pytest.fixture
def server(database: Database, settings: Settings) -> Iterator[Server]:
    with serving(settings.home) as server:
        yield server


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_stop_ends_its_event_streams(
    database: Database, server: Server, told: signal.Signals
) -> None:
    """A line that was cut, as after the grace period, would be an error of its client's."""
    token = factories.api_token(database, factories.user(database, is_admin=True))
    model = factories.model(database, status=Status.RUNNING)
    headers = {"Authorization": f"Bearer {token}"}
    with (
        httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client,
        client.stream("GET", f"/api/v1/models/{model.id}/events") as of_a_model,
        client.stream("GET", "/api/v1/jobs/events") as of_jobs,
    ):
        lines = of_a_model.iter_lines()
        assert "event: state" in lines
        server.process.send_signal(told)
        assert [line for line in lines if line.startswith("event:")] == []
        list(of_jobs.iter_lines())
    assert server.process.wait(timeout=60) == (0 if told == signal.SIGINT else -signal.SIGTERM)
