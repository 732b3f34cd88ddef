"""Processes that must not outlive each other: children that end with their parent, groups that are ended whole, and
signals that ask a process to stop."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

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


class StopSignals:
    """Whether this process has been asked to stop, by a signal; made in its main thread.

    Not a threading.Event: its lock cannot be taken twice, and a signal that comes while the main thread holds it in
    `wait` would stop the process for good.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._is_set = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for name in signals:
            signal.signal(name, self._stop)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Whether it has been asked, now or within the time."""
        if not self._is_set:
            select.select([self._reader], [], [], timeout_s)
        return self._is_set

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_set = True
        with suppress(BlockingIOError):  # full: there is enough to wake `wait` already
            os.write(self._writer, b"x")


def end_group(pid: int) -> None:
    """Ends a process that leads a session of its own, and all that it started there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_groups(pids: Iterable[int]) -> None:
    for pid in pids:
        end_group(pid)
