from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path
from queue import Empty

import pytest

from app.db import Database, Job, JobKind
from app.queue import TASK, Queue, forget_wake_ups, make_celery
from app.settings import Settings
from tests import factories, machine


def waiting(settings: Settings, lane: str) -> list[tuple[str, list[int]]]:
    """The wake-ups in a lane's queue: (task, arguments)."""
    with make_celery(settings).connection_for_read() as connection:
        queue, found = connection.SimpleQueue(lane), []
        while True:
            try:
                message = queue.get(block=False)
            except Empty:
                return found
            found.append((message.headers["task"], message.payload[0]))
            message.ack()


@pytest.fixture(params=["filesystem", "redis"])
def brokered(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "filesystem":
        return settings
    return replace(settings, broker_url=machine.redis_url())


def test_a_wake_up_goes_to_the_lane_of_its_job(brokered: Settings, database: Database) -> None:
    for lane in ("train", "data", "predict"):
        waiting(brokered, lane)  # of earlier tests on the same Redis
    train, build = factories.job(database, JobKind.TRAIN), factories.job(database, JobKind.BUILD_DATASET)

    Queue(brokered, database).enqueue(train.id, build.id)

    assert waiting(brokered, "train") == [(TASK, [train.id])]
    assert waiting(brokered, "data") == [(TASK, [build.id])]
    assert waiting(brokered, "predict") == []
    with database.read() as session:
        assert session.get_one(Job, train.id).sent_at is not None


def test_enqueueing_nothing_or_nobody_is_harmless(settings: Settings, database: Database) -> None:
    queue = Queue(settings, database)
    queue.enqueue()
    queue.enqueue(4711)
    assert waiting(settings, "train") == []


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_broker_that_is_away_costs_a_delay_and_no_error(settings: Settings, database: Database) -> None:
    away = replace(settings, broker_url=f"redis://127.0.0.1:{dead_port()}/0")
    job = factories.job(database)
    began = time.monotonic()
    Queue(away, database).enqueue(job.id)
    assert time.monotonic() - began < 30  # Celery's own retries would go on for ever
    with database.read() as session:
        assert session.get_one(Job, job.id).sent_at is None


def test_a_broker_folder_that_has_gone_costs_a_delay_and_no_error(settings: Settings, database: Database) -> None:
    queue = Queue(settings, database)
    messages = settings.home / "broker" / "messages"
    messages.rmdir()
    messages.write_text("not a folder")
    job = factories.job(database)
    queue.enqueue(job.id)
    with database.read() as session:
        assert session.get_one(Job, job.id).sent_at is None


def test_wake_ups_of_an_earlier_life_can_be_forgotten(settings: Settings, database: Database) -> None:
    job = factories.job(database)
    Queue(settings, database).enqueue(job.id)
    forget_wake_ups(settings)
    assert waiting(settings, "train") == []
    Queue(settings, database).enqueue(job.id)
    assert waiting(settings, "train") == [(TASK, [job.id])]


def test_two_homes_in_one_process_have_brokers_of_their_own(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    other = Settings(home=tmp_path / "other")
    first, second = factories.job(database), factories.job(database)
    Queue(settings, database).enqueue(first.id)
    Queue(other, database).enqueue(second.id)
    assert waiting(settings, "train") == [(TASK, [first.id])]
    assert waiting(other, "train") == [(TASK, [second.id])]


def test_messages_are_acknowledged_early_and_taken_one_at_a_time(settings: Settings) -> None:
    conf = make_celery(settings).conf
    assert conf.task_acks_late is False
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result is True
    assert "pickle" not in conf.accept_content
