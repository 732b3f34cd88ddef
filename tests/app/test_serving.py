"""`trainyard serve` as a process: it starts, it keeps its children alive, and it leaves nothing behind."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.server import ROOT, Server, free_port, serving, wait_until

CHILDREN = [("app.serving", "web"), ("worker.tasks", "data"), ("worker.tasks", "train"), ("worker.tasks", "predict")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    began = time.monotonic()
    with serving(tmp_path_factory.mktemp("serve") / "home") as server:
        print(f"\nfirst start, with migrations: {time.monotonic() - began:.1f} s")  # noqa: T201
        yield server


def serve(server: Server, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "serve"],
        cwd=ROOT,
        env=server.env() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(server: Server, words: str) -> None:
    """It answers a moment before it says so."""
    wait_until(lambda: words in server.output, f"“{words}”", server=server)


def test_it_says_where_it_is_and_runs_a_worker_for_each_lane(server: Server) -> None:
    said(server, f"Trainyard is at http://localhost:{server.port}")
    said(server, "Sign in with your user name")
    health = httpx.get(f"{server.url}/api/v1/health").json()
    assert health["workers"] == {"data": 1, "train": 1, "predict": 1}
    for words in CHILDREN:
        assert len(server.living(*words)) == 1, words


def test_a_second_start_on_the_same_home_is_refused_in_one_line(server: Server) -> None:
    second = serve(server, TRAINYARD_PORT=str(free_port()))
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr == f"trainyard: already running on {server.home} (process {server.process.pid}).\n"
    assert server.answers()


def test_a_taken_port_is_refused_in_one_line(server: Server, tmp_path: Path) -> None:
    second = serve(server, TRAINYARD_HOME=str(tmp_path / "another"))
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{server.port}" in second.stderr


@pytest.mark.parametrize("words", CHILDREN, ids=["-".join(words) for words in CHILDREN])
def test_a_child_that_is_killed_is_started_again(server: Server, words: tuple[str, str]) -> None:
    (before,) = server.living(*words)
    before.kill()
    wait_until(lambda: not before.is_running() and server.living(*words), f"another {words}", server=server)
    wait_until(server.answers, "it to answer again", server=server)
    (after,) = server.living(*words)
    assert after.pid != before.pid
    name = "web" if words[1] == "web" else f"worker-{words[1]}"
    assert f"trainyard: {name} ended with -9; starting it again" in server.output


def test_a_start_with_a_password_nobody_should_use_is_refused_in_one_line(server: Server, tmp_path: Path) -> None:
    port = str(free_port())
    refused = serve(server, TRAINYARD_HOME=str(tmp_path), TRAINYARD_PORT=port, TRAINYARD_ADMIN_PASSWORD="password1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("trainyard: TRAINYARD_ADMIN_PASSWORD cannot be used: ")
    assert refused.stderr.count("\n") == 1


def test_interrupting_it_ends_every_process_and_starting_it_again_works(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert len(children) == len(CHILDREN)
        took_s = server.interrupt()
        print(f"\nended after {took_s:.1f} s")  # noqa: T201
        assert server.process.returncode == 0
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        began = time.monotonic()
        server.start()
        print(f"second start: {time.monotonic() - began:.1f} s")  # noqa: T201


def test_killing_it_ends_its_children(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        assert len(server.living()) == 1 + len(CHILDREN)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: not server.living(), "the children to end", 30, server)
        server.start()


def test_the_set_up_code_is_printed_kept_and_for_the_owners_eyes_only(tmp_path: Path) -> None:
    with serving(tmp_path / "home", TRAINYARD_ADMIN_PASSWORD="") as server:
        code = (server.home / "setup-code").read_text().strip()
        said(server, f"set-up code {code}")
        assert stat.S_IMODE((server.home / "setup-code").stat().st_mode) == 0o600
        assert len(code) >= 16
        assert httpx.get(f"{server.url}/", follow_redirects=True).url.path == "/setup"
        assert code not in httpx.get(f"{server.url}/setup").text


def test_a_relative_home_is_the_same_for_the_children(tmp_path: Path) -> None:
    """Children run in the checkout, whatever folder `serve` was started in."""
    server = Server(tmp_path / "data", free_port())
    environment = server.env() | {"TRAINYARD_HOME": "data", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(server.answers, "it to answer")
        assert (tmp_path / "data" / "logs" / "web.txt").exists()
        assert not (ROOT / "data").exists()
    finally:
        process.terminate()
        process.wait(timeout=60)
        server.kill_everything()
        assert (tmp_path / "data" / "trainyard.sqlite3").exists()
