"""Tar archives, plain and compressed: hostile, damaged and odd ones."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.archives import ArchiveError, inspect, open_archive
from app.archives.reading import read_picture
from tests.memory import traced
from tests.pace import soon

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data


def classes(*extra: Member) -> list[Member]:
    return [member("cats/1.png", b"one"), member("cats/2.png"), member("dogs/1.png"), *extra]


def tar_bytes(members: list[Member], form: int = tarfile.PAX_FORMAT, encoding: str = "utf-8") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, encoding=encoding) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_every_packing_is_told_by_its_content(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "named.zip"
    path.write_bytes(PACKERS[kind](tar_bytes(classes())))
    contents = inspect(path, "named.zip")
    assert contents.kind == kind
    assert [(entry.name, entry.count) for entry in contents.classes] == [("cats", 2), ("dogs", 1)]


@pytest.mark.parametrize("kind", PACKERS)
def test_pictures_are_read_in_any_order(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures"
    path.write_bytes(PACKERS[kind](tar_bytes(classes(member("dogs/2.png", b"last" * 5000)))))
    with open_archive(path, "pictures", tmp_path) as archive, archive.data_path.open("rb") as file:
        entries = archive.entries(np.array([3, 0])).tolist()
        assert [read_picture(file.fileno(), *entry) for entry in entries] == [b"last" * 5000, b"one"]
    assert sorted(found.name for found in tmp_path.iterdir()) == ["pictures"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (member("../evil.png"), r"“../evil.png” leads outside"),
        (member("/etc/evil.png"), r"absolute path"),
        (member("cats/link.png", kind=tarfile.SYMTYPE, link="/etc/passwd"), r"“cats/link.png” is a link \(to “/etc/pa"),
        (member("cats/link.png", kind=tarfile.LNKTYPE, link="cats/1.png"), r"is a link"),
        (member("cats/null.png", kind=tarfile.CHRTYPE), r"is a device or a pipe"),
        (member("cats/disk.png", kind=tarfile.BLKTYPE), r"is a device or a pipe"),
        (member("cats/pipe.png", kind=tarfile.FIFOTYPE), r"is a device or a pipe"),
        (member("cats/" + "x" * 5000 + ".png"), r"a name of 5,009 characters"),
    ],
)
def test_hostile_entries_are_refused(extra: Member, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    path.write_bytes(tar_bytes(classes(extra)))
    with pytest.raises(ArchiveError, match=message):
        inspect(path, "pictures.tar")


@pytest.mark.parametrize("kind", PACKERS)
def test_a_cut_archive_says_so(kind: str, tmp_path: Path) -> None:
    whole = PACKERS[kind](tar_bytes(classes(member("dogs/2.png", bytes(range(256)) * 400))))
    path = tmp_path / "pictures.tar"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError, match=r"damaged or incomplete"):
        inspect(path, "pictures.tar")


def test_a_damaged_header_does_not_end_the_archive_silently(tmp_path: Path) -> None:
    whole = bytearray(tar_bytes(classes()))
    whole[1024:1030] = b"\xff" * 6  # the second header's name; its checksum no longer fits
    path = tmp_path / "pictures.tar"
    path.write_bytes(whole)
    with pytest.raises(ArchiveError, match=r"damaged"):
        inspect(path, "pictures.tar")


def with_header_size(size_field: bytes, kind: bytes = b"0") -> bytes:
    """A first header whose size field is `size_field` (12 bytes), with a right checksum."""
    block = bytearray(tar_bytes([member("cats/1.png", b"")])[:512])
    block[124:136], block[156:157] = size_field, kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (with_header_size(b"\xff" * 12) + bytes(2048), r"damaged|negative"),
        (with_header_size(b"\xff" * 10 + b"\xfe\x00") + bytes(2048), r"damaged|negative"),
        (with_header_size(b"\x80" + b"\0" * 3 + b"\x7f" * 8) + bytes(2048), r"damaged|would grow"),
        (with_header_size(b"77777777777\0", b"x") + bytes(2048), r"a header in the archive says that it is"),
        (with_header_size(b"77777777777\0", b"L") + bytes(2048), r"a header in the archive says that it is"),
    ],
    ids=["size -1", "size -512", "size of an exabyte", "pax header of 8 GB", "long name of 8 GB"],
)
def test_forged_sizes_neither_hang_nor_fill_memory(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    path.write_bytes(data + tar_bytes(classes()))
    with traced() as memory, soon(50), pytest.raises(ArchiveError, match=message):
        inspect(path, "pictures.tar")
    assert memory.peak_bytes < 50 * 2**20


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_stopped_while_it_unpacks(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archives.streams.BOMB_TOTAL_BYTES", 20 << 20)
    path = tmp_path / "pictures"
    path.write_bytes(PACKERS[kind](tar_bytes(classes(member("dogs/2.png", bytes(60 << 20))))))
    with traced() as memory, pytest.raises(ArchiveError, match=r"unpack to more than 2\d,\d{3},\d{3}"):
        inspect(path, "pictures")
    assert memory.peak_bytes < 30 * 2**20


def test_an_xz_dictionary_of_a_gigabyte_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "preset": 0}]
    packed = lzma.compress(tar_bytes(classes()), filters=[filters[0] | {"dict_size": 1 << 20}])
    at = packed.index(b"\x21\x01", 12) + 2  # the dictionary size of the block header
    header = bytearray(packed[12 : 12 + (packed[12] + 1) * 4 - 4])
    header[at - 12] = 36  # 1 GiB
    forged = packed[:12] + bytes(header) + lzma_crc(bytes(header)) + packed[12 + len(header) + 4 :]
    path = tmp_path / "pictures.tar.xz"
    path.write_bytes(forged)
    with pytest.raises(ArchiveError, match=r"unpacking needs more than 256 MB"):
        inspect(path, "pictures.tar.xz")


def lzma_crc(data: bytes) -> bytes:
    import zlib

    return zlib.crc32(data).to_bytes(4, "little")


def test_two_gzip_streams_behind_each_other_are_one_archive(tmp_path: Path) -> None:
    whole = tar_bytes(classes())
    path = tmp_path / "pictures.tar.gz"
    path.write_bytes(gzip.compress(whole[:700]) + gzip.compress(whole[700:]) + b"\0" * 100)
    assert inspect(path, "pictures.tar.gz").image_count == 3


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_japanese_names_survive_in_every_form(form: int, tmp_path: Path) -> None:
    name = "犬" * 30
    path = tmp_path / "pictures.tar"
    path.write_bytes(tar_bytes(classes(member(f"{name}/1.png")), form))
    assert [entry.name for entry in inspect(path, "pictures.tar").classes] == ["cats", "dogs", name]


def test_names_in_another_encoding_are_guessed(tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    path.write_bytes(tar_bytes(classes(member("画像データ/りんご.png")), tarfile.GNU_FORMAT, "cp932"))
    assert [entry.name for entry in inspect(path, "pictures.tar").classes] == ["cats", "dogs", "画像データ"]


def test_the_last_of_entries_with_one_path_counts(tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    path.write_bytes(tar_bytes(classes(member("cats/1.png", b"newer"))))
    contents = inspect(path, "pictures.tar")
    assert contents.image_count == 3
    with open_archive(path, "pictures.tar", tmp_path) as archive, archive.data_path.open("rb") as file:
        data = {read_picture(file.fileno(), *entry) for entry in archive.entries(archive.all_rows()).tolist()}
    assert data == {b"newer", b"x"}


def test_sparse_files_and_volume_labels_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    path.write_bytes(tar_bytes(classes(member("label", kind=b"V"))))
    assert inspect(path, "pictures.tar").skipped == {"a kind of entry that is not supported": 1}


def test_paths_that_start_with_a_dot_are_listed_without_it(tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    path.write_bytes(tar_bytes([member("./cats/1.png"), member(".//dogs/./1.png")]))
    with open_archive(path, "pictures.tar", tmp_path) as archive:
        assert [archive.table.path(row) for row in range(2)] == ["cats/1.png", "dogs/1.png"]
