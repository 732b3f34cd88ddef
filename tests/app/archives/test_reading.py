"""Bytes of pictures out of archives: whole, damaged, forged."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from app.archives import open_archive
from app.archives.reading import DamagedEntry, read_picture
from tests.app.archives.raw_zip import RawEntry, classes, raw_zip
from tests.memory import traced

PICTURE = os.urandom(10_000) + bytes(10_000)


def read_all(path: Path, spool: Path) -> dict[str, bytes | str]:
    """{path inside: bytes, or the reason why not}"""
    found: dict[str, bytes | str] = {}
    with open_archive(path, path.name, spool) as archive, archive.data_path.open("rb") as file:
        for row, entry in enumerate(archive.entries(archive.all_rows()).tolist()):
            try:
                found[archive.table.path(row)] = read_picture(file.fileno(), *entry)
            except DamagedEntry as error:
                found[archive.table.path(row)] = str(error)
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zipfile_is_read(method: int, tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("cats/1.png", PICTURE)
        archive.writestr("dogs/1.png", PICTURE * 10)
    assert read_all(path, tmp_path) == {"cats/1.png": PICTURE, "dogs/1.png": PICTURE * 10}


def test_a_stream_written_zip_with_sizes_behind_the_data_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"

    class Pipe:  # no seek: zipfile then writes data descriptors
        def __init__(self) -> None:
            self.file = path.open("wb")

        def write(self, data: bytes) -> int:
            return self.file.write(data)

        def flush(self) -> None:
            self.file.flush()

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr("cats/1.png", PICTURE)
        archive.writestr("dogs/1.png", PICTURE)
    assert set(read_all(path, tmp_path).values()) == {PICTURE}


def test_data_in_front_of_the_archive_is_passed_over(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "setup.exe", [RawEntry(b"cats/1.png", PICTURE), RawEntry(b"b/1.png")], prefix=b"MZ" * 99)
    assert read_all(path, tmp_path)["cats/1.png"] == PICTURE


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (RawEntry(b"dogs/2.png", PICTURE, stated_checksum=1), "damaged in the archive (wrong checksum)"),
        (
            RawEntry(b"dogs/2.png", bytes(50 << 20), stated_size=1000),
            "damaged in the archive (unpacks to more or less than the stated 1,000 bytes)",
        ),
        (
            RawEntry(b"dogs/2.png", PICTURE, stated_size=30_000),
            "damaged in the archive (unpacks to more or less than the stated 30,000 bytes)",
        ),
        (RawEntry(b"dogs/2.png", PICTURE, local_signature=b"XXXX"), "damaged in the archive (no local header)"),
    ],
)
def test_a_damaged_entry_gives_its_reason_and_the_others_are_read(entry: RawEntry, reason: str, tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "pictures.zip", classes(entry))
    with traced() as memory:
        found = read_all(path, tmp_path)
    assert memory.peak_bytes < 5 * 2**20
    assert found == {"cats/1.png": b"x", "cats/2.png": b"x", "dogs/1.png": b"x", "dogs/2.png": reason}


def test_deflate_data_that_is_no_deflate_data_gives_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    whole = raw_zip(path, classes(RawEntry(b"dogs/2.png", PICTURE))).read_bytes()
    at = whole.index(b"dogs/2.png") + 10
    path.write_bytes(whole[:at] + b"\xff" * 20 + whole[at + 20 :])
    assert str(read_all(path, tmp_path)["dogs/2.png"]).startswith("damaged in the archive (Error -3")
