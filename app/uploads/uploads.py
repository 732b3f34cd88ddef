"""Uploads: announced, listed, checked once complete, deleted. Receiving their bytes is in `app/uploads/receiving.py`.

The check (SHA-256 and the archive's table of contents) runs in a thread of its own, because it may read many gigabytes.
Should the process end meanwhile, `resume_checks` begins it again at the next start.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import shutil
import threading
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from sqlalchemy import ColumnElement, CursorResult, func, or_, select, update
from sqlalchemy.orm import Session, defer, undefer

from app.archives import ArchiveError, Contents, inspect
from app.db import Database, Dataset, Job, SourceUpload, Status, Upload
from app.drafts import forget_old_drafts
from app.locks import locked
from app.settings import Settings
from app.storage import Storage
from app.uploads import sample
from app.web import ApiError

log = logging.getLogger(__name__)

ABANDONED_AFTER_S = 7 * 86_400.0
SPARE_BYTES = 256 * 1024 * 1024  # left free, so that the database can go on writing
ACTIVE = (Status.QUEUED, Status.RUNNING)
_ENDINGS = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Listed:
    """A row of the list; its classes are left in the database, there may be thousands."""

    upload: Upload
    class_count: int


# -- names --------------------------------------------------------------------------------------------------------


def clean_filename(text: str, longest: int = 255) -> str:
    """The last part of what a browser calls the file, without control characters; its ending survives cutting."""
    name = _CONTROL.sub("", _storable(text)).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].strip()
    if len(name) > longest:
        ending = _ENDINGS.search(name)
        kept = ending[0] if ending else ""
        name = name[: longest - len(kept)] + kept
    return name if name.strip(".") else "archive"


def clean_name(text: str, filename: str) -> str:
    """What the upload is called here: as typed, else the file's name without its ending."""
    typed = " ".join(_CONTROL.sub(" ", _storable(text)).split())
    return (typed or _ENDINGS.sub("", filename) or filename)[:255]


