from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database, Job, JobKind, Status
from tests import factories


def test_a_job_is_told_with_its_progress(api: TestClient, database: Database) -> None:
    job = factories.job(database, JobKind.TRAIN, Status.RUNNING, title="LeNet", progress_percent=43.2, eta_s=94.0,
                        detail={"epoch": 6.4, "epochs": 15})  # fmt: skip
    told = api.get(f"/api/v1/jobs/{job.id}").json()
    assert (told["kind"], told["lane"], told["status"]) == ("train", "train", "running")
    assert (told["progress_percent"], told["eta_s"], told["detail"]["epochs"]) == (43.2, 94.0, 15)
    assert api.get("/api/v1/jobs").json() == {"items": [told], "next": None}


def test_jobs_are_filtered_and_paged(api: TestClient, database: Database) -> None:
    ids = [factories.job(database, status=Status.DONE).id for _ in range(3)]
    factories.job(database, status=Status.FAILED)
    page = api.get("/api/v1/jobs?status=done&limit=2").json()
    assert [item["id"] for item in page["items"]] == ids[:0:-1]
    rest = api.get(f"/api/v1/jobs?status=done&limit=2&after={page['next']}").json()
    assert [item["id"] for item in rest["items"]] == ids[:1]
    assert api.get("/api/v1/jobs?status=asleep").status_code == 422


def test_a_stop_is_asked_for_once(api: TestClient, database: Database) -> None:
    job = factories.job(database, status=Status.RUNNING)
    answer = api.post(f"/api/v1/jobs/{job.id}/stop-request")
    assert answer.status_code == 202
    assert answer.json()["stop_requested"]
    queued = factories.job(database, status=Status.QUEUED)
    assert api.post(f"/api/v1/jobs/{queued.id}/stop-request").json()["status"] == "stopped"
    again = api.post(f"/api/v1/jobs/{queued.id}/stop-request")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "has_ended")
    assert api.post("/api/v1/jobs/999/stop-request").status_code == 404


def test_somebody_else_s_job_goes_on(app: FastAPI, api: TestClient, database: Database) -> None:
    job = factories.job(database, status=Status.RUNNING)
    api.headers["Authorization"] = f"Bearer {factories.api_token(database, factories.user(database))}"
    assert api.post(f"/api/v1/jobs/{job.id}/stop-request").status_code == 403
    with database.read() as session:
        assert not session.get_one(Job, job.id).stop_requested
