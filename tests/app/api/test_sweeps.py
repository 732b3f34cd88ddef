"""Sweeps as JSON."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.db import Database, Status
from tests import factories

PATH = "/api/v1/sweeps"


def test_sweeps_are_listed_page_by_page(api: TestClient, database: Database) -> None:
    for name in ("a", "b", "c"):
        factories.sweep(database, name=name)
    first = api.get(PATH, params={"limit": 2}).json()
    second = api.get(PATH, params={"limit": 2, "after": first["next"]}).json()
    assert [sweep["name"] for sweep in first["items"] + second["items"]] == ["c", "b", "a"]
    assert second["next"] is None


def test_a_stop_stops_all_that_has_not_ended(api: TestClient, database: Database) -> None:
    sweep = factories.sweep(database)
    for status in (Status.RUNNING, Status.QUEUED, Status.DONE):
        factories.model(database, status=status, sweep_id=sweep.id)
    answer = api.post(f"{PATH}/{sweep.id}/stop-request")
    assert answer.status_code == 202
    assert answer.json()["counts"] == {"all": 3, "running": 1, "stopped": 1, "done": 1}
    assert [model["is_stopping"] for model in answer.json()["models"]] == [True, False, False]


@pytest.mark.parametrize("sweep_id", ["999", "9" * 30, "x"])
def test_what_does_not_exist_is_not_found(api: TestClient, sweep_id: str) -> None:
    assert api.get(f"{PATH}/{sweep_id}").status_code == 404
