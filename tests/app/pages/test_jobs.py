from typing import Any

from fastapi import FastAPI

from app.db import Database, Job, JobKind, Status
from tests import factories
from tests.conftest import Browser, sign_in


def sent(client: Browser, path: str, **fields: str) -> Any:
    return client.send_form(path, **fields)


def test_without_jobs_the_page_says_what_will_appear(client: Browser) -> None:
    assert "No jobs yet" in client.get("/jobs").text


def test_jobs_are_filtered_in_the_address(client: Browser, database: Database) -> None:
    factories.job(database, JobKind.TRAIN, Status.FAILED, title="broken run", error="The loss became NaN")
    factories.job(database, JobKind.BUILD_DATASET, Status.DONE, title="flowers")
    assert "The loss became NaN" in client.get("/jobs").text
    failed = client.get("/jobs?status=failed").text
    assert "broken run" in failed
    assert "flowers" not in failed
    assert "flowers" in client.get("/jobs?lane=data").text
    assert "No job fits the filter" in client.get("/jobs?status=queued").text
    assert client.get("/jobs?status=asleep&lane=x&after=y").status_code == 200


def test_the_list_goes_on_by_key(client: Browser, database: Database) -> None:
    for number in range(53):
        factories.job(database, status=Status.DONE, title=f"job-{number:02d}")
    page = client.get("/jobs").text
    assert "job-52" in page
    assert "job-02" not in page
    assert "job-02" in client.get("/jobs?after=4").text


def test_stop_asks_the_job_and_returns_to_the_page_it_came_from(client: Browser, database: Database) -> None:
    job = factories.job(database, status=Status.RUNNING)
    answer = sent(client, f"/jobs/{job.id}/stop", next="/jobs?status=running")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?status=running")
    with database.read() as session:
        assert session.get_one(Job, job.id).stop_requested
    assert sent(client, f"/jobs/{job.id}/stop", next="https://evil.example").headers["location"] == "/"
    assert sent(client, "/jobs/999/stop").status_code == 404


def test_only_who_may_stop_a_job_sees_the_button(app: FastAPI, client: Browser, database: Database) -> None:
    job = factories.job(database, status=Status.RUNNING)
    assert f'action="/jobs/{job.id}/stop"' in client.get("/jobs/_table").text
    with Browser(app, base_url="http://localhost", follow_redirects=False) as other:
        sign_in(other, database, factories.user(database))
        assert f'action="/jobs/{job.id}/stop"' not in other.get("/jobs/_table").text
        assert sent(other, f"/jobs/{job.id}/stop").status_code == 403


def test_the_partial_is_the_inside_of_the_page(client: Browser, database: Database) -> None:
    factories.job(database, status=Status.DONE, title="flowers")
    partial = client.get("/jobs/_table").text
    assert "<html" not in partial
    assert "flowers" in partial
