"""Turns .7z and .rar files into a stream of tar bytes, in a process of its own with bounded memory.

.7z is read by py7zr (`seven_zip.py` is what runs there) or, where that is missing, by the system's bsdtar; .rar by
bsdtar alone, because no free library reads it. What comes out is checked like any uploaded tar.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from app.archives.errors import ArchiveError

_ROOT = Path(__file__).resolve().parents[2]
_CHUNK = 256 * 1024
_MEMORY_BYTES = 1024**3
_INSTALL_BSDTAR = "install bsdtar on the server (Debian and Ubuntu: apt install libarchive-tools)"


def extracted(path: Path, kind: str) -> Generator[bytes, None, None]:
    """A tar of what the archive holds, in pieces; raises ArchiveError when it cannot be unpacked here or at all."""
    command = _command(path, kind)
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))},
        )
        assert process.stdout is not None
        try:
            while piece := process.stdout.read(_CHUNK):
                yield piece
            if process.wait() != 0:
                complaints.seek(0)
                raise ArchiveError(_complaint(complaints.read(4096), process.returncode, kind))
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _command(path: Path, kind: str) -> list[str]:
    limited = ["prlimit", f"--data={_MEMORY_BYTES}"] if shutil.which("prlimit") else []
    if kind == "7z" and importlib.util.find_spec("py7zr") is not None:
        return [*limited, sys.executable, "-m", "app.archives.seven_zip", str(path)]
    bsdtar = shutil.which("bsdtar")
    if bsdtar is None:
        raise ArchiveError(
            f"A .{kind} archive cannot be unpacked here. Pack the folders as .zip, or {_INSTALL_BSDTAR}."
        )
    return [*limited, bsdtar, "-c", "-f", "-", "--format=pax", f"@{path.resolve()}"]


def _complaint(text: bytes, code: int, kind: str) -> str:
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    if "encrypt" in last.lower() or "passphrase" in last.lower() or "password" in last.lower():
        return "Refused: the archive is encrypted. Pack it again without a password."
    if code == -signal.SIGKILL or "memory" in last.lower():
        return f"Refused: unpacking needs more than {_MEMORY_BYTES >> 20} MB of memory."
    return f"The .{kind} archive is damaged or not supported: {last[:200] or f'its extractor ended with {code}'}."
