"""A file that comes in an ordinary multipart form: streamed to its place, never held in memory nor stored twice.

It cannot be resumed: a line that is cut ends the upload as failed. The way for big files is `app/uploads/receiving.py`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.db import Upload
from app.locks import locked
from app.uploads import uploads
from app.uploads.multipart import Event, MultipartError, MultipartReader, PartBegins, PartData
from app.uploads.receiving import NOTE_EVERY_S, LineCut, Place, Sink, chunks
from app.web import ApiError

MAX_FIELD_BYTES = 64 * 1024
CUT = "The line was cut before the whole file had arrived."
STOPPED = "The server was stopped while the file was being sent."


async def receive_form(place: Place, request: Request, user_id: int | None) -> Upload:
    """The upload, whole but not yet checked, of a form with the fields `file` and, optionally, `name`.

    Raises ApiError for a form without a file, a file that is empty or too large, and LineCut.
    """
    announced = int(request.headers.get("content-length") or 0)
    uploads.refuse_size(place.storage, place.settings, max(0, announced - MAX_FIELD_BYTES))
    try:
        reader = MultipartReader(request.headers.get("content-type", ""))
    except MultipartError as error:
        raise ApiError(400, "bad_request", str(error)) from error
    with ExitStack() as stack:
        form = _Form(place, user_id, announced, stack)
        try:
            await form.read(reader, chunks(request))
            return await form.finish()
        except BaseException as error:
            await form.give_up(_reason(error))
            if isinstance(error, MultipartError):
                raise ApiError(400, "bad_request", str(error)) from error
            raise


@dataclass
class _Form:
    """What has been read of the form so far."""

    place: Place
    user_id: int | None
    announced_bytes: int
    stack: ExitStack
    upload: Upload | None = None
    sink: Sink | None = None
    texts: dict[str, bytearray] = field(default_factory=dict)
    _part: str | None = None  # the field that is being read; None: the file, or a part that is passed over
    _is_in_file: bool = False

    async def read(self, reader: MultipartReader, stream: AsyncIterator[bytes]) -> None:
        noted_at = time.monotonic()
        async for chunk in stream:
            for event in reader.feed(chunk):
                await self._take(event)
            if self.sink and self.upload and time.monotonic() - noted_at > NOTE_EVERY_S:
                noted_at = time.monotonic()
                await self._note(self.upload.id, self.sink.written)
        if not reader.is_complete:
            raise LineCut

    async def _take(self, event: Event) -> None:
        if isinstance(event, PartBegins):
            self._part, self._is_in_file = None, False
            if event.filename is None:
                self._part = event.name
                self.texts[event.name] = bytearray()
            elif event.name == "file" and event.filename:
                await self._open(event.filename)
        elif isinstance(event, PartData):
            await self._put(event.data)

    async def _put(self, data: bytes) -> None:
        if self._is_in_file and self.sink:
            uploads.refuse_longer(self.place.settings, self.sink.size + len(data))
            await self.sink.put(data)
        elif self._part is not None:
            self.texts[self._part] += data
            if len(self.texts[self._part]) > MAX_FIELD_BYTES:
                raise ApiError(413, "too_large", f"The field {self._part[:40]} has more than {MAX_FIELD_BYTES} bytes.")

    async def _open(self, filename: str) -> None:
        if self.upload is not None:
            message = "Expected one file, found more. Send each with a request of its own."
            raise ApiError(422, "invalid", message, {"file": message})
        self.upload = await run_in_threadpool(self._announce, filename)
        incoming = uploads.incoming_file(self.place.storage, self.upload.id)
        incoming.touch()
        self.sink = Sink(self.stack.enter_context(locked(incoming)))
        self._is_in_file = True

    def _announce(self, filename: str) -> Upload:
        upload = uploads.announce(
            self.place.database, self.place.storage, user_id=self.user_id, filename=filename, name=self._name,
            size_bytes=self.announced_bytes,
        )  # fmt: skip
        uploads.note_received(self.place.database, upload.id, 0)
        return upload

    @property
    def _name(self) -> str:
        return self.texts.get("name", b"").decode("utf-8", "replace")

    async def _note(self, upload_id: int, received_bytes: int) -> None:
        if not await run_in_threadpool(uploads.note_received, self.place.database, upload_id, received_bytes):
            raise ApiError(410, "gone", "This upload was stopped or deleted meanwhile.")

    async def finish(self) -> Upload:
        if self.upload is None or self.sink is None:
            raise ApiError(422, "invalid", "Expected a file, found none.", {"file": "Choose a file."})
        if self.sink.size == 0:
            message = "The file is empty (0 bytes)."
            raise ApiError(422, "invalid", message, {"file": message})
        await run_in_threadpool(self.sink.flush, sync=True)
        return await run_in_threadpool(self._keep, self.upload.id, self.sink.written)

    def _keep(self, upload_id: int, size_bytes: int) -> Upload:
        target = self.place.storage.upload_file(upload_id)
        uploads.incoming_file(self.place.storage, upload_id).rename(target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        with self.place.database.write() as session:
            row = session.get_one(Upload, upload_id)
            row.size_bytes = row.received_bytes = size_bytes
            row.name = uploads.clean_name(self._name, row.filename)
            return row

    async def give_up(self, reason: str) -> None:
        if self.upload is None:
            return
        place = self.place
        await asyncio.shield(
            run_in_threadpool(uploads.fail_upload, place.database, place.storage, self.upload.id, reason)
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, ApiError):
        return error.message
    if isinstance(error, LineCut | MultipartError):
        return CUT
    return STOPPED if isinstance(error, asyncio.CancelledError) else f"The server could not take the file: {error}"
