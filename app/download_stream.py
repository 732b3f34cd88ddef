"""A zip archive that is made while it is sent: nothing is written to disk, and no file is held in memory as a whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.export.pieces import Piece, PieceReader, Span

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file of the archive: its text, where it lies, or the pieces that it is made of."""

    name: str
    content: str | Path | Sequence[Piece]
    is_compressed: bool = True

    def pieces(self) -> Sequence[Piece]:
        if isinstance(self.content, str):
            return [self.content.encode()]
        if isinstance(self.content, Path):
            return [Span(self.content, 0, self.content.stat().st_size)]
        return self.content


def stream_zip(files: Iterable[Entry], moment: datetime) -> Iterator[bytes]:
    """A zip archive, piece by piece."""
    sink = _Sink()
    stamp = (max(moment.year, 1980), moment.month, moment.day, moment.hour, moment.minute, moment.second)
    with ExitStack() as stack:
        # All are opened before the first is sent: deleted files stay readable.
        opened = [(entry, stack.enter_context(PieceReader(entry.pieces()))) for entry in files]
        with zipfile.ZipFile(sink, "w") as archive:
            for entry, source in opened:
                member = zipfile.ZipInfo(entry.name, date_time=stamp)
                member.compress_type = zipfile.ZIP_DEFLATED if entry.is_compressed else zipfile.ZIP_STORED
                member.external_attr = 0o644 << 16
                with archive.open(member, "w", force_zip64=source.size > 1 << 31) as target:
                    while chunk := source.read(CHUNK_BYTES):
                        target.write(chunk)
                        yield sink.take()
        yield sink.take()


class _Sink(io.RawIOBase):
    """What zipfile writes into: cannot be sought, and is emptied after every piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
