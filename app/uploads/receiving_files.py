"""Several files and fields of one multipart form: every file is streamed to a folder, in constant memory.

A form with one archive, which is followed while it is received, is in `app/uploads/receiving_form.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.uploads.multipart import Event, MultipartError, MultipartReader, PartBegins, PartData, PartEnds
from app.uploads.receiving import LineCut, Sink, chunks
from app.web import ApiError

MOST_TEXT_BYTES = 8 * 1024 * 1024  # of all fields together


@dataclass(frozen=True)
class ReceivedFile:
    filename: str  # as the client calls it; never part of a path here
    path: Path

    def text(self) -> str:
        return self.path.read_text(encoding="utf-8-sig", errors="replace")


@dataclass
class ReceivedForm:
    """Fields as text, and the files that were chosen, each on disk under the name of its field."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, ReceivedFile] = field(default_factory=dict)


async def receive_files(request: Request, folder: Path, limits: Mapping[str, int]) -> ReceivedForm:
    """Files of the named fields go to `folder`; `limits` says how many bytes each may have.

    Raises ApiError for a form that cannot be read, a file that is too large or unknown, and a line that was cut.
    """
    try:
        reader = MultipartReader(request.headers.get("content-type", ""))
        with ExitStack() as stack:
            form = _Form(folder, limits, stack)
            async for chunk in chunks(request):
                for event in reader.feed(chunk):
                    await form.take(event)
            if not reader.is_complete:
                raise LineCut
            return await form.finish()
    except MultipartError as error:
        raise ApiError(400, "bad_request", str(error)) from error
    except LineCut as error:
        raise ApiError(400, "line_cut", "The line was cut before the whole form had arrived.") from error


@dataclass
class _Form:
    folder: Path
    limits: Mapping[str, int]
    stack: ExitStack
    texts: dict[str, bytearray] = field(default_factory=dict)
    files: dict[str, ReceivedFile] = field(default_factory=dict)
    _name: str = ""
    _sink: Sink | None = None  # of the file that is being read
    _is_passed_over: bool = False  # a file field in which nothing was chosen

    async def take(self, event: Event) -> None:
        if isinstance(event, PartBegins):
            self._begin(event)
        elif isinstance(event, PartData):
            await self._put(event.data)
        elif isinstance(event, PartEnds) and self._sink is not None:
            await run_in_threadpool(self._sink.flush, sync=True)
            self._sink = None

    async def finish(self) -> ReceivedForm:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            await run_in_threadpool(os.fsync, descriptor)
        finally:
            os.close(descriptor)
        return ReceivedForm({name: text.decode("utf-8", "replace") for name, text in self.texts.items()}, self.files)

    def _begin(self, part: PartBegins) -> None:
        self._name, self._sink, self._is_passed_over = part.name, None, part.filename == ""
        if part.filename is None:
            self.texts.setdefault(part.name, bytearray())
        elif part.filename:
            if part.name not in self.limits or part.name in self.files:
                message = f"Expected at most one file for each of {', '.join(self.limits)}."
                raise ApiError(422, "invalid", message, {part.name[:40]: message})
            path = self.folder / part.name  # one of our own names
            self.files[part.name] = ReceivedFile(part.filename, path)
            self._sink = Sink(self.stack.enter_context(path.open("wb", buffering=0)))

    async def _put(self, data: bytes) -> None:
        if self._sink is not None:
            if self._sink.size + len(data) > self.limits[self._name]:
                message = f"Expected at most {self.limits[self._name] / 1e6:,.0f} MB, found more."
                raise ApiError(413, "too_large", message, {self._name: message})
            await self._sink.put(data)
        elif not self._is_passed_over:
            self.texts[self._name] += data
            if sum(map(len, self.texts.values())) > MOST_TEXT_BYTES:
                raise ApiError(413, "too_large", f"The fields have more than {MOST_TEXT_BYTES // 2**20} MiB of text.")
