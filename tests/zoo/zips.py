"""Zip archives: those that are refused (`test_zip_directory.py` has them), and odd ones that people really have."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from tests.app.archives.raw_zip import UTF8_FLAG, RawEntry, raw_zip
from tests.app.archives.test_zip_directory import REFUSED
from tests.worker.datasets.pictures import zip_of
from tests.zoo.sample import PETS, Built, Make, NotBuilt, Refused, Sample, Taken, pets, picture


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Make:
    def make(path: Path) -> Path:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return make


def raw(*extra: RawEntry, prefix: bytes = b"", comment: bytes = b"", behind: bytes = b"") -> Make:
    """Two cats and two dogs, and `extra` entries, written byte by byte."""

    def make(path: Path) -> Path:
        entries = [RawEntry(name.encode(), data) for name, data in pets().items()]
        raw_zip(path, [*entries, *extra], prefix, comment)
        with path.open("ab") as file:
            file.write(behind)
        return path

    return make


def named(*names: bytes, flags: int = 0) -> Make:
    """Two pictures below each of these folder names."""
    return lambda path: raw_zip(
        path,
        [
            RawEntry(name + b"/%d.png" % number, picture(number), flags=flags)
            for name in (*names, b"dogs")
            for number in range(2)
        ],
    )


def streamed(path: Path) -> Path:
    """Sizes lie behind the data, as in what `zip -` writes."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pets().items():
            archive.writestr(name, data)
    path.write_bytes(pipe.getvalue())
    return path


