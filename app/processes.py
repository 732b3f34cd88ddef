"""Processes that must not outlive each other: children that end with their parent, groups that are ended whole."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


def die_with(parent_pid: int, how: signal.Signals) -> None:
    """Sends this process `how` when its parent is gone, however that came about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent_pid:
        sys.exit(1)

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(1.0)
        os.kill(os.getpid(), how)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()


def end_group(pid: int) -> None:
    """Ends a process that leads a session of its own, and all that it started there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_groups(pids: Iterable[int]) -> None:
    for pid in pids:
        end_group(pid)
