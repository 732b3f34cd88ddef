"""As in the engine's tests: one thread is fastest, above all on a machine that is busy."""

from __future__ import annotations

import cv2

from tests.worker.engine.conftest import one_thread

__all__ = ["one_thread"]

cv2.setNumThreads(1)
