"""The CSRF token of a request: found in its header or its form, without holding a big body in memory.

A form is read only as far as its token: an ordinary form whole (it is small), a multipart form up to its first field,
which is the token because every form of ours begins with it. What was read is given to the application again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_plus

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from app.uploads.multipart import MultipartError, MultipartReader, PartBegins, PartData, PartEnds

HEADER = "x-csrf-token"
FIELD = "csrf_token"
MAX_FORM_BYTES = 8 * 1024 * 1024  # a prototxt in a form is at most some hundred kB
MAX_PREFIX_BYTES = 64 * 1024
_FIELD = re.compile(rb"(?:^|&)csrf_token=([^&]*)")


class FormTooLarge(Exception):
    """An ordinary form of more than MAX_FORM_BYTES."""


@dataclass(frozen=True)
class Found:
    """The token, "" if there is none, and the way to read the whole body from its start."""

    token: str
    receive: Receive


async def find_token(request: Request) -> Found:
    """Raises FormTooLarge, ClientDisconnect."""
    token = request.headers.get(HEADER)
    if token is not None:
        return Found(token, request.receive)
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return await _in_form(request.receive)
    if kind == "multipart/form-data":
        return await _in_multipart(request.receive, content_type)
    return Found("", request.receive)


async def _in_form(receive: Receive) -> Found:
    read: list[Message] = []
    body = bytearray()
    more = True
    while more:
        message, chunk, more = await _next(receive)
        read.append(message)
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise FormTooLarge
    match = _FIELD.search(body)
    token = unquote_plus(match[1].decode("ascii", "replace")) if match else ""
    return Found(token, _replay(read, receive))


async def _in_multipart(receive: Receive, content_type: str) -> Found:
    """Reads on until the first part has ended; a form whose first part is something else has no token."""
    try:
        reader = MultipartReader(content_type)
    except MultipartError:
        return Found("", receive)
    read: list[Message] = []
    token: bytes = b""
    size, more, ended, is_ours = 0, True, False, True
    while more and not ended and is_ours and size <= MAX_PREFIX_BYTES:
        message, chunk, more = await _next(receive)
        read.append(message)
        size += len(chunk)
        try:
            events = reader.feed(chunk)
        except MultipartError:
            break
        for event in events:
            if isinstance(event, PartBegins):
                is_ours = event.name == FIELD and event.filename is None
            if isinstance(event, PartData) and is_ours:
                token += event.data
            if isinstance(event, PartEnds) or not is_ours:
                ended = True
                break
    return Found(token.decode("ascii", "replace") if ended and is_ours else "", _replay(read, receive))


async def _next(receive: Receive) -> tuple[Message, bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message, message.get("body", b""), message.get("more_body", False)


def _replay(read: list[Message], receive: Receive) -> Receive:
    waiting = iter(read)

    async def replayed() -> Message:
        for message in waiting:
            return message
        return await receive()

    return replayed
