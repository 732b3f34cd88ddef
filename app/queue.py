"""The queue: Celery carries wake-ups, the database carries the truth.

`enqueue` is called after the commit that made the job. Should the message be lost, doubled or late, nothing happens
but a delay: workers look for ready jobs themselves (`worker/tasks.py`), and claims are decided by the row.
"""

from __future__ import annotations

import logging

from celery import Celery
from kombu.exceptions import OperationalError

from app import filesystem_broker
from app.db import Database, Job, Lane
from app.settings import Settings
from app.storage import Storage

log = logging.getLogger(__name__)
TASK = "trainyard.work"
VISIBILITY_TIMEOUT_S = 3600


class Queue:
    """Sends wake-ups. One per process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.celery = make_celery(settings)
        self.database = database

    def enqueue(self, *job_ids: int) -> None:
        """Wakes the workers of these jobs' lanes. Never raises for a broker that is away: the jobs are in the database
        and are sent again."""
        with self.database.read() as session:
            jobs = [session.get(Job, job_id) for job_id in job_ids]
        sent = []
        for job in jobs:
            if job is not None and send(self.celery, job.id, Lane(job.lane)):
                sent.append(job.id)
        if sent:
            with self.database.write() as session:
                Job.mark_sent(session, sent)


def send(celery: Celery, job_id: int, lane: Lane) -> bool:
    try:
        celery.send_task(TASK, args=[job_id], queue=lane.value, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("job %s: the broker did not take its wake-up (%s); it will be sent again", job_id, error)
        return False
    return True


def forget_wake_ups(settings: Settings) -> None:
    """Empties the broker in the home: the messages of an earlier life would only be no-ops."""
    if not settings.broker_url:
        for message in (Storage(settings.home.resolve()).broker / "messages").glob("*"):
            message.unlink(missing_ok=True)


def make_celery(settings: Settings) -> Celery:
    """Celery as configured: filesystem broker in the home, or Redis. No result backend: results are rows."""
    celery = Celery("trainyard", broker=settings.broker_url or filesystem_broker.URL)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        task_default_queue=Lane.DATA.value,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0,
        broker_transport_options=_transport_options(settings),
    )
    return celery


def _transport_options(settings: Settings) -> dict[str, object]:
    if settings.broker_url:
        return {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "max_retries": 0,  # of a sender: nobody waits six seconds for a page because Redis is away
        }
    storage = Storage(settings.home.resolve())
    folders = {"messages": storage.broker / "messages", "control": storage.broker / "control"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folders["messages"]),
        "data_folder_out": str(folders["messages"]),
        "control_folder": str(folders["control"]),
        "polling_interval": 0.2,
    }
