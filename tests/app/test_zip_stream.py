"""The archive that is written piece by piece, read by zipfile and by unzip's rules."""

from __future__ import annotations

import io
import struct
import zipfile
from datetime import datetime

import pytest

from app.zip_stream import ZipStream

MOMENT = datetime(2026, 3, 4, 5, 6, 8)


def archive_of(files: dict[str, bytes], moment: datetime = MOMENT) -> bytes:
    stream = ZipStream(moment)
    return b"".join([*(stream.add(name, data) for name, data in files.items()), *stream.finish()])


def test_zipfile_reads_every_file_and_name() -> None:
    files = {"train/犬/0.png": b"\x89PNG", "empty": b"", "a/b c.txt": b"x" * 100_000}
    with zipfile.ZipFile(io.BytesIO(archive_of(files))) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == files
        info = archive.getinfo("a/b c.txt")
        assert info.date_time == (2026, 3, 4, 5, 6, 8)
        assert info.external_attr >> 16 == 0o100644


def test_an_archive_without_files_is_still_one() -> None:
    with zipfile.ZipFile(io.BytesIO(archive_of({}))) as archive:
        assert archive.namelist() == []


def test_more_files_than_the_old_format_counts() -> None:
    count = 70_000
    stream = ZipStream(MOMENT)
    data = b"".join([*(stream.add(f"{number}", b"") for number in range(count)), *stream.finish()])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == count


def test_a_file_beyond_four_gigabytes_is_found_by_its_zip64_offset() -> None:
    """The first four gigabytes are not written, only counted."""
    start = 5 << 30
    stream = ZipStream(MOMENT)
    stream._offset = start
    head = stream.add("far", b"data")
    directory, end = list(stream.finish())
    signature, extra_length, offset = *struct.unpack_from("<4s", directory), *struct.unpack_from("<H", directory, 30), 0
    offset = struct.unpack_from("<I", directory, 42)[0]
    assert (signature, extra_length, offset) == (b"PK\1\2", 12, 0xFFFF_FFFF)
    assert struct.unpack_from("<2HQ", directory, 46 + 3) == (1, 8, start)
    assert struct.unpack_from("<Q", end, 48)[0] == start + len(head)  # where the directory begins


@pytest.mark.parametrize("year", [1970, 2200])
def test_a_moment_that_zip_cannot_say_is_moved_to_the_nearest_year(year: int) -> None:
    with zipfile.ZipFile(io.BytesIO(archive_of({"a": b""}, datetime(year, 1, 2)))) as archive:
        assert archive.infolist()[0].date_time[0] == (1980 if year < 1980 else 2107)
