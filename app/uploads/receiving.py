"""Bytes of a file from a request to the disk, in constant memory: the pieces of a resumable upload.

Files that come in a form are in `app/uploads/receiving_form.py`, the protocol is in `app/api/tus.py`.

What has arrived is kept when the line is cut: the size of the file on disk is the truth about how much is there.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from app.db import Database, Upload
from app.locks import locked
from app.settings import Settings
from app.storage import Storage
from app.uploads import uploads
from app.web import ApiError

SILENCE_S = 30.0  # a line that brings nothing for so long is taken for cut
NOTE_EVERY_S = 2.0
PIECE_BYTES = 1024 * 1024  # written at once: fewer hops into a thread


class LineCut(Exception):
    """The client went away or fell silent; what had arrived by then is on disk."""


class Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...


@dataclass
class Sink:
    """Appends to a file in large pieces; every byte that was given is on disk after `flush`."""

    file: io.FileIO
    hash: Hash | None = None
    written: int = 0
    _waiting: list[bytes] = field(default_factory=list)
    _waiting_bytes: int = 0

    @property
    def size(self) -> int:
        """Bytes given so far, on disk or not yet."""
        return self.written + self._waiting_bytes

    async def put(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= PIECE_BYTES:
            await run_in_threadpool(self.flush)

    def flush(self, *, sync: bool = False) -> None:
        """Raises ApiError 507 when the disk is full; what fitted stays."""
        data, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        view = memoryview(data)
        try:
            while view:
                count = self.file.write(view) or 0
                if self.hash is not None:
                    self.hash.update(view[:count])
                self.written += count
                view = view[count:]
            if sync:
                os.fsync(self.file.fileno())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise uploads.disk_full("The server's disk is full.") from error


async def chunks(request: Request, silence_s: float = SILENCE_S) -> AsyncIterator[bytes]:
    """The body as it comes; raises LineCut."""
    stream = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except (ClientDisconnect, TimeoutError) as error:
            raise LineCut from error
        if chunk:
            yield chunk


async def append(
    stream: AsyncIterator[bytes], sink: Sink, most_bytes: int, note: Callable[[int], Awaitable[None]]
) -> None:
    """Appends the stream to the sink's file. Raises LineCut, and ApiError 413 for more than `most_bytes`; whatever
    happens, what had arrived is on disk afterwards."""
    taken, noted_at = 0, time.monotonic()
    try:
        async for chunk in stream:
            taken += len(chunk)
            if taken > most_bytes:
                raise ApiError(413, "too_large", f"Expected at most {most_bytes:,} more bytes, found more.")
            await sink.put(chunk)
            if time.monotonic() - noted_at > NOTE_EVERY_S:
                noted_at = time.monotonic()
                await note(sink.written)
    except BaseException:
        sink.flush()  # at once and here: a cancelled task gets no thread any more
        raise
    await run_in_threadpool(sink.flush, sync=True)


# -- one piece of a resumable upload ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where uploads go."""

    database: Database
    storage: Storage
    settings: Settings

    @classmethod
    def of(cls, request: Request) -> Place:
        state = request.app.state
        return cls(state.database, state.storage, state.settings)


@dataclass(frozen=True)
class Checksum:
    """What the bytes of a piece must hash to."""

    algorithm: str
    digest: bytes


class OtherOffset(Exception):
    """The piece does not begin where the file ends."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


class ChecksumDiffers(Exception):
    """The piece did not arrive as it was sent; the file is as long as before."""


async def receive_piece(
    place: Place, upload: Upload, request: Request, offset: int, checksum: Checksum | None = None
) -> int:
    """The new size of the file. Raises OtherOffset, ChecksumDiffers, LineCut, BlockingIOError (another writes),
    FileNotFoundError (deleted meanwhile), ApiError."""
    with ExitStack() as stack:
        file = await run_in_threadpool(stack.enter_context, locked(place.storage.upload_file(upload.id)))
        size = file.seek(0, os.SEEK_END)
        if offset != size:
            raise OtherOffset(size)
        room = upload.size_bytes - size
        announced = int(request.headers.get("content-length") or 0)
        if announced > room:
            raise ApiError(413, "too_large", f"Expected at most {room:,} more bytes, found {announced:,}.")
        digest = hashlib.new(checksum.algorithm) if checksum else None
        is_kept = checksum is None
        try:
            await append(chunks(request), Sink(file, digest), room, _noting(place, upload.id, size))
            is_kept = checksum is None or digest is None or digest.digest() == checksum.digest
        finally:
            if not is_kept:
                file.truncate(size)
            reached = os.fstat(file.fileno()).st_size
            await run_in_threadpool(uploads.note_received, place.database, upload.id, reached)
        if not is_kept:
            raise ChecksumDiffers
        return reached


def _noting(place: Place, upload_id: int, before: int = 0) -> Callable[[int], Awaitable[None]]:
    async def note(written: int) -> None:
        is_wanted = await run_in_threadpool(uploads.note_received, place.database, upload_id, before + written)
        if not is_wanted:
            raise FileNotFoundError(f"upload {upload_id} was stopped or deleted")

    return note
