"""Archives that a process of its own turns into a tar: .7z and .rar, hostile ones too."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from app.archives import ArchiveError, inspect, open_archive
from app.archives.reading import read_picture

needs_bsdtar = pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar is not installed")


def seven_zip(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    py7zr = pytest.importorskip("py7zr")
    with py7zr.SevenZipFile(path, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return path


def rar(path: Path, files: dict[str, bytes]) -> Path:
    """A RAR 5 archive that stores its files (RAR 5.0 archive format, rarlab.com/technote.htm)."""
    out = b"Rar!\x1a\x07\x01\x00" + _block(_vint(1) + _vint(0) + _vint(0))
    for name, data in files.items():
        encoded = name.encode()
        about = b"".join((_vint(4), _vint(len(data)), _vint(0o100644), struct.pack("<L", zlib.crc32(data))))
        about += _vint(0) + _vint(1) + _vint(len(encoded)) + encoded
        out += _block(_vint(2) + _vint(2) + _vint(len(data)) + about) + data
    path.write_bytes(out + _block(_vint(5) + _vint(0) + _vint(0)))
    return path


def _block(content: bytes) -> bytes:
    sized = _vint(len(content)) + content
    return struct.pack("<L", zlib.crc32(sized)) + sized


def _vint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


FILES = {
    "pets/cats/1.png": b"one" * 1000,
    "pets/cats/2.png": b"",
    "pets/犬/1.png": os.urandom(5000),
    "pets/x.txt": b"?",
}


def contents_of(path: Path, spool: Path) -> dict[str, bytes]:
    with open_archive(path, path.name, spool) as archive, archive.data_path.open("rb") as file:
        return {
            archive.table.path(row): read_picture(file.fileno(), *entry)
            for row, entry in enumerate(archive.entries(archive.all_rows()).tolist())
        }


def test_a_7z_archive_is_read_like_any_other(tmp_path: Path) -> None:
    path = seven_zip(tmp_path / "pets.7z", FILES)
    contents = inspect(path, "pets.7z")
    assert [(entry.name, entry.count) for entry in contents.classes] == [("cats", 2), ("犬", 1)]
    assert (contents.kind, contents.wrapper, contents.skipped) == ("7z", "pets", {"not a picture (.txt)": 1})
    assert contents_of(path, tmp_path) == {name: data for name, data in FILES.items() if name.endswith("png")}
    assert [found.name for found in tmp_path.iterdir()] == ["pets.7z"]


@needs_bsdtar
def test_a_rar_archive_is_read_where_the_system_can(tmp_path: Path) -> None:
    path = rar(tmp_path / "pets.rar", FILES)
    assert [(entry.name, entry.count) for entry in inspect(path, "pets.rar").classes] == [("cats", 2), ("犬", 1)]
    assert contents_of(path, tmp_path) == {name: data for name, data in FILES.items() if name.endswith("png")}


def test_without_an_extractor_the_message_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = rar(tmp_path / "pets.rar", FILES)
    with pytest.raises(ArchiveError, match=r"A .rar archive cannot be unpacked here.*install bsdtar on the server"):
        inspect(path, "pets.rar")


@needs_bsdtar
def test_bsdtar_takes_the_place_of_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = seven_zip(tmp_path / "pets.7z", FILES)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert contents_of(path, tmp_path) == {name: data for name, data in FILES.items() if name.endswith("png")}


def test_an_encrypted_7z_is_refused(tmp_path: Path) -> None:
    path = seven_zip(tmp_path / "pets.7z", FILES, password="secret")
    with pytest.raises(ArchiveError, match=r"Refused: the archive is encrypted"):
        inspect(path, "pets.7z")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_7z_says_so(share: float, tmp_path: Path) -> None:
    path = seven_zip(tmp_path / "pets.7z", FILES)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ArchiveError, match=r"The .7z archive is damaged or not supported"):
        inspect(path, "pets.7z")


@needs_bsdtar
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_cut_rar_says_so(share: float, tmp_path: Path) -> None:
    path = rar(tmp_path / "pets.rar", FILES)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ArchiveError, match=r"damaged"):
        inspect(path, "pets.rar")


@needs_bsdtar
@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png"])
def test_escapes_are_refused_as_in_other_archives(name: str, tmp_path: Path) -> None:
    path = rar(tmp_path / "pets.rar", FILES | {name: b"x"})
    with pytest.raises(ArchiveError, match=r"leads outside|absolute path"):
        inspect(path, "pets.rar")


def test_a_7z_bomb_is_stopped_while_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archives.streams.BOMB_TOTAL_BYTES", 20 << 20)
    path = seven_zip(tmp_path / "pets.7z", FILES | {"pets/cats/3.png": bytes(60 << 20)})
    with pytest.raises(ArchiveError, match=r"unpack to more than|would grow"):
        inspect(path, "pets.7z")