def with_zip64_fields(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in pets().items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    return path


def beyond_four_gigabytes(path: Path) -> Path:
    """Entries behind a hole of 4.5 GB, which takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(4_500_000_000)
        file.seek(0, 2)
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in pets().items():
                archive.writestr(name, data)
    with path.open("r+b") as file:
        file.write(b"PK\x03\x04")
    return path


def many_entries(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(66_000):
            archive.writestr(f"{number % 3}/{number}.png", b"")
    return path


def nested(depth: int) -> Make:
    """An archive in an archive in an archive …, the innermost of which would grow to 100 MB."""

    def make(path: Path) -> Path:
        data = bytes(100 << 20)
        name = "zeros.bin"
        for level in range(depth):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name, data)
            data, name = file.getvalue(), f"{level}.zip"
        return zip_of(path, {f"cats/{name}": data, f"dogs/{name}": data})

    return make


UNICODE_PATH = struct.pack("<2HBL", 0x7075, 5 + len("犬/1.png".encode()), 1, zlib.crc32("犬/1.png".encode("cp932")))
JUNK = {
    "__MACOSX/cats/._0.png": b"\0\5\x16\7",
    "cats/.DS_Store": b"\0\0\0\1Bud1",
    "cats/Thumbs.db": b"\xd0\xcf\x11\xe0",
    "desktop.ini": b"[.ShellClassInfo]",
    ".hidden/1.png": b"",
}

ZIPS: dict[str, Sample] = {
    **{f"zip: {name}": Sample(make, Refused(message)) for name, (make, message) in REFUSED.items()},
    "zip: nested bomb": Sample(nested(4), Refused(r"only holds 2 other archives")),
    "zip: only system files": Sample(packed(JUNK), Refused(r"holds no pictures, only empty folders or system files")),
    "zip: only texts": Sample(packed({"a/x.txt": b"x", "b/y.md": b"y"}), Refused(r"1 × not a picture \(.txt\)")),
    "zip: loose pictures": Sample(packed({"1.png": b"", "2.png": b""}), NotBuilt({}, r"Found 2 pictures but no class")),
    "zip: stored": Sample(packed(pets()), Built()),
    "zip: deflated": Sample(packed(pets(), zipfile.ZIP_DEFLATED), Built()),
    "zip: bzip2": Sample(packed(pets(), zipfile.ZIP_BZIP2), Built()),
    "zip: LZMA": Sample(packed(pets(), zipfile.ZIP_LZMA), Built()),
    "zip: streamed": Sample(streamed, Built()),
    "zip: zip64 fields": Sample(with_zip64_fields, Built()),
    "zip: zip64 beyond 4 GB": Sample(beyond_four_gigabytes, Built(), is_sent=False),
    "zip: 66,000 entries": Sample(many_entries, Taken(dict.fromkeys("012", 22_000))),
    "zip: behind a program": Sample(raw(prefix=b"MZ" + b"\x90" * 5000), Built(), "setup.exe"),
    "zip: comment": Sample(raw(comment=b"made by hand" * 100), Built()),
    "zip: trailing garbage": Sample(raw(behind=b"\0" * 300), Built()),
    "zip: Deflate64": Sample(
        raw(RawEntry(b"cats/9.png", method=9)), Built(skipped={"packed by Deflate64, which is not supported": 1})
    ),
    "zip: wrong checksum": Sample(
        raw(RawEntry(b"cats/9.png", picture(), stated_checksum=1)),
        Built(PETS | {"cats": 3}, unreadable={"cats/9.png": r"^damaged in the archive \(wrong checksum\)"}),
    ),
    "zip: entry that unpacks to more": Sample(
        raw(RawEntry(b"cats/9.png", bytes(5_000_000), stated_size=1000)),
        Built(PETS | {"cats": 3}, unreadable={"cats/9.png": r"more or less than the stated 1,000 bytes"}),
    ),
    "zip: picture of 200 MB": Sample(
        raw(RawEntry(b"cats/9.bmp", bytes(1 << 20), 0, stated_size=200 << 20, stated_packed=1 << 20)),
        Built(skipped={"larger than 128 MB": 1}),
    ),
    "zip: macOS and Windows junk": Sample(packed(pets(**JUNK)), Built(skipped={"system file": 5})),
    "zip: other files": Sample(
        packed(pets(**{"README": b"x", "cats/a.bin": b"x", "cats/inner.zip": b"PK"})),
        Built(skipped={"not a picture": 1, "not a picture (.bin)": 1, "archive inside the archive": 1}),
    ),
    "zip: one top folder": Sample(packed({f"my pets/{name}": data for name, data in pets().items()}), Built()),
    "zip: three top folders": Sample(packed({f"a/b/c/{name}": data for name, data in pets().items()}), Built()),
    "zip: folders of splits": Sample(
        packed({f"{split}/{name}": data for split in ("train", "val") for name, data in pets().items()}),
        Built({"cats": 4, "dogs": 4}),
    ),
    "zip: empty class": Sample(packed(pets(**{"birds/": b""})), Built()),
    "zip: one class": Sample(
        packed({"cats/1.png": picture()}), NotBuilt({"cats": 1}, r"at least two classes; found one class, “cats”")
    ),
    "zip: class with one image": Sample(
        packed({f"{name}/{n}.png": picture(n) for name in ("a", "b") for n in range(5)} | {"fox/1.png": picture()}),
        NotBuilt({"a": 5, "b": 5, "fox": 1}, r"Class “fox” has 1 image; this split needs at least 3 per class"),
    ),
    "zip: the same path twice": Sample(
        raw(RawEntry(b"cats/0.png", picture(9))), Built(skipped={"the same path twice (the last one counts)": 1})
    ),
    "zip: names that differ in case": Sample(named(b"Cats", b"cats"), Built({"Cats": 2, "cats": 2, "dogs": 2})),
    "zip: reserved names": Sample(named(b"CON", b"aux", b"nul"), Built({"CON": 2, "aux": 2, "nul": 2, "dogs": 2})),
    "zip: names like commands": Sample(named(b"-rf", b"$(id)"), Built({"-rf": 2, "$(id)": 2, "dogs": 2})),
    "zip: name like a page": Sample(named(b"<b>&'"), Built({"<b>&'": 2, "dogs": 2})),
    "zip: backslashes": Sample(
        raw(RawEntry(b"birds\\1.png", picture(8)), RawEntry(b"birds\\2.png", picture(9))), Built(PETS | {"birds": 2})
    ),
    "zip: UTF-8 names": Sample(named("犬 🐈".encode(), flags=UTF8_FLAG), Built({"犬 🐈": 2, "dogs": 2})),
    "zip: UTF-8 names without the flag": Sample(named("кошки".encode()), Built({"кошки": 2, "dogs": 2})),
    "zip: CP932 names": Sample(named("画像データ".encode("cp932")), Built({"画像データ": 2, "dogs": 2})),
    "zip: CP437 names": Sample(
        named("Grün".encode("cp437"), "Café".encode("cp437")), Built({"Grün": 2, "Café": 2, "dogs": 2})
    ),
    "zip: composed and decomposed names": Sample(
        named("がぞう".encode(), "か\u3099ぞう".encode()),
        Built({"がぞう": 2, "dogs": 2}, {"the same path twice (the last one counts)": 2}),
    ),
    "zip: Unicode path field": Sample(
        raw(RawEntry("犬/1.png".encode("cp932"), picture(), extra=UNICODE_PATH + "犬/1.png".encode())),
        Built(PETS | {"犬": 1}),
    ),
    "zip: names that turn the text round": Sample(
        named("a\nb\u202egnp".encode(), flags=UTF8_FLAG), Built({"a_b_gnp": 2, "dogs": 2})
    ),
    "zip: name of 240 characters": Sample(
        named("犬".encode() * 240, flags=UTF8_FLAG), Built({"犬" * 240: 2, "dogs": 2})
    ),
}  # fmt: skip
