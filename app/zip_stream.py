"""A zip archive written piece by piece in constant memory, however many files it gets (zipfile keeps a record of each).

Files are stored as they are: pictures are packed already. Zip64 where sizes ask for it (APPNOTE.TXT, 4.3 and 4.5).
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from datetime import datetime

VERSION_ZIP64 = 45
UTF8_NAME = 0x0800
LIMIT_32, LIMIT_16 = 0xFFFF_FFFF, 0xFFFF
REGULAR_FILE = 0o100644 << 16
MADE_ON_UNIX = 3 << 8
SPOOL_BYTES = 8 << 20  # the central directory lies on disk beyond this
PIECE_BYTES = 1 << 20


class ZipStream:
    """`add` gives the bytes of each file's part, `finish` those of the end; all of them in order are the archive."""

    def __init__(self, moment: datetime) -> None:
        year = min(max(moment.year, 1980), 2107)
        self._date = (year - 1980) << 9 | moment.month << 5 | moment.day
        self._time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
        self._directory = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 closed by finish, or when lost
        self._offset = self._count = 0

    def add(self, name: str, data: bytes) -> bytes:
        """A file of less than 4 GB."""
        path, checksum, size = name.encode(), zlib.crc32(data), len(data)
        shared = (UTF8_NAME, 0, self._time, self._date, checksum, size, size, len(path))
        head = struct.pack("<4s5H3I2H", b"PK\3\4", VERSION_ZIP64, *shared, 0) + path
        is_far = self._offset > LIMIT_32 - 1
        extra = struct.pack("<2HQ", 1, 8, self._offset) if is_far else b""
        offset = LIMIT_32 if is_far else self._offset
        self._directory.write(
            struct.pack("<4s6H3I5H2I", b"PK\1\2", MADE_ON_UNIX | VERSION_ZIP64, VERSION_ZIP64, *shared, len(extra),
                        0, 0, 0, REGULAR_FILE, offset)
        )  # fmt: skip
        self._directory.write(path + extra)
        self._offset += len(head) + size
        self._count += 1
        return head + data

    def finish(self) -> Iterator[bytes]:
        size = self._directory.tell()
        self._directory.seek(0)
        while piece := self._directory.read(PIECE_BYTES):
            yield piece
        self._directory.close()
        yield self._end(size)

    def _end(self, size: int) -> bytes:
        start, count = self._offset, self._count
        few = min(count, LIMIT_16)
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, few, few, min(size, LIMIT_32), min(start, LIMIT_32), 0)
        if count < LIMIT_16 and max(size, start) < LIMIT_32:
            return end
        zip64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, MADE_ON_UNIX | VERSION_ZIP64, VERSION_ZIP64, 0, 0, count,
                            count, size, start)  # fmt: skip
        return zip64 + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1) + end
