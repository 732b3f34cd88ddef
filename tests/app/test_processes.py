from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from app.processes import end_group

ROOT = Path(__file__).parents[2]


def run(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


CHILD = """
import os, signal, sys, time
from app.processes import die_with
die_with(int(sys.argv[1]), signal.SIGKILL)
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_a_child_dies_with_its_parent_even_when_that_is_killed() -> None:
    parent = run(
        f"""
        import os, subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid())], start_new_session=True)
        time.sleep(600)
        """
    )
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    assert not is_gone(child_pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: is_gone(child_pid))


def test_a_child_whose_parent_has_gone_already_does_not_start() -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, "1"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert child.returncode == 1
    assert child.stdout == ""


def test_a_group_is_ended_whole() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", "import os, time; os.write(1, b'%d\\n' % os.fork()); time.sleep(600)"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    lines = {int(leader.stdout.readline()), int(leader.stdout.readline())}
    grandchild = max(lines)
    assert grandchild > 0

    end_group(leader.pid)
    leader.wait()
    assert wait_for(lambda: is_gone(grandchild))
    end_group(leader.pid)  # once more: nobody is there, nothing happens


SIGNALLED = """
import os, signal, threading
from app.processes import StopSignals
for _ in range(300):
    stopping = StopSignals(signal.SIGUSR1)
    threading.Timer(0.001, os.kill, [os.getpid(), signal.SIGUSR1]).start()
    while not stopping.wait(0):
        pass
    assert stopping.wait(60) and stopping.is_set()
    os.close(stopping._reader), os.close(stopping._writer)
print("stopped")
"""


def test_a_signal_stops_a_process_that_is_waiting_for_it_whenever_it_comes() -> None:
    process = run(SIGNALLED)
    assert process.communicate(timeout=60)[0] == "stopped\n"


def test_waiting_for_a_stop_ends_after_its_time() -> None:
    process = run("""
        import signal
        from app.processes import StopSignals
        print(StopSignals(signal.SIGUSR1).wait(0.05))
    """)
    assert process.communicate(timeout=60)[0] == "False\n"
