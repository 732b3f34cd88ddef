"""Tar archives, plain and compressed, and .7z and .rar, which a process of its own turns into one."""

from __future__ import annotations

import gzip
import shutil
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.app.archives.test_extractors import rar, seven_zip
from tests.app.archives.test_tar_headers import PACKERS, Member, member, tar_bytes, with_header_size
from tests.zoo.sample import PETS, Built, Make, Refused, Sample, pets, picture


def tar(*extra: Member, kind: str = "tar", form: int = tarfile.PAX_FORMAT, encoding: str = "utf-8") -> Make:
    members = [member(name, data) for name, data in pets().items()]
    return lambda path: written(path, PACKERS[kind](tar_bytes([*members, *extra], form, encoding)))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def cut(kind: str) -> Make:
    noisy = member("dogs/9.bmp", bytes(range(256)) * 400)
    return lambda path: written(path, tar(noisy, kind=kind)(path).read_bytes()[: path.stat().st_size // 2])


def forged(size_field: bytes, kind: bytes = b"0") -> Make:
    return lambda path: written(
        path, with_header_size(size_field, kind) + bytes(2048) + tar(kind="tar")(path).read_bytes()
    )


def bomb(path: Path) -> Path:
    """1.2 GB of zeros in 1.2 MB: one gzip stream again and again behind the header of a large entry."""
    info = tarfile.TarInfo("cats/zeros.bmp")
    info.size = 1200 << 20
    zeros = gzip.compress(bytes(16 << 20), 9)
    return written(path, gzip.compress(info.tobuf()) + zeros * 75)


def sparse(path: Path) -> Path:
    """A GNU sparse file that claims a terabyte."""
    info = tarfile.TarInfo("cats/sparse.bmp")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = struct.pack(">BxxxQ", 0x80, 1 << 40)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return written(path, bytes(block[:512]) + bytes(512) + tar()(path).read_bytes())


def behind_each_other(path: Path) -> Path:
    whole = tar()(path).read_bytes()
    return written(path, gzip.compress(whole[:700]) + gzip.compress(whole[700:]))


def with_garbage(garbage: bytes) -> Make:
    return lambda path: written(path, tar(kind="tar.gz")(path).read_bytes() + garbage)


def damaged_header(path: Path) -> Path:
    data = bytearray(tar()(path).read_bytes())
    data[1024:1030] = b"\xff" * 6
    return written(path, bytes(data))


def seven(files: Mapping[str, bytes], **options: str) -> Make:
    return lambda path: seven_zip(path, dict(files), **options)


def roshal(files: Mapping[str, bytes]) -> Make:
    return lambda path: rar(path, dict(files))


def cut_short(make: Make, share: float) -> Make:
    return lambda path: written(path, make(path).read_bytes()[: int(path.stat().st_size * share)])


def single_gzip(data: bytes) -> Make:
    return lambda path: written(path, gzip.compress(data))


HARD, SYMBOLIC = tarfile.LNKTYPE, tarfile.SYMTYPE
UNSUPPORTED = {"a kind of entry that is not supported": 1}
TWICE = {"the same path twice (the last one counts)": 1}
IN_JAPANESE = [member(f"画像データ/{number}.png", picture(number)) for number in range(2)]
BUILT_IN_JAPANESE = Built(PETS | {"画像データ": 2})
ZEROS = {"cats/zeros.bmp": bytes(20 << 20)}

TARS: dict[str, Sample] = {
    f"{name}": Sample(make, outcome, filename)
    for name, make, outcome, filename in [
        *((f"{kind}: pets", tar(kind=kind), Built(), f"a.{kind}") for kind in PACKERS),
        *((f"{kind}: cut", cut(kind), Refused(r"damaged or incomplete"), f"a.{kind}") for kind in PACKERS),
        ("tar: parent folder", tar(member("../evil.png")), Refused(r"“../evil.png” leads outside"), "a.tar"),
        ("tar: absolute path", tar(member("/etc/evil.png")), Refused(r"absolute path"), "a.tar"),
        ("tar: symbolic link", tar(member("cats/l.png", b"", SYMBOLIC, "/etc/passwd")), Refused(r"is a link"), "a.tar"),
        ("tar: hard link", tar(member("cats/l.png", b"", HARD, "cats/0.png")), Refused(r"is a link"), "a.tar"),
        ("tar: character device", tar(member("cats/n.png", b"", tarfile.CHRTYPE)), Refused(r"is a device"), "a.tar"),
        ("tar: block device", tar(member("cats/d.png", b"", tarfile.BLKTYPE)), Refused(r"is a device"), "a.tar"),
        ("tar: pipe", tar(member("cats/p.png", b"", tarfile.FIFOTYPE)), Refused(r"is a device or a pipe"), "a.tar"),
        ("tar: size −1", forged(b"\xff" * 12), Refused(r"damaged|negative"), "a.tar"),
        ("tar: size of an exabyte", forged(b"\x80" + b"\0" * 3 + b"\x7f" * 8), Refused(r"damaged|would grow"), "a.tar"),
        ("tar: header of 8 GB", forged(b"77777777777\0", b"x"), Refused(r"a header in the archive says"), "a.tar"),
        ("tar: long name of 8 GB", forged(b"77777777777\0", b"L"), Refused(r"a header in the archive says"), "a.tar"),
        ("tar: damaged header", damaged_header, Refused(r"damaged"), "a.tar"),
        ("tar: sparse", sparse, Built(skipped=UNSUPPORTED), "a.tar"),
        ("tar: volume label", tar(member("label", b"", b"V")), Built(skipped=UNSUPPORTED), "a.tar"),
        ("tar: CP932 names", tar(*IN_JAPANESE, form=tarfile.GNU_FORMAT, encoding="cp932"), BUILT_IN_JAPANESE, "a.tar"),
        ("tar: long names", tar(member("犬" * 70 + "/1.png", picture())), Built(PETS | {"犬" * 70: 1}), "a.tar"),
        ("tar: dots in paths", tar(member("./cats/./7.png", picture())), Built(PETS | {"cats": 3}), "a.tar"),
        ("tar: the same path twice", tar(member("cats/0.png", picture(9))), Built(skipped=TWICE), "a.tar"),
        ("tar.gz: bomb", bomb, Refused(r"unpack to more than 1,0\d\d,\d{3},\d{3}"), "a.tar.gz"),
        ("tar.gz: two streams", behind_each_other, Built(), "a.tar.gz"),
        ("tar.gz: trailing zeros", with_garbage(bytes(1000)), Built(), "a.tar.gz"),
        ("tar.gz: trailing garbage", with_garbage(b"garbage" * 99), Built(), "a.tar.gz"),
        ("gz: one picture", single_gzip(picture()), Refused(r"a gzip file that holds a PNG image"), "a.png.gz"),
        ("7z: pets", seven(pets()), Built(), "a.7z"),
        ("7z: encrypted", seven(pets(), password="secret"), Refused(r"the archive is encrypted"), "a.7z"),
        ("7z: cut", cut_short(seven(pets()), 0.5), Refused(r"The .7z archive is damaged or not supported"), "a.7z"),
        ("7z: zeros", seven(pets(**ZEROS)), Built(PETS | {"cats": 3}, unreadable={"cats/zeros.bmp": "zeros"}), "a.7z"),
    ]
}  # fmt: skip

if shutil.which("bsdtar"):
    TARS |= {
        "rar: pets": Sample(roshal(pets()), Built(), "a.rar"),
        "rar: cut": Sample(cut_short(roshal(pets()), 0.5), Refused(r"damaged"), "a.rar"),
        "rar: parent folder": Sample(roshal(pets(**{"../evil.png": b"x"})), Refused(r"leads outside"), "a.rar"),
    }


def _bytes(data: bytes) -> Make:
    return lambda path: written(path, data)


OTHERS: dict[str, Sample] = {
    f"no archive: {name}": Sample(_bytes(data), Refused(f"is {found}"), filename)
    for name, data, found, filename in [
        ("nothing", b"", r"empty \(0 bytes\)", "a.zip"),
        ("picture", picture(), "a PNG image", "a.zip"),
        ("page", b"<!DOCTYPE html><html>Sign in</html>", "an HTML page", "a.zip"),
        ("text", b"hello", "a text file that starts with “hello”", "a.zip"),
        ("pointer", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "a.zip"),
        ("PDF", b"%PDF-1.7", "a PDF document", "a.tar"),
        ("Zstandard", b"\x28\xb5\x2f\xfd" + bytes(99), "a Zstandard file", "a.tar.zst"),
        (
            "MNIST's own format",
            b"\x00\x00\x08\x03" + bytes(99),
            r"an MNIST image file \(IDX\)",
            "train-images-idx3-ubyte",
        ),
        ("unknown bytes", b"\xfe\xed" * 600, "a file of an unknown kind", "a.zip"),
    ]
}