def _storable(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\x00", "").encode("utf-8", "replace").decode())


# -- made, found, listed, deleted ---------------------------------------------------------------------------------


def announce(
    database: Database, storage: Storage, *, user_id: int | None, filename: str, name: str = "", size_bytes: int
) -> Upload:
    """A new upload with an empty file; whether there is room for it is said by `refuse_size`."""
    cleaned = clean_filename(filename)
    upload = Upload(
        user_id=user_id,
        filename=cleaned,
        name=clean_name(name, cleaned),
        token=secrets.token_urlsafe(24),
        status=Status.QUEUED,
        size_bytes=size_bytes,
    )
    with database.write() as session:
        session.add(upload)
    file = storage.upload_file(upload.id)
    storage.delete(file.parent)  # an id that was given before a database was restored from a backup
    file.parent.mkdir(parents=True)
    file.touch()
    return upload


def refuse_size(storage: Storage, settings: Settings, size_bytes: int) -> None:
    """Raises ApiError for a size that cannot be taken, before a single byte is sent."""
    refuse_longer(settings, size_bytes)
    free = shutil.disk_usage(storage.uploads).free
    if size_bytes > free - SPARE_BYTES:
        raise disk_full(f"The file has {_size(size_bytes)}; the server's disk has {_size(free)} free.")


def refuse_longer(settings: Settings, size_bytes: int) -> None:
    longest = max_bytes(settings)
    if size_bytes > longest:
        message = f"The file has {_size(size_bytes)} or more; this server takes at most {_size(longest)}."
        raise ApiError(413, "too_large", message, {"file": message})


def max_bytes(settings: Settings) -> int:
    return int(settings.max_upload_gb * 1e9)


def disk_full(message: str) -> ApiError:
    return ApiError(507, "disk_full", f"{message} Please make room and try again.", {"file": message})


def list_uploads(
    session: Session, *, text: str = "", status: Status | None = None, after: int | None = None, limit: int = 50
) -> tuple[list[Listed], int | None]:
    """One page, the newest first, and the id to go on after."""
    statement = select(Upload, func.json_array_length(Upload.classes)).options(
        defer(Upload.classes), defer(Upload.holds)
    )
    if text:
        names = (Upload.name, Upload.filename)
        statement = statement.where(or_(*(column.icontains(text, autoescape=True) for column in names)))
    if status is not None:
        statement = statement.where(Upload.status == status)
    if after is not None:
        statement = statement.where(Upload.id < after)
    rows = session.execute(statement.order_by(Upload.id.desc()).limit(limit + 1)).all()
    listed = [Listed(upload, count or 0) for upload, count in rows[:limit]]
    return listed, listed[-1].upload.id if len(rows) > limit else None


def count_uploads(session: Session) -> dict[str, int]:
    """How many there are in each state, and `all` of them."""
    statement = select(Upload.status, func.count()).group_by(Upload.status)
    counts = {str(status): count for status, count in session.execute(statement)}
    return counts | {"all": sum(counts.values())}


def builds_that_need_it(session: Session, upload_id: int) -> list[Dataset]:
    """Datasets whose build is queued or running and reads this upload."""
    statement = select(Dataset).join(Job, Dataset.job_id == Job.id)
    return list(session.scalars(statement.where(is_made_of(upload_id), Job.status.in_(ACTIVE))))


def is_made_of(upload_id: int) -> ColumnElement[bool]:
    """Whether a dataset has this upload among its sources."""
    further = select(SourceUpload.dataset_id).where(SourceUpload.upload_id == upload_id)
    return or_(Dataset.upload_id == upload_id, Dataset.id.in_(further))


def delete_upload(database: Database, storage: Storage, upload_id: int) -> None:
    """Deletes row and file; raises ApiError while a build needs them. Datasets that were built from it stay."""
    with database.write() as session:
        upload = _held_row(session, upload_id)
        if upload is None:
            return
        builds = builds_that_need_it(session, upload_id)
        if builds:
            names = ", ".join(f"“{dataset.name}”" for dataset in builds[:3])
            raise ApiError(409, "in_use", f"The build of dataset {names} still needs this upload. Stop it first.")
        session.delete(upload)
    storage.delete(storage.upload_dir(upload_id))


def stop_upload(database: Database, storage: Storage, upload_id: int) -> None:
    """Ends an upload that is still being received: what had arrived is deleted, the row says so."""
    with database.write() as session:
        upload = _held_row(session, upload_id)
        if upload is None or upload.status not in ACTIVE:
            return
        upload.stop()
    storage.delete(storage.upload_dir(upload_id))


def note_received(database: Database, upload_id: int, received_bytes: int) -> bool:
    """Writes down how much is there; False when the upload has been stopped or deleted meanwhile."""
    statement = update(Upload).where(Upload.id == upload_id, Upload.status.in_(ACTIVE))
    with database.write() as session:
        result = session.execute(statement.values(received_bytes=received_bytes, status=Status.RUNNING))
    return cast(CursorResult[Any], result).rowcount == 1


def fail_upload(database: Database, storage: Storage, upload_id: int, reason: str) -> None:
    """Ends an upload that is of no use; the row keeps the reason, the file goes."""
    with database.write() as session:
        upload = _held_row(session, upload_id)
        if upload is None or upload.status not in ACTIVE:
            return
        upload.fail(reason)
    storage.delete(storage.upload_dir(upload_id))


def _held_row(session: Session, upload_id: int) -> Upload | None:
    """The row, which nobody else changes or refers to until the transaction ends."""
    return session.get(Upload, upload_id, with_for_update={"of": Upload})


def add_sample(database: Database, storage: Storage, user_id: int | None) -> Upload:
    """scikit-learn's handwritten digits as an upload that is received and checked."""
    upload = announce(database, storage, user_id=user_id, filename=sample.SAMPLE_NAME, size_bytes=0)
    path = storage.upload_file(upload.id)
    sample.write_sample(path)
    with database.write() as session:
        row = session.get_one(Upload, upload.id)
        row.size_bytes = row.received_bytes = path.stat().st_size
        row.status = Status.RUNNING
    check(database, storage, upload.id)
    with database.read() as session:
        return session.get_one(Upload, upload.id, options=[undefer(Upload.holds)])


# -- the check ----------------------------------------------------------------------------------------------------


class Checks:
    """The checks of one web process, each in a thread, two at a time. Threads are daemons: a check that is cut by the
    end of the process costs nothing, the next start begins it again."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self.database, self.storage = database, storage
        self._turns = threading.BoundedSemaphore(2)
        self._lock = threading.Lock()
        self._running: dict[int, threading.Thread] = {}

    def start(self, upload_id: int) -> threading.Thread:
        """Begins the check, or gives the one that runs."""
        with self._lock:
            running = self._running.get(upload_id)
            if running is not None:
                return running
            thread = threading.Thread(target=self._run, args=(upload_id,), name=f"check-{upload_id}", daemon=True)
            self._running[upload_id] = thread
            thread.start()
            return thread

    async def ended(self, upload_id: int, timeout_s: float) -> bool:
        """Runs the check; whether it ended in time. Waits without holding a thread."""
        thread, deadline = self.start(upload_id), time.monotonic() + timeout_s
        while thread.is_alive() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return not thread.is_alive()

    def _run(self, upload_id: int) -> None:
        try:
            with self._turns:
                check(self.database, self.storage, upload_id)
        except Exception:
            log.exception("upload %s: the check was cut; it begins again at the next start", upload_id)
        finally:
            with self._lock:
                self._running.pop(upload_id, None)


def checks_of(app: FastAPI) -> Checks:
    if not hasattr(app.state, "checks"):
        app.state.checks = Checks(app.state.database, app.state.storage)
    return cast(Checks, app.state.checks)


def check(database: Database, storage: Storage, upload_id: int) -> None:
    """Hashes and inspects a received upload, and ends it as done or failed. Two at once do it once."""
    path = storage.upload_file(upload_id)
    try:
        with locked(path, wait=True):
            _check_alone(database, storage, upload_id, path)
    except FileNotFoundError:
        fail_upload(database, storage, upload_id, "The received file is gone from the server's disk.")


def _check_alone(database: Database, storage: Storage, upload_id: int, path: Path) -> None:
    with database.read() as session:
        upload = session.get(Upload, upload_id)
    if upload is None or upload.status not in ACTIVE:
        return None
    found_bytes = path.stat().st_size
    if found_bytes != upload.size_bytes:
        reason = f"Expected {upload.size_bytes:,} bytes, found {found_bytes:,}."
        return fail_upload(database, storage, upload_id, reason)
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        contents = inspect(path, upload.filename)
    except ArchiveError as error:
        return fail_upload(database, storage, upload_id, str(error))
    with database.write() as session:
        row = _held_row(session, upload_id)
        if row is not None and row.status in ACTIVE:
            row.received_bytes = found_bytes
            row.finish(
                kind=contents.kind,
                classes=[{"name": entry.name, "count": entry.count} for entry in contents.classes],
                skipped=dict(contents.skipped),
                warnings=warnings_about(contents),
                holds=contents.holdings.to_dict(),
                sha256=sha256,
            )
    return None


def warnings_about(contents: Contents) -> list[str]:
    """What a person should know before making a dataset of it."""
    found: list[str] = []
    if len(contents.classes) < 2 and (contents.lists or contents.databases):
        return found  # the labels come from there
    if not contents.classes:
        images = "Its only image lies" if contents.image_count == 1 else f"Its {contents.image_count:,} images lie"
        found.append(
            f"{images} in no class folder, so there are no classes yet. If a list says which class each image belongs "
            "to, make a dataset from lists and send the list with its form. Otherwise put the images into one folder "
            "per class and upload those."
        )
    if len(contents.classes) == 1:
        only = contents.classes[0].name
        found.append(
            f"There is only one class, “{only}”; a model needs two or more to tell apart. If a list says which class "
            "each image belongs to, make a dataset from lists and send the list with its form."
        )
    lonely = [entry.name for entry in contents.classes if entry.count == 1]
    if lonely:
        found.append(f"{_classes(lonely)} a single image; it cannot be split.")
    empty = [entry.name for entry in contents.classes if entry.count == 0]
    if empty:
        found.append(f"{_classes(empty)} no image.")
    return found


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"The class {shown} has" if len(names) == 1 else f"The classes {shown} have"


# -- at the start of the web process ------------------------------------------------------------------------------


def resume_checks(app: FastAPI) -> None:
    """Begins checks that were cut, ends uploads that cannot go on, and clears away what deletions left."""
    database, storage = cast(Database, app.state.database), cast(Storage, app.state.storage)
    for leftover in storage.uploads.glob(".deleted-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    forget_old_drafts(storage)
    with database.read() as session:
        active = session.scalars(select(Upload).where(Upload.status.in_(ACTIVE))).all()
    for upload in active:
        _resume(app, database, storage, upload)


def _resume(app: FastAPI, database: Database, storage: Storage, upload: Upload) -> None:
    path = storage.upload_file(upload.id)
    incoming = incoming_file(storage, upload.id)
    if incoming.exists():
        if not _is_held(incoming):
            fail_upload(database, storage, upload.id, "The server was restarted while the file was being sent.")
    elif not path.exists():
        fail_upload(database, storage, upload.id, "The received file is gone from the server's disk.")
    elif path.stat().st_size == upload.size_bytes:
        note_received(database, upload.id, upload.size_bytes)
        checks_of(app).start(upload.id)
    elif path.stat().st_mtime < time.time() - ABANDONED_AFTER_S:
        stop_upload(database, storage, upload.id)


def incoming_file(storage: Storage, upload_id: int) -> Path:
    """Where a form's file is received, which cannot be resumed; renamed when it is whole."""
    return storage.upload_file(upload_id).with_name("incoming")


def _is_held(path: Path) -> bool:
    try:
        with locked(path):
            return False
    except BlockingIOError:
        return True


def _size(size_bytes: int) -> str:
    if size_bytes < 1_000_000:
        return f"{size_bytes:,} bytes"
    return f"{size_bytes / 1e9:,.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.1f} MB"
