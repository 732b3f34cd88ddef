"""A real Trainyard in processes of its own: `trainyard serve`, or web and worker apart, and a client for its API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parent.parent
PASSWORD = "correct horse battery"
PATIENCE_S = 200.0
QUICK = {"TRAINYARD_LEASE_S": "15", "TRAINYARD_HEARTBEAT_S": "1"}


@dataclass
class Server:
    """One installation: a home, a port, and the processes that were started for it."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ("serve",)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.processes[0]

    @property
    def output_file(self) -> Path:
        return self.home.with_name(self.home.name + "-output.txt")

    @property
    def output(self) -> str:
        return self.output_file.read_text(errors="replace") if self.output_file.exists() else ""

    def start(self) -> Server:
        """Starts it and waits until it answers."""
        self.launch()
        wait_until(lambda: self.answers() or self.has_ended(), f"{self.url} to answer")
        assert not self.has_ended(), self.everything_said()
        return self

    def launch(self) -> None:
        with self.output_file.open("ab") as output:
            self.processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "app.cli", command],
                    cwd=ROOT, env=self.env(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )
                for command in self.commands
            ]  # fmt: skip

    def env(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
        given = {"TRAINYARD_HOME": str(self.home), "TRAINYARD_PORT": str(self.port), "TRAINYARD_NICE": "0"}
        return mine | given | {"TRAINYARD_ADMIN_PASSWORD": PASSWORD} | self.environment

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            health = httpx.get(f"{self.url}/api/v1/health", timeout=2)
            return health.status_code == 200 and all(health.json()["workers"].values())
        return False

    def has_ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def interrupt(self) -> float:
        """Ctrl-C; the seconds until the last process was gone."""
        began = time.monotonic()
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            process.wait(timeout=60)
        wait_until(lambda: not self.living(), "all processes to end", 30)
        return time.monotonic() - began

    def kill_everything(self) -> None:
        """As a power cut would: nobody gets a chance to say anything."""
        for process in self.living():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for started in self.processes:
            started.wait(timeout=30)
        wait_until(lambda: not self.living(), "all processes to be gone", 30)

    def living(self, *words: str) -> list[psutil.Process]:
        """Processes that work for this home, whoever started them; with all these words in their command."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE or process.environ().get("TRAINYARD_HOME") != str(
                    self.home
                ):
                    continue
                if all(word in process.cmdline() for word in words):
                    found.append(process)
        return found

    def everything_said(self) -> str:
        """For a failed assertion: the output and the ends of all logs."""
        parts = [f"== output\n{self.output}"]
        for path in sorted((self.home / "logs").glob("*")):
            parts.append(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-12:]))
        return "\n".join(parts)

    def client(self) -> Api:
        answer = httpx.post(
            f"{self.url}/api/v1/tokens",
            json={"username": "admin", "password": PASSWORD, "label": "tests"},
            timeout=30,
        )
        assert answer.status_code == 201, answer.text
        return Api(self, answer.json()["token"])


class Api(httpx.Client):
    """The JSON API with a token, and a few verbs that tests need all the time."""

    def __init__(self, server: Server, token: str) -> None:
        super().__init__(
            base_url=f"{server.url}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        self.server = server

    def made(self, path: str, **given: Any) -> dict[str, Any]:
        """The JSON of a POST that must answer 201."""
        answer = self.post(path, **given)
        assert answer.status_code == 201, f"{path}: {answer.status_code} {answer.text}\n{self.server.everything_said()}"
        return dict(answer.json())

    def seen(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.get(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    def upload(self, path: Path, name: str = "") -> dict[str, Any]:
        with path.open("rb") as file:
            return self.made("uploads", files={"file": (path.name, file)}, data={"name": name or path.stem})

    def dataset(self, upload_id: int, **options: Any) -> dict[str, Any]:
        """A dataset, built."""
        given = {"name": "digits", "upload_id": upload_id, "train_percent": 70, "val_percent": 10, "test_percent": 20,
                 "channels": "gray", "width": 28, "height": 28, "resize_mode": "squash", "encoding": "png",
                 "seed": 1}  # fmt: skip
        return self.ended(f"datasets/{self.made('datasets', json=given | options)['id']}")

    def models(self, dataset_id: int, **options: Any) -> list[dict[str, Any]]:
        given = {"name": "LeNet", "dataset_id": dataset_id, "topology": "lenet", "epochs": 1, "batch_size": 64,
                 "base_lr": 0.01}  # fmt: skip
        return list(self.made("models", json=given | options)["models"])

    def ended(self, path: str, status: str = "done", patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """What is at the path once its job has ended, which must be in this status."""
        wait_until(
            lambda: self.seen(path)["status"] not in ("queued", "running"), f"{path} to end", patience_s, self.server
        )
        found = self.seen(path)
        assert found["status"] == status, f"{path}: {found}\n{self.server.everything_said()}"
        return found


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S, server: Server | None = None
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            said = f"\n{server.everything_said()}" if server else ""
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}{said}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(home: Path, commands: tuple[str, ...] = ("serve",), **environment: str) -> Iterator[Server]:
    """A server that answers; whatever happens, none of its processes outlives the block."""
    server = Server(home, free_port(), environment, commands)
    try:
        yield server.start()
    finally:
        server.kill_everything()
