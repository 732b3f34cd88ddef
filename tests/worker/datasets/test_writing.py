"""How a build is cut into tasks; what comes of them is in test_build."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.worker.datasets.pictures import two_classes
from tests.worker.datasets.test_build import spec_of
from worker.datasets.listing import open_listing
from worker.datasets.split import divide, with_copies
from worker.datasets.writing import cut


def test_tasks_hold_every_picture_once_in_order_and_become_smaller_at_the_end(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=1500))
    with open_listing(spec, tmp_path) as listing:
        division = with_copies(divide(listing, spec), spec)
        parts = cut(listing, division)
    for split, order in division.items():
        assert np.array_equal(np.concatenate([part.rows for part in parts[split]]), order.rows)
    lengths = [len(part) for split in parts for part in parts[split]]
    assert lengths[0] == max(lengths) == 256
    assert min(lengths[:8]) > 4 * lengths[-1]
    assert len(lengths) < 60


def test_a_large_picture_is_a_task_of_its_own(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=20))
    with open_listing(spec, tmp_path) as listing:
        division = with_copies(divide(listing, spec), spec)
        parts = cut(listing, division, task_bytes=1)
    assert [len(part) for part in parts["train"]] == [1] * len(division["train"])
