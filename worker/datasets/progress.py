"""Passes progress on a few times a second, and looks whether the build should stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.datasets.errors import BuildStopped
from worker.datasets.spec import BuildProgress, Phase

_INTERVAL_S = 0.3


class Reporter:
    def __init__(self, on_progress: Callable[[BuildProgress], None], should_stop: Callable[[], bool]) -> None:
        self._on_progress, self._should_stop = on_progress, should_stop
        self._phase: Phase = "scanning"
        self._done = self._total = 0
        self._reported_at = 0.0
        self._started_at = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_at

    def phase(self, phase: Phase, total: int) -> None:
        self._phase, self._done, self._total = phase, 0, total
        self._report()

    def advance(self, count: int) -> None:
        """`count` more are done; raises BuildStopped when the build should end."""
        self._done += count
        if time.monotonic() - self._reported_at >= _INTERVAL_S or self._done == self._total:
            self._report()

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        if self._should_stop():
            raise BuildStopped
        self._on_progress(BuildProgress(self._phase, self._done, self._total))
