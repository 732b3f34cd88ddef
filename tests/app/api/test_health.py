from fastapi.testclient import TestClient

from app.db import Database, Lane, Status, Worker
from app.version import VERSION
from tests import factories


def test_health_needs_no_sign_in_and_tells_only_numbers(anonymous: TestClient, database: Database) -> None:
    for status in (Status.QUEUED, Status.QUEUED, Status.RUNNING, Status.DONE):
        factories.job(database, status=status)
    with database.write() as session:
        session.add(Worker(name="train@host:1", lane=Lane.TRAIN, host="secret-host", slots=1))
    answer = anonymous.get("/api/v1/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "no_workers",
        "version": VERSION,
        "workers": {"data": 0, "train": 1, "predict": 0},
        "queue": {"queued": 2, "running": 1},
    }


def test_with_a_worker_in_every_lane_all_is_well(anonymous: TestClient, database: Database) -> None:
    with database.write() as session:
        session.add_all(Worker(name=f"{lane}@host:1", lane=lane, host="host", slots=1) for lane in Lane)
    assert anonymous.get("/api/v1/health").json()["status"] == "ok"
