"""New rows → server-sent events: one reader per process for all of its clients.

A feed is one client that follows a model, or all jobs. While there is any, one task reads what is new a few times a
second (in a thread, one query for the numbers of all followed models) and puts it into the feeds' queues; while there
is none it sleeps. Every feed has its own place, so that a client that comes back gets what it missed, once.

Events of a model: `points`, `state`, `log`, and `rewind` when a run goes on from a snapshot before the last point that
was sent: forget what lies after that iteration. The id of an event is `<metric id>-<place in the log>`; the newest one
is what a client sends back as `Last-Event-ID` or `?since=`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from app.db import Database, Job
from app.db.base import now
from app.live_reading import Place, Reading, changed_jobs, read_models
from app.storage import Storage

log = logging.getLogger(__name__)
TICK_S = 0.4
KEEP_ALIVE_S = 15.0
QUEUE_LENGTH = 200  # events; a client that is further behind is let go and comes back by itself
POINTS_PER_EVENT = 500
JOBS_OVERLAP = timedelta(seconds=10)  # commits become visible later than the time they carry
MODEL_EVENTS = frozenset({"points", "state", "log"})
_PLACE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


@dataclass(eq=False)
class Feed:
    """What one client has been sent, and what waits to be sent to it."""

    queue: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))
    is_lost: bool = False  # too slow: its line is closed

    def put(self, event: str) -> None:
        if self.is_lost:
            return
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.is_lost = True

    def end(self) -> None:
        self.is_lost = True
        with contextlib.suppress(asyncio.QueueFull):
            self.queue.put_nowait(None)


@dataclass(eq=False)
class ModelFeed(Feed):
    place: Place = field(default_factory=lambda: Place(0))
    wants_state: bool = True
    state: dict[str, Any] | None = None

    def take(self, reading: Reading) -> None:
        """Turns what the reader found about its model into events."""
        if reading.is_gone:
            self.put(sse("end", {"reason": "deleted"}, self.place.text))
            self.end()
            return
        for points in self.place.new_points(reading):
            if points.rewind_to is not None:
                self.put(sse("rewind", {"iteration": points.rewind_to}, self.place.text))
            for start in range(0, len(points.rows), POINTS_PER_EVENT):
                part = points.rows[start : start + POINTS_PER_EVENT]
                self.place.metric_id = part[-1]["id"]
                self.put(sse("points", {"attempt": points.attempt, "points": part}, self.place.text))
        lines = self.place.new_log(reading)
        if lines is not None:
            self.put(sse("log", lines, self.place.text))
        if self.wants_state and reading.state != self.state:
            self.state = reading.state
            self.put(sse("state", reading.state, self.place.text))


@dataclass(eq=False)
class JobsFeed(Feed):
    """A client that is told of every job that changes."""


class Live:
    """The feeds of this process and the one task that fills them."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self.database, self.storage = database, storage
        self.model_feeds: set[ModelFeed] = set()
        self.jobs_feeds: set[JobsFeed] = set()
        self.is_closing = False
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._jobs_seen: dict[int, datetime] = {}

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="live reader")

    def end_streams(self) -> None:
        """Closes every client's line, and those that are opened from now on; browsers come back by themselves."""
        self.is_closing = True
        for feed in [*self.model_feeds, *self.jobs_feeds]:
            feed.end()

    async def stop(self) -> None:
        self.end_streams()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def follow_model(
        self, model_id: int, since: str = "", kinds: Collection[str] = MODEL_EVENTS, log_offset: int = 0
    ) -> AsyncIterator[str]:
        """The events of a model from the place `since` on, as text for the wire; ends when the client goes."""
        place = _place(model_id, since, log_offset)
        place.wants_points, place.wants_log = "points" in kinds, "log" in kinds
        feed = ModelFeed(place=place, wants_state="state" in kinds)
        async with self._fed(feed, self.model_feeds):
            async for text in _drain(feed):
                yield text

    async def follow_jobs(self, since: str = "") -> AsyncIterator[str]:
        """`state` events of all jobs that change; `since` is the id of the last event seen."""
        feed = JobsFeed()
        start = _moment(since) or now() - JOBS_OVERLAP
        async with self._fed(feed, self.jobs_feeds):
            for job in await asyncio.to_thread(self._jobs_changed_since, start):
                feed.put(_job_event(job))
            async for text in _drain(feed):
                yield text

    @contextlib.asynccontextmanager
    async def _fed(self, feed: Any, feeds: set[Any]) -> AsyncIterator[None]:
        feeds.add(feed)
        self._wanted.set()
        if self.is_closing:
            feed.end()
        try:
            yield
        finally:
            feeds.discard(feed)

    async def _run(self) -> None:
        while not self.is_closing:
            if not self.model_feeds and not self.jobs_feeds:
                self._wanted.clear()
                self._jobs_seen.clear()
                await self._wanted.wait()
            try:
                has_more = await self._tick()
            except Exception:
                log.exception("live: could not read what is new; trying again")
                await asyncio.sleep(2 * TICK_S)
                continue
            await asyncio.sleep(0 if has_more else TICK_S)

    async def _tick(self) -> bool:
        """One round: reads for all feeds in a thread, hands out here. Whether there was more than one read takes."""
        model_feeds, jobs_feeds = list(self.model_feeds), list(self.jobs_feeds)
        has_more = False
        if model_feeds:
            places = [feed.place for feed in model_feeds]
            readings = await asyncio.to_thread(read_models, self.database, self.storage, places)
            for feed in model_feeds:
                feed.take(readings[feed.place.model_id])
            has_more = any(reading.has_more for reading in readings.values())
        if jobs_feeds:
            jobs = await asyncio.to_thread(self._unseen_jobs)
            for job in jobs:
                event = _job_event(job)
                for jobs_feed in jobs_feeds:
                    jobs_feed.put(event)
        for lost in [feed for feed in (*model_feeds, *jobs_feeds) if feed.is_lost]:
            lost.end()
        return has_more

    def _unseen_jobs(self) -> list[Job]:
        horizon = max(self._jobs_seen.values(), default=now()) - JOBS_OVERLAP
        jobs = [job for job in self._jobs_changed_since(horizon) if self._jobs_seen.get(job.id) != job.changed_at]
        self._jobs_seen = {key: at for key, at in self._jobs_seen.items() if at >= horizon}
        self._jobs_seen |= {job.id: job.changed_at for job in jobs}
        return jobs

    def _jobs_changed_since(self, moment: datetime) -> list[Job]:
        with self.database.read() as session:
            return changed_jobs(session, moment)


