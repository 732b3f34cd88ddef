"""Where the real images lie: `TRAINYARD_REAL_DATA`. Without it tests are skipped, except in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data() -> Path:
    folder = os.environ.get("TRAINYARD_REAL_DATA")
    if folder:
        return Path(folder)
    if os.environ.get("CI") == "true":
        pytest.fail("TRAINYARD_REAL_DATA is not set")
    pytest.skip("TRAINYARD_REAL_DATA is not set")
