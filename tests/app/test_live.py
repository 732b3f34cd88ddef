"""Server-sent events over a real server: in time, without gaps or doubles, and not slower for anybody."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from app.db import Database, Job, Metric, Model, Status
from app.live import Feed, sse
from app.settings import Settings
from app.storage import Storage
from tests import factories
from tests.app.live_server import serving

PATIENCE_S = 30.0


@dataclass
class Event:
    name: str
    data: Any
    id: str
    at: float


@dataclass
class Line:
    """One client's line to the server."""

    events: Iterator[Event]

    def until(self, name: str) -> Event:
        return next(event for event in self.events if event.name == name)

    def until_state(self, job_id: int, status: str) -> Event:
        wanted = (job_id, status)
        return next(event for event in self.events if (event.data.get("id"), event.data.get("status")) == wanted)

    def points(self, count: int) -> list[dict[str, Any]]:
        """The next points, until there are so many of them."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found.extend(self.until("points").data["points"])
        return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Settings:
    """One home for all tests of this file: each follows a model of its own."""
    home = tmp_path_factory.mktemp("live")
    (home / "trainyard.sqlite3").write_bytes(migrated_file.read_bytes())
    return Settings(home=home)


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Database]:
    database = Database.open(settings)
    yield database
    database.close()


@pytest.fixture(scope="module")
def server(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """A client with a token, of a server process on that home."""
    token = factories.api_token(database, factories.user(database, is_admin=True))
    with (
        serving(settings.home) as process,
        httpx.Client(
            base_url=process.url, timeout=PATIENCE_S, trust_env=False, headers={"Authorization": f"Bearer {token}"}
        ) as client,
    ):
        yield client


@contextmanager
def following(client: httpx.Client, path: str, **options: Any) -> Iterator[Line]:
    with client.stream("GET", path, **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Line(_events(answer))


def _events(answer: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "event" in fields:
            yield Event(fields["event"], json.loads(fields["data"]), fields["id"], time.monotonic())
        fields = {}


def report(database: Database, model: Model, iterations: range, attempt: int = 1) -> None:
    """What a recorder writes: some numbers in one transaction."""
    rows = [
        {"model_id": model.id, "attempt": attempt, "iteration": number, "epoch": number / 10, "name": "train/loss",
         "value": 1.0 / (number + 1)}
        for number in iterations
    ]  # fmt: skip
    with database.write() as session:
        session.execute(insert(Metric), rows)


def iterations_of(points: list[dict[str, Any]]) -> list[int]:
    return [point["iteration"] for point in points]


@pytest.fixture
def model(database: Database) -> Model:
    return factories.model(database, status=Status.RUNNING)


def test_points_arrive_within_a_second(server: httpx.Client, database: Database, model: Model) -> None:
    with following(server, f"/api/v1/models/{model.id}/events") as line:
        line.until("state")
        delays = []
        for number in range(5):
            written = time.monotonic()
            report(database, model, range(number, number + 1))
            delays.append(line.until("points").at - written)
    assert min(delays) < 1.0, delays


def test_a_client_that_comes_back_gets_what_it_missed_once(
    server: httpx.Client, database: Database, model: Model
) -> None:
    path = f"/api/v1/models/{model.id}/events"
    report(database, model, range(10))
    with following(server, path) as line:
        event = line.until("points")
        seen = event.data["points"]
    report(database, model, range(10, 25))
    with following(server, path, headers={"Last-Event-ID": event.id}) as line:
        seen += line.points(15)
        report(database, model, range(25, 30))
        seen += line.points(5)
    assert iterations_of(seen) == list(range(30))


def test_since_does_the_same_as_the_last_event_id(server: httpx.Client, database: Database, model: Model) -> None:
    report(database, model, range(6))
    path = f"/api/v1/models/{model.id}"
    page = server.get(f"{path}/metrics", params={"limit": 4}).json()
    with following(server, f"{path}/events", params={"since": page["next"]}) as line:
        assert iterations_of(line.points(2)) == [4, 5]


def test_clients_at_different_places_get_each_their_own(server: httpx.Client, database: Database, model: Model) -> None:
    path = f"/api/v1/models/{model.id}/events"
    report(database, model, range(20))
    ids = [point["id"] for point in server.get(f"/api/v1/models/{model.id}/metrics").json()["points"]]
    with (
        following(server, path) as from_the_start,
        following(server, path, params={"since": ids[14]}) as from_the_middle,
    ):
        assert iterations_of(from_the_start.points(20)) == list(range(20))
        assert iterations_of(from_the_middle.points(5)) == list(range(15, 20))
        report(database, model, range(20, 22))
        assert iterations_of(from_the_start.points(2)) == iterations_of(from_the_middle.points(2)) == [20, 21]


def test_more_points_than_one_read_takes_arrive_in_order(
    server: httpx.Client, database: Database, model: Model
) -> None:
    report(database, model, range(12_345))
    with following(server, f"/api/v1/models/{model.id}/events") as line:
        assert iterations_of(line.points(12_345)) == list(range(12_345))


def test_a_run_that_goes_on_from_a_snapshot_rewinds_its_clients(
    server: httpx.Client, database: Database, model: Model
) -> None:
    report(database, model, range(10))
    with following(server, f"/api/v1/models/{model.id}/events") as line:
        assert len(line.points(10)) == 10
        with database.write() as session:
            Metric.rewind(session, model.id, 6)
        report(database, model, range(7, 9), attempt=2)
        assert line.until("rewind").data == {"iteration": 6}
        assert iterations_of(line.points(2)) == [7, 8]


def test_a_client_that_was_away_during_a_rewind_is_told(server: httpx.Client, database: Database, model: Model) -> None:
    path = f"/api/v1/models/{model.id}/events"
    report(database, model, range(10))
    with following(server, path) as line:
        last = line.until("points").id
    with database.write() as session:
        Metric.rewind(session, model.id, 3)
    report(database, model, range(4, 6), attempt=2)
    with following(server, path, headers={"Last-Event-ID": last}) as line:
        first = next(line.events)
        assert (first.name, first.data) == ("rewind", {"iteration": 3})
        assert iterations_of(line.points(2)) == [4, 5]


def test_a_rewind_to_the_very_start_forgets_everything(server: httpx.Client, database: Database, model: Model) -> None:
    report(database, model, range(5))
    with following(server, f"/api/v1/models/{model.id}/events") as line:
        line.points(5)
        with database.write() as session:
            Metric.rewind(session, model.id, -1)
        report(database, model, range(2), attempt=2)
        assert line.until("rewind").data == {"iteration": -1}


def test_a_change_of_state_is_told_once(server: httpx.Client, database: Database, model: Model) -> None:
    with following(server, f"/api/v1/models/{model.id}/events") as line:
        assert line.until("state").data["status"] == "running"
        with database.write() as session:
            Job.request_stop(session, model.job_id)
        state = line.until("state").data
        assert (state["status"], state["is_stopping"]) == ("running", True)
        report(database, model, range(1))
        assert next(line.events).name == "points"


def test_log_lines_arrive_whole_and_once(server: httpx.Client, model: Model, storage: Storage) -> None:
    log = storage.model_log(model.id)
    log.parent.mkdir(parents=True)
    log.write_text("first\n")
    path, wanted = f"/api/v1/models/{model.id}/events", {"only": "log", "log": 6}
    with following(server, path, params=wanted) as line, log.open("a") as file:
        file.write("second 手\nhalf a ")
        file.flush()
        event = line.until("log")
        assert (event.data["lines"], event.data["restart"]) == (["second 手"], False)
        file.write("line\n")
        file.flush()
        assert line.until("log").data["lines"] == ["half a line"]
    with following(server, path, params=wanted, headers={"Last-Event-ID": event.id}) as line:
        assert line.until("log").data["lines"] == ["half a line"]


def test_a_log_that_begins_anew_restarts(server: httpx.Client, model: Model, storage: Storage) -> None:
    log = storage.model_log(model.id)
    log.parent.mkdir(parents=True)
    log.write_text("a long first line\n")
    with following(server, f"/api/v1/models/{model.id}/events", params={"only": "log"}) as line:
        assert line.until("log").data["lines"] == ["a long first line"]
        log.write_text("new\n")
        assert line.until("log").data["lines"] == ["new"]


def test_only_what_was_asked_for_is_sent(server: httpx.Client, database: Database, model: Model) -> None:
    report(database, model, range(3))
    with following(server, f"/api/v1/models/{model.id}/events", params={"only": "state"}) as line:
        line.until("state")
        report(database, model, range(3, 6))
        with database.write() as session:
            Job.request_stop(session, model.job_id)
        assert next(line.events).name == "state"


def test_a_deleted_model_ends_the_line(server: httpx.Client, database: Database) -> None:
    model = factories.model(database, status=Status.DONE)
    with following(server, f"/api/v1/models/{model.id}/events") as line:
        line.until("state")
        assert server.delete(f"/api/v1/models/{model.id}").status_code == 204
        assert line.until("end").data == {"reason": "deleted"}


def test_a_model_that_does_not_exist_is_not_found(server: httpx.Client) -> None:
    assert server.get("/api/v1/models/12345/events").status_code == 404


def test_events_need_a_token(server: httpx.Client, model: Model) -> None:
    assert server.get(f"/api/v1/models/{model.id}/events", headers={"Authorization": ""}).status_code == 401


def test_every_job_that_changes_is_told(server: httpx.Client, database: Database) -> None:
    with following(server, "/api/v1/jobs/events") as line:
        model = factories.model(database, status=Status.QUEUED)
        with database.write() as session:
            Job.request_stop(session, model.job_id)
        line.until_state(model.job_id, "stopped")


def test_a_jobs_client_that_comes_back_is_told_what_it_missed(server: httpx.Client, database: Database) -> None:
    with following(server, "/api/v1/jobs/events") as line:
        last = line.until_state(factories.job(database).id, "queued").id
    missed = factories.job(database)
    with following(server, "/api/v1/jobs/events", headers={"Last-Event-ID": last}) as line:
        line.until_state(missed.id, "queued")


def test_a_client_that_reads_nothing_is_let_go() -> None:
    feed = Feed()
    for number in range(1_000):
        feed.put(sse("points", {"number": number}, "1-0"))
    assert feed.is_lost
    assert feed.queue.qsize() < 1_000


def test_other_requests_are_answered_while_many_follow(server: httpx.Client, database: Database, model: Model) -> None:
    report(database, model, range(1_000))
    opened = [following(server, f"/api/v1/models/{model.id}/events") for _ in range(30)]
    lines = [one.__enter__() for one in opened]
    try:
        for line in lines:
            line.points(1_000)
        assert server.get("/api/v1/health").status_code == 200
    finally:
        for one in opened:
            one.__exit__(None, None, None)