async def start(app: FastAPI) -> None:
    app.state.live = Live(app.state.database, app.state.storage)
    await app.state.live.start()


async def stop(app: FastAPI) -> None:
    await app.state.live.stop()


def event_stream(events: AsyncIterator[str]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def sse(name: str, data: Any, event_id: str) -> str:
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


async def _drain(feed: Feed) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    while True:
        try:
            text = await asyncio.wait_for(feed.queue.get(), KEEP_ALIVE_S)
        except TimeoutError:
            yield ": still here\n\n"
            continue
        if text is None:
            return
        yield text
        if feed.is_lost and feed.queue.empty():
            return


def _place(model_id: int, since: str, log_offset: int) -> Place:
    """Where a client goes on: what it sent back as the last id says more than what its page was drawn with."""
    found = _PLACE.fullmatch(since)
    if found is None:
        return Place(model_id, log_offset=log_offset)
    return Place(model_id, metric_id=int(found[1]), log_offset=int(found[2] or log_offset))


def _moment(text: str) -> datetime | None:
    """The time in a jobs event's id (microseconds), no further back than a day."""
    if not re.fullmatch(r"\d{10,18}", text):
        return None
    return max(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(text)), now() - timedelta(days=1))


def _job_event(job: Job) -> str:
    data = {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "path": job.path,
        "status": job.status,
        "progress_percent": round(job.progress_percent, 1),
        "detail": job.detail,
        "eta_s": job.eta_s,
        "error": job.error,
    }
    micros = (job.changed_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return sse("state", data, str(micros))
