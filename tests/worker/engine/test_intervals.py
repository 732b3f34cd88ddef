from __future__ import annotations

import pytest

from worker.engine.intervals import Interval


@pytest.mark.parametrize(
    ("epochs", "per_epoch", "max_iter", "expected"),
    [
        (1.0, 10, 30, [0, 10, 20, 30]),
        (2.0, 10, 40, [0, 20, 40]),
        (2.0, 10, 30, [0, 20, 30]),  # and at the end
        (0.5, 10, 20, [0, 5, 10, 15, 20]),
        (1 / 3, 10, 10, [0, 4, 7, 10]),  # in step with the epoch
        (0.1, 10, 10, list(range(11))),
        (0.01, 10, 10, list(range(11))),  # not more often than there are iterations
        (0.0, 10, 30, [30]),
        (100.0, 10, 30, [0, 30]),
    ],
)
def test_it_is_due_at_its_multiples_and_at_the_end(
    epochs: float, per_epoch: int, max_iter: int, expected: list[int]
) -> None:
    interval = Interval(epochs, per_epoch, max_iter)
    assert [iteration for iteration in range(max_iter + 1) if interval.is_due(iteration)] == expected
