"""The tar inside another file as a forward-only stream that counts and bounds what comes out.

Compressed tars are unpacked here; .7z and .rar are turned into a tar by a process of their own (`extractors.py`).
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO

from app.archives.errors import ArchiveError
from app.archives.limits import BOMB_TOTAL_BYTES, BOMB_TOTAL_RATIO, MAX_XZ_MEMORY

_CHUNK = 256 * 1024


class _Zlib:
    """zlib's decompressobj with the bounded interface of the bz2 and lzma ones."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self.eof = False
        self.unused_data = b""
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.eof = self._inner.eof
        self.unused_data = self._inner.unused_data
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out


_MAKERS: dict[str, Callable[[], Any]] = {
    "tar.gz": _Zlib,
    "tar.bz2": bz2.BZ2Decompressor,
    "tar.xz": lambda: lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY),
}
_MAGICS = {"tar.gz": b"\x1f\x8b", "tar.bz2": b"BZh", "tar.xz": b"\xfd7zXZ"}


def decompressed(file: BinaryIO, kind: str) -> Generator[bytes, None, None]:
    """The content of a compressed file in pieces of bounded size; streams behind each other are one."""
    inner = _MAKERS[kind]()
    while True:
        data = file.read(_CHUNK) if inner.needs_input else b""
        if not data and inner.needs_input:
            raise EOFError("it ends too early; it may have been cut off while it was copied")
        yield inner.decompress(data, _CHUNK)
        while inner.eof:
            rest = inner.unused_data + file.read(_CHUNK)
            if not rest.startswith(_MAGICS[kind]):  # padding and trailing bytes are no further stream
                return
            inner = _MAKERS[kind]()
            yield inner.decompress(rest, _CHUNK)


class Unpacked:
    """What `pieces` give, read forwards; `packed_bytes` is the size of the file that they come from."""

    def __init__(self, pieces: Iterator[bytes], packed_bytes: int) -> None:
        self._pieces = pieces
        self._packed_bytes = packed_bytes
        self._buffer = b""
        self._at = 0
        self.position = 0
        self.produced = 0
        self.tee: BinaryIO | None = None  # where the unpacked bytes are written as well

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        pieces: list[bytes] = []
        missing = size
        while missing and (self._at < len(self._buffer) or self._fill()):
            piece = self._buffer[self._at : self._at + missing]
            self._at += len(piece)
            missing -= len(piece)
            pieces.append(piece)
        self.position += size - missing
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> int:
        """Reads on to `position`; backwards is not possible."""
        while self.position < position and self.read(min(_CHUNK, position - self.position)):
            pass
        return self.position

    def drain(self) -> None:
        """Reads to the end, so that an error there is seen."""
        while self._fill():
            pass

    def _fill(self) -> bool:
        """Fetches the next piece; False at the end."""
        out = b""
        while not out:
            piece = self._next()
            if piece is None:
                return False
            out = piece
        self.produced += len(out)
        self._refuse_bomb()
        if self.tee is not None:
            self.tee.write(out)
        self._buffer, self._at = out, 0
        return True

    def _next(self) -> bytes | None:
        try:
            return next(self._pieces, None)
        except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
            if isinstance(error, lzma.LZMAError) and "memory" in str(error).lower():
                raise ArchiveError(f"Refused: unpacking needs more than {MAX_XZ_MEMORY >> 20} MB.") from None
            done = f"after {self.produced:,} unpacked bytes"
            raise ArchiveError(f"The archive is damaged or incomplete: {error} ({done}).") from None

    def _refuse_bomb(self) -> None:
        if self.produced > BOMB_TOTAL_BYTES and self.produced > self._packed_bytes * BOMB_TOTAL_RATIO:
            raise ArchiveError(
                f"Refused: {self._packed_bytes:,} bytes unpack to more than {self.produced:,}; "
                f"at most {BOMB_TOTAL_RATIO} times is allowed."
            )
