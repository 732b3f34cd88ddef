"""Files that are sent before they exist: bytes, and spans of files that lie on the disk, one after the other.

Weights of half a gigabyte thus become a .caffemodel or an ONNX file in constant memory. Both are protobuf messages,
whose fields are laid out here: a tag, a length, the content (protobuf.dev, "Encoding").
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LARGEST_MESSAGE = 2**31 - 1  # bytes that protobuf reads


@dataclass(frozen=True)
class Span:
    """A part of a file."""

    path: Path
    offset: int
    size: int


Piece = bytes | Span


def size_of(pieces: Sequence[Piece]) -> int:
    return sum(piece.size if isinstance(piece, Span) else len(piece) for piece in pieces)


def field(number: int, pieces: Sequence[Piece]) -> list[Piece]:
    """A field of a protobuf message that is a message, a string, bytes or packed numbers."""
    return [varint(number << 3 | 2) + varint(size_of(pieces)), *pieces]


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


class PieceReader(io.RawIOBase):
    """Reads pieces in their order. The files are opened at once, so that what is deleted meanwhile stays readable."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.size = size_of(pieces)
        self._pieces = pieces
        self._place = self._read_of_piece = 0
        self._files: dict[Path, BinaryIO] = {}
        with ExitStack() as stack:
            for path in dict.fromkeys(piece.path for piece in pieces if isinstance(piece, Span)):
                self._files[path] = stack.enter_context(path.open("rb"))
            self._opened = stack.pop_all()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills as much of the buffer as one piece gives."""
        while self._place < len(self._pieces):
            piece, done = self._pieces[self._place], self._read_of_piece
            left = size_of([piece]) - done
            if left:
                data = self._part(piece, done, min(left, len(buffer)))
                buffer[: len(data)] = data
                self._read_of_piece += len(data)
                return len(data)
            self._place, self._read_of_piece = self._place + 1, 0
        return 0

    def close(self) -> None:
        self._opened.close()
        super().close()

    def _part(self, piece: Piece, start: int, count: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[start : start + count]
        file = self._files[piece.path]
        file.seek(piece.offset + start)
        data = file.read(count)
        if not data:
            raise OSError(f"{piece.path} has become shorter while it was read")
        return data
