"""Multipart bodies read piece by piece, never held whole: for big files, and to look at a form's first field.

Small forms are read by FastAPI itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_BOUNDARY = 256


class MultipartError(Exception):
    """The body is not what its Content-Type says."""


@dataclass(frozen=True)
class PartBegins:
    """A field (filename is None) or a file."""

    name: str
    filename: str | None


@dataclass(frozen=True)
class PartData:
    data: bytes


@dataclass(frozen=True)
class PartEnds:
    pass


Event = PartBegins | PartData | PartEnds


class MultipartReader:
    """Give it chunks of the body, get what they hold; raises MultipartError."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY:
            raise MultipartError("Expected a multipart/form-data body with a boundary.")
        self.is_complete = False
        self._events: list[Event] = []
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> list[Event]:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MultipartError(f"The multipart body is damaged: {error}") from error
        events, self._events = self._events, []
        return events

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MultipartError("A part of the multipart body has no name.")
        filename = options.get(b"filename")
        self._events.append(PartBegins(_decoded(options[b"name"]), None if filename is None else _decoded(filename)))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _on_part_end(self) -> None:
        self._events.append(PartEnds())

    def _on_end(self) -> None:
        self.is_complete = True


def _decoded(value: bytes) -> str:
    """Browsers and curl send UTF-8 and escape only the quote (HTML standard, multipart form data)."""
    return value.decode("utf-8", "replace").replace("%22", '"').replace("%0D", " ").replace("%0A", " ")
