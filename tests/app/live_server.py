"""The web process as a process: for tests of cut lines, of memory, and of what a restart finds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
START_TIMEOUT_S = 60.0


@dataclass
class Server:
    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def memory_bytes(self) -> int:
        """What it has for itself: file pages that the system caches for it do not count."""
        return int(psutil.Process(self.process.pid).memory_full_info().uss)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[Server]:
    """A server on a migrated home and a free port; ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
    told = {"home": str(home), "port": str(port), **settings}
    environ |= {f"TRAINYARD_{name.upper()}": value for name, value in told.items()}
    process = subprocess.Popen([sys.executable, "-m", "app.serving", "web"], cwd=ROOT, env=environ)
    server = Server(home, port, process)
    try:
        _wait_for(server)
        yield server
    finally:
        server.kill()


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert server.process.poll() is None, "the server ended while it was starting"
        try:
            with urllib.request.urlopen(f"{server.url}/api/v1/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"the server did not answer within {START_TIMEOUT_S} s")
