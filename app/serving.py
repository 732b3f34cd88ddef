"""`trainyard serve`: web and workers as children of one process, which restarts what dies and leaves nothing behind."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import OperationalError

from app.db import Database, Lane
from app.db.migrating import NewerDatabase, migrate
from app.processes import StopSignals, die_with, end_group
from app.queue import forget_wake_ups
from app.security.accounts import AccountError, add_user, has_users
from app.settings import Settings
from app.storage import Storage
from app.web import ROOT

GRACE_S = 30.0  # for a training to write a snapshot
START_TIMEOUT_S = 180.0  # a busy machine; a web process that ends is noticed at once
RESTART_PAUSES_S = (0.5, 1, 2, 5, 10, 30)
STEADY_AFTER_S = 60.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = logging.getLogger("trainyard")


class Unservable(Exception):
    """Why this machine cannot serve just now, in one line."""


@dataclass
class Child:
    """One process of ours: what it is, and how often it had to be started again."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0

    def start(self, storage: Storage) -> None:
        with (storage.logs / f"{self.name}.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command, str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=ROOT,
                env=os.environ | {"TRAINYARD_HOME": str(storage.home)},  # a relative home is ours, not relative to ROOT
            )  # fmt: skip
        self.started_at = time.monotonic()


def serve_until_stopped(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; raises Unservable before anything is started."""
    storage = Storage(settings.home.resolve())
    storage.prepare()
    with _only_one(storage):
        _check_port(settings)
        forget_wake_ups(settings)
        setup_code = _prepare_database(settings, storage)
        stopping = StopSignals(*STOP_SIGNALS)
        children = [Child("web", ["app.serving", "web"])]
        children += [Child(f"worker-{lane}", ["worker.tasks", lane.value]) for lane in Lane]
        try:
            for child in children:
                child.start(storage)
            _wait_for_health(settings, children[0], storage, stopping)
            if not stopping.is_set():
                _greet(settings, setup_code)
            _keep_alive(children, storage, stopping)
        finally:
            _end(children)


def run_web(settings: Settings, parent_pid: int | None = None) -> None:
    """The web process alone. Prints the set-up code too, for those who start it without `serve`."""
    from app import web_server
    from app.main import create_app

    if parent_pid:
        die_with(parent_pid, signal.SIGTERM)
    storage = Storage(settings.home.resolve())
    storage.prepare()
    setup_code = _prepare_database(settings, storage)
    if setup_code and not parent_pid:
        print(_setup_line(setup_code), flush=True)  # noqa: T201
    web_server.run(create_app(settings, setup_code), settings)


def run_workers(settings: Settings, lanes: Sequence[Lane]) -> None:
    """Workers for these lanes, each a process; ends when told to, or when all of them have."""
    storage = Storage(settings.home.resolve())
    storage.prepare()
    stopping = StopSignals(*STOP_SIGNALS)
    children = [Child(f"worker-{lane}-{socket.gethostname()}", ["worker.tasks", lane.value]) for lane in lanes]
    try:
        for child in children:
            child.start(storage)
        _keep_alive(children, storage, stopping)
    finally:
        _end(children)


# -- before anything runs -----------------------------------------------------------------------------------------


@contextmanager
def _only_one(storage: Storage) -> Iterator[None]:
    with (storage.home / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Unservable(f"already running on {storage.home} (process {holder}).") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unservable(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
                "Set TRAINYARD_PORT to a free one, or TRAINYARD_HOST to an address of this machine."
            ) from None


def _prepare_database(settings: Settings, storage: Storage) -> str:
    """Migrates; makes the administrator that the settings ask for. The set-up code, while there is no user."""
    database = Database.open(settings)
    try:
        migrate(database)
        with database.write() as session:
            if not has_users(session) and settings.admin_password:
                add_user(session, "admin", settings.admin_password, is_admin=True)
            return "" if has_users(session) else _setup_code(storage.home / "setup-code")
    except NewerDatabase as error:
        raise Unservable(str(error)) from error
    except AccountError as error:
        raise Unservable(f"TRAINYARD_ADMIN_PASSWORD cannot be used: {error}") from error
    except OperationalError as error:
        raise Unservable(f"the database does not answer: {error.orig}") from error
    finally:
        database.close()


def _setup_code(path: Path) -> str:
    """The one-time code of this home; kept in a file that only its owner can read, so that a restart keeps it."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("-".join(secrets.token_hex(2) for _ in range(4)))
    return path.read_text().strip()


# -- while it runs ------------------------------------------------------------------------------------------------


def address(settings: Settings) -> str:
    host = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else settings.host
    return f"http://{host}:{settings.port}"


def _wait_for_health(settings: Settings, web: Child, storage: Storage, stopping: StopSignals) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/api/v1/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and not stopping.wait(0.1):
        if web.process is None or web.process.poll() is not None:
            break
        with suppress(urllib.error.URLError, OSError), opener.open(url, timeout=2):
            return
    if not stopping.is_set():
        raise Unservable(f"the web process did not start; see {storage.logs / 'web.txt'}")


def _greet(settings: Settings, setup_code: str) -> None:
    lines = [f"Trainyard is at {address(settings)}  (data in {settings.home.resolve()}; Ctrl-C ends it)"]
    lines.append(_setup_line(setup_code) if setup_code else "Sign in with your user name and password.")
    print("\n".join(lines), flush=True)  # noqa: T201


def _setup_line(setup_code: str) -> str:
    return f"First visit: create the administrator with the set-up code {setup_code}"


def _keep_alive(children: list[Child], storage: Storage, stopping: StopSignals) -> None:
    while not stopping.wait(0.2):
        for child in children:
            if child.process is not None and child.process.poll() is not None:
                _restart(child, storage, stopping)


def _restart(child: Child, storage: Storage, stopping: StopSignals) -> None:
    assert child.process is not None
    end_group(child.process.pid)
    if time.monotonic() - child.started_at > STEADY_AFTER_S:
        child.failures = 0
    pause_s = RESTART_PAUSES_S[min(child.failures, len(RESTART_PAUSES_S) - 1)]
    child.failures += 1
    print(  # noqa: T201
        f"trainyard: {child.name} ended with {child.process.returncode}; starting it again in {pause_s} s "
        f"(see {storage.logs / child.name}.txt)",
        file=sys.stderr,
        flush=True,
    )
    if not stopping.wait(pause_s):
        child.start(storage)


def _end(children: list[Child]) -> None:
    """Asks all children to finish, workers with time for a snapshot; then ends whatever is left of them."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        with suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
    for process in running:
        end_group(process.pid)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


if __name__ == "__main__":
    run_web(Settings.read(), int(sys.argv[2]) if len(sys.argv) > 2 else None)
