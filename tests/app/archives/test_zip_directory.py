"""Hostile, damaged and odd zip files: each with its message or its outcome."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.archives import ArchiveError, Contents, inspect
from tests.app.archives.raw_zip import UTF8_FLAG, RawEntry, classes, raw_zip
from tests.memory import traced
from tests.pace import soon

Make = Callable[[Path], Path]


def of(*extra: RawEntry) -> Make:
    return lambda path: raw_zip(path, classes(*extra))


def overlapping(path: Path) -> Path:
    return raw_zip(
        path, classes(RawEntry(b"dogs/2.png", b"\0" * 90_000), RawEntry(b"dogs/3.png", b"\0" * 90_000, offset=120))
    )


def same_local_header(path: Path) -> Path:
    """Every entry is the first one's data: the shape of Fifield's bomb."""
    return raw_zip(path, [RawEntry(b"cats/%d.png" % number, b"\0" * 1000, offset=0) for number in range(50)])


def cut(share: float) -> Make:
    def make(path: Path) -> Path:
        whole = raw_zip(path, classes()).read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        return path

    return make


def directory_claims(entries: int, size: int) -> Make:
    def make(path: Path) -> Path:
        path.write_bytes(
            b"PK\x03\x04" + b"\0" * 60 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, entries, entries, size, 64, 0)
        )
        return path

    return make


def many_entries(path: Path) -> Path:
    """A zip64 end record that claims three million entries."""
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3_000_000, 3_000_000, 0, 4)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 4, 1)
    path.write_bytes(
        b"PK\x03\x04"
        + end64
        + locator
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    )
    return path


def part_of_several(path: Path) -> Path:
    path.write_bytes(b"PK\x03\x04" + struct.pack("<4s4H2LH", b"PK\x05\x06", 2, 2, 1, 1, 0, 4, 0))
    return path


REFUSED: dict[str, tuple[Make, str]] = {
    "parent folder": (of(RawEntry(b"../evil.png")), r"“../evil.png” leads outside of the archive"),
    "parent folder in the middle": (of(RawEntry(b"cats/../../evil.png")), r"leads outside"),
    "parent folder with backslashes": (of(RawEntry(b"cats\\..\\..\\evil.png")), r"leads outside"),
    "parent as a folder entry": (of(RawEntry(b"../", b"", method=0)), r"leads outside"),
    "absolute path": (of(RawEntry(b"/etc/evil.png")), r"“/etc/evil.png” has an absolute path"),
    "absolute path with backslashes": (of(RawEntry(b"\\\\server\\share\\evil.png")), r"absolute path"),
    "drive letter": (of(RawEntry(b"C:\\cats\\1.png")), r"“C:/cats/1.png” has a drive letter"),
    "drive letter without a folder": (of(RawEntry(b"C:1.png")), r"drive letter"),
    "NUL in a name": (of(RawEntry(b"cats/1.png\0.exe")), r"NUL character"),
    "name of 5,000 characters": (of(RawEntry(b"cats/" + b"x" * 5000 + b".png")), r"a name of 5,009 characters"),
    "symbolic link": (of(RawEntry(b"cats/link.png", b"/etc/passwd", mode=0o120777)), r"“cats/link.png” is a link"),
    "link as a folder": (of(RawEntry(b"cats/link", b"..", mode=0o120777)), r"is a link"),
    "device": (of(RawEntry(b"cats/null.png", mode=0o020666)), r"is a device"),
    "pipe": (of(RawEntry(b"cats/pipe.png", mode=0o010666)), r"is a pipe"),
    "encrypted entry": (of(RawEntry(b"cats/3.png", flags=1)), r"“cats/3.png” is encrypted"),
    "strong encryption": (of(RawEntry(b"cats/3.png", flags=0x41)), r"is encrypted"),
    "AES encryption": (of(RawEntry(b"cats/3.png", method=99)), r"is encrypted"),
    "overlapping entries": (overlapping, r"overlaps the next one"),
    "one body for all entries": (same_local_header, r"overlaps the next one"),
    "forged packed size": (of(RawEntry(b"dogs/2.png", stated_packed=10**6)), r"“dogs/2.png” reaches beyond the data"),
    "flat bomb": (of(RawEntry(b"dogs/2.png", b"\0" * (70 << 20))), r"“dogs/2.png” would grow from .* to 73,400,320"),
    "forged size of an exabyte": (of(RawEntry(b"dogs/2.png", stated_size=2**32 - 2)), r"would grow from"),
    "many entries that each grow": (
        lambda path: raw_zip(
            path, [RawEntry(b"cats/%d.png" % n, b"\0" * 100, stated_size=60 << 20) for n in range(40)]
        ),
        r"would grow to 2,516,582,400",
    ),
    "nothing but the end": (cut(0.0001), r"empty \(0 bytes\)"),
    "cut in the middle": (cut(0.5), r"incomplete: its table of contents, which is at the end, is missing"),
    "cut in the end record": (cut(0.99), r"incomplete"),
    "directory that lies elsewhere": (directory_claims(3, 10_000), r"damaged: its table of contents does not lie"),
    "directory of 300 MB": (directory_claims(3, 300 << 20), r"table of contents takes"),
    "fewer entries than stated": (directory_claims(3, 0), r"should have 3 entries, 0 can be read"),
    "three million entries": (many_entries, r"has 3,000,000 entries"),
    "part of a split archive": (
        part_of_several,
        r"one part of several",
    ),
}  # fmt: skip


@pytest.fixture
def bounded() -> Iterator[None]:
    """Every sample must be judged in a second or two and in little memory, whatever it claims."""
    with traced() as memory, soon(100):
        yield
    assert memory.peak_bytes < 300 * 2**20


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("sample", REFUSED)
def test_refused_with_a_message(sample: str, tmp_path: Path) -> None:
    make, message = REFUSED[sample]
    with pytest.raises(ArchiveError, match=message):
        inspect(make(tmp_path / "pictures.zip"), "pictures.zip")


def look(path: Path, *entries: RawEntry, **options: bytes) -> Contents:
    return inspect(raw_zip(path / "pictures.zip", entries, **options), "pictures.zip")


def counts(contents: Contents) -> dict[str, int]:
    return {entry.name: entry.count for entry in contents.classes}


def test_backslashes_of_old_windows_archivers_separate_folders(tmp_path: Path) -> None:
    contents = look(tmp_path, RawEntry(b"cats\\1.png"), RawEntry(b"dogs\\1.png"))
    assert counts(contents) == {"cats": 1, "dogs": 1}


def test_system_files_and_other_files_are_counted_with_reasons(tmp_path: Path) -> None:
    junk = [
        b"__MACOSX/cats/._1.png",
        b"cats/.DS_Store",
        b"cats/Thumbs.db",
        b"desktop.ini",
        b".hidden/1.png",
        b"cats/._2.png",
    ]
    other = [b"README.txt", b"cats/notes.txt", b"cats/model.bin", b"cats/inner.zip", b"cats/LICENSE"]
    contents = look(tmp_path, *classes(*(RawEntry(name) for name in junk + other)))
    assert counts(contents) == {"cats": 2, "dogs": 1}
    assert contents.skipped == {
        "system file": 6,
        "not a picture (.txt)": 2,
        "not a picture (.bin)": 1,
        "archive inside the archive": 1,
        "not a picture": 1,
    }


def test_data_in_front_of_the_archive_shifts_it(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "setup.exe", classes(), prefix=b"MZ" + b"\x90" * 5000)
    assert counts(inspect(path, "setup.exe")) == {"cats": 2, "dogs": 1}


def test_a_comment_behind_the_archive_is_passed_over(tmp_path: Path) -> None:
    assert counts(look(tmp_path, *classes(), comment=b"made by hand" * 100)) == {"cats": 2, "dogs": 1}


def test_the_last_of_entries_with_one_path_counts(tmp_path: Path) -> None:
    contents = look(tmp_path, *classes(RawEntry(b"cats/1.png", b"newer")))
    assert counts(contents) == {"cats": 2, "dogs": 1}
    assert contents.skipped == {"the same path twice (the last one counts)": 1}


def test_methods_that_nobody_can_read_here_are_counted(tmp_path: Path) -> None:
    contents = look(tmp_path, *classes(RawEntry(b"cats/9.png", method=9)))
    assert contents.skipped == {"packed by Deflate64, which is not supported": 1}


def test_a_picture_of_200_mb_is_passed_over(tmp_path: Path) -> None:
    contents = look(
        tmp_path,
        *classes(RawEntry(b"cats/9.bmp", method=0, stated_size=200 << 20, data=bytes(1 << 20), stated_packed=1 << 20)),
    )
    assert contents.skipped == {"larger than 128 MB": 1}


def test_zip64_sizes_are_read_from_the_extra_field(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"x" * 50) + packer.flush()
    extra = struct.pack("<2H2Q", 1, 16, 50, len(packed))
    entry = RawEntry(b"dogs/2.png", b"x" * 50, stated_size=2**32 - 1, stated_packed=2**32 - 1, extra=extra)
    contents = look(tmp_path, *classes(entry))
    assert contents.unpacked_bytes == 53


def test_more_than_65535_entries_need_zip64_and_are_all_seen(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(66_000):
            archive.writestr(f"{number % 3}/{number}.png", b"")
    with soon(50):
        contents = inspect(path, "many.zip")
    assert contents.image_count == 66_000


@pytest.mark.parametrize(
    "name", ["cats", "с кошками", "犬", "x" * 200, "naïve", "🐈", "CON", "a b  c", "%2e%2e", "-rf", "$(id)"]
)
def test_class_names_survive_as_they_are(name: str, tmp_path: Path) -> None:
    contents = look(tmp_path, RawEntry(f"{name}/1.png".encode(), flags=UTF8_FLAG), RawEntry(b"zebra/1.png"))
    assert name in counts(contents)


def test_names_from_macos_are_composed(tmp_path: Path) -> None:
    decomposed = "か\u3099ぞう"  # が as か and a combining mark
    contents = look(
        tmp_path, RawEntry(f"{decomposed}/1.png".encode()), RawEntry("がぞう/2.png".encode()), RawEntry(b"b/1.png")
    )
    assert counts(contents) == {"b": 1, "がぞう": 2}


def test_the_unicode_path_field_wins_over_the_raw_name(tmp_path: Path) -> None:
    raw = "犬/1.png".encode("cp932")
    extra = struct.pack("<2HBL", 0x7075, 5 + len("犬/1.png".encode()), 1, zlib.crc32(raw)) + "犬/1.png".encode()
    contents = look(tmp_path, RawEntry(raw, extra=extra), RawEntry(b"cats/1.png"))
    assert counts(contents) == {"cats": 1, "犬": 1}


def test_control_and_direction_characters_become_underscores(tmp_path: Path) -> None:
    contents = look(tmp_path, RawEntry("a\nb\u202egnp/1.png".encode(), flags=UTF8_FLAG), RawEntry(b"cats/1.png"))
    assert counts(contents) == {"a_b_gnp": 1, "cats": 1}
