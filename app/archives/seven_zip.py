"""Writes a .7z archive as a tar to stdout: `python -m app.archives.seven_zip FILE`, started by `extractors.py`.

py7zr decompresses; names, links and sizes are passed on as they are, to be judged by the reader of the tar.
"""

from __future__ import annotations

import sys
import tarfile
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO


class _Member:
    """One file: its tar header before the first bytes, padding behind the last."""

    def __init__(self, out: BinaryIO, header: tarfile.TarInfo) -> None:
        self._out, self._header, self._written = out, header, 0
        out.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def write(self, s: bytes | bytearray) -> int:
        self._written += len(s)
        return self._out.write(s)

    def close(self) -> None:
        if self._written != self._header.size:
            raise ValueError(f"{self._header.name} unpacks to {self._written} bytes, not {self._header.size}")
        self._out.write(bytes(-self._written % tarfile.BLOCKSIZE))

    def read(self, size: int | None = None) -> bytes:  # noqa: ARG002
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002
        return 0

    def seekable(self) -> bool:
        return False

    def flush(self) -> None: ...

    def size(self) -> int:
        return self._written


class _Members:
    """What py7zr asks for the writer of each file."""

    def __init__(self, out: BinaryIO, headers: dict[str, tarfile.TarInfo]) -> None:
        self._out, self._headers = out, headers

    def create(self, filename: str) -> _Member:
        return _Member(self._out, self._headers[filename])


def main() -> None:
    py7zr: Any = import_module("py7zr")  # an optional library; without it bsdtar is used
    out = sys.stdout.buffer
    with Path(sys.argv[1]).open("rb") as file, py7zr.SevenZipFile(file) as archive:
        if archive.needs_password():
            raise SystemExit("the archive is encrypted: it needs a password")
        headers: dict[str, tarfile.TarInfo] = {}
        for entry in archive.files:
            header = _header(entry)
            if header.isreg():
                headers[_name_given_by_py7zr(entry.filename, headers)] = header
            else:
                out.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        archive.extract(factory=_Members(out, headers))
    out.write(bytes(2 * tarfile.BLOCKSIZE))
    out.flush()


def _header(entry: Any) -> tarfile.TarInfo:
    header = tarfile.TarInfo(entry.filename)
    if entry.is_symlink or entry.is_junction:
        header.type = tarfile.SYMTYPE
    elif entry.is_socket:
        header.type = tarfile.FIFOTYPE
    elif entry.is_directory:
        header.type = tarfile.DIRTYPE
    else:
        header.size = entry.uncompressed
    return header


def _name_given_by_py7zr(name: str, taken: dict[str, tarfile.TarInfo]) -> str:
    """The key by which py7zr asks for the writer of a file."""
    sanitized: Any = import_module("py7zr.helpers").get_sanitized_output_path
    wanted, number = name, 0
    while (key := str(sanitized(wanted, None).as_posix())) in taken:
        wanted, number = f"{name}_{number}", number + 1
    return key


if __name__ == "__main__":
    main()
