"""How fast this machine computes just now, so that a test can say "far too slow" without naming seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


def a_million_squares_s() -> float:
    """Seconds of processor time that adding them up takes: about a twentieth of one on a common machine."""
    started = time.process_time()
    sum(number * number for number in range(1_000_000))
    return time.process_time() - started


@contextmanager
def soon(million_squares: float) -> Iterator[None]:
    """What is inside takes this thread less processor time than adding up so many million squares."""
    started = time.thread_time()
    yield
    took_s = time.thread_time() - started
    allowed_s = million_squares * a_million_squares_s()
    assert took_s < allowed_s, f"took {took_s:.2f} s of processor time where {allowed_s:.2f} s are plenty"
