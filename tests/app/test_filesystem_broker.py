"""The broker under stress: what kombu's own loses or breaks now and then must neither be lost nor broken here."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection, Exchange, Queue

from app.queue import make_celery
from app.settings import Settings

PRODUCERS, CONSUMERS, MESSAGES = 2, 2, 500
PADDING = "x" * 20_000  # kombu's own breaks more often with long messages: the write takes longer


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    with multiprocessing.get_context("spawn").Pool(PRODUCERS + CONSUMERS) as pool:
        yield pool


def connect(home: Path) -> Connection:
    return make_celery(Settings(home=home)).connection_for_write()


def produce(home: Path, producer: int) -> None:
    with connect(home) as connection:
        queue = connection.SimpleQueue("train")
        for number in range(MESSAGES):
            queue.put({"id": f"{producer}-{number}", "padding": PADDING})


def consume(home: Path) -> list[str]:
    """Ids of the messages taken, until none has come for a while."""
    taken = []
    with connect(home) as connection:
        queue = connection.SimpleQueue("train")
        while True:
            try:
                message = queue.get(timeout=30)
            except Empty:
                return taken
            assert len(message.payload["padding"]) == len(PADDING)
            taken.append(message.payload["id"])
            message.ack()


def test_several_producers_and_consumers_lose_and_double_nothing(tmp_path: Path, processes: Pool) -> None:
    taking = [processes.apply_async(consume, (tmp_path,)) for _ in range(CONSUMERS)]
    sending = [processes.apply_async(produce, (tmp_path, producer)) for producer in range(PRODUCERS)]
    for job in sending:
        job.get(timeout=120)
    shares = [job.get(timeout=120) for job in taking]

    found = Counter(message for share in shares for message in share)
    assert found == Counter(f"{producer}-{n}" for producer in range(PRODUCERS) for n in range(MESSAGES))
    assert list((tmp_path / "broker" / "messages").iterdir()) == []


def bind(home: Path, name: str) -> None:
    with connect(home) as connection, connection.channel() as channel:
        exchange = Exchange("lane", type="direct")
        for number in range(20):
            Queue(f"{name}-{number}", exchange, routing_key=f"{name}-{number}").bind(channel).declare()


def test_queues_declared_at_once_are_all_bound(tmp_path: Path, processes: Pool) -> None:
    """Kombu truncates the table before it takes the lock: whoever reads just then fails, or forgets the others."""
    names = ["a", "b", "c", "d"]
    processes.starmap(bind, [(tmp_path, name) for name in names], chunksize=1)
    table = json.loads((tmp_path / "broker" / "control" / "lane.exchange").read_text())
    assert {queue for _, _, queue in table} == {f"{name}-{number}" for name in names for number in range(20)}


def test_messages_come_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("train")
        for number in range(30):
            queue.put(number)
        assert [queue.get(timeout=30).payload for _ in range(30)] == list(range(30))


def test_a_queue_takes_no_message_of_another_whose_name_ends_alike(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        connection.SimpleQueue("eu.train").put("theirs")
        ours = connection.SimpleQueue("train")
        with pytest.raises(Empty):
            ours.get(timeout=0.5)
        ours.put("ours")
        assert ours.get(timeout=30).payload == "ours"
        assert connection.SimpleQueue("eu.train").get(timeout=30).payload == "theirs"


def test_a_message_waits_for_its_consumer(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        connection.SimpleQueue("predict").put("日本語")
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("predict")
        assert queue.qsize() == 1
        assert queue.get(timeout=30).payload == "日本語"
        assert queue.qsize() == 0


def test_a_consumer_that_waits_gets_a_message_within_a_second(tmp_path: Path) -> None:
    with connect(tmp_path) as receiving, connect(tmp_path) as sending:
        queue = receiving.SimpleQueue("train")
        with pytest.raises(Empty):
            queue.get(timeout=0.3)
        delays = []
        for _ in range(3):
            sending.SimpleQueue("train").put("wake up")
            began = time.monotonic()
            assert queue.get(timeout=30).payload == "wake up"
            delays.append(time.monotonic() - began)
        assert min(delays) < 1.0, delays
