"""The memory of processes as Linux accounts for it: proportional set sizes, summed over a process and all below it.

`ru_maxrss` is of no use for a process that a large one started: it counts what the parent had when it forked, even
after exec. A proportional set size (PSS) is that of the process itself, and shared pages are divided among those that
share them, so that sums mean something.
"""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL_S = 0.02


@dataclass
class Traced:
    """What Python's own allocations came to at most while they were traced; known once the block has ended."""

    peak_bytes: int = 0


@contextmanager
def traced() -> Iterator[Traced]:
    """Traces Python's allocations, which makes everything several times slower, and never for longer than the block."""
    found = Traced()
    tracemalloc.start()
    try:
        yield found
    finally:
        found.peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@dataclass
class Peak:
    """The largest sum seen so far, and what the single processes had at that moment."""

    total_bytes: int = 0
    parts_bytes: list[int] = field(default_factory=list)
    most_processes: int = 0

    def note(self, parts_bytes: list[int]) -> None:
        self.most_processes = max(self.most_processes, len(parts_bytes))
        if sum(parts_bytes) > self.total_bytes:
            self.total_bytes, self.parts_bytes = sum(parts_bytes), parts_bytes


def pss_bytes(pid: int) -> int:
    """The proportional set size of a process; 0 when it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def family_of(pid: int) -> list[int]:
    """The process and all programs that it started, directly or not.

    A child between fork and exec is left out: until it becomes a program of its own its memory is its parent's.
    """
    found = [pid]
    for member in found:
        with suppress(OSError):
            command = _command(member)
            found += [child for child in _children(member) if _command(child) != command]
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextmanager
def watched(pids: Callable[[], list[int]], interval_s: float = INTERVAL_S) -> Iterator[Peak]:
    """Looks at the processes that `pids` names, again and again, while the block runs."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.is_set():
            peak.note([size for size in map(pss_bytes, pids()) if size])
            ended.wait(interval_s)

    thread = threading.Thread(target=look, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
