"""The learning rate beside the form."""

from __future__ import annotations

import pytest

from app.models.schedules import count_in_words, schedules
from app.schemas.models import SolverFields


def fields(**values: object) -> SolverFields:
    return SolverFields.model_validate(values)


def test_the_case_study_ends_where_caffes_formula_says() -> None:
    """47,190 images in batches of 64 for 15 epochs: 738 iterations an epoch; 0.01 (1 + 1e-4 i)^-0.75 at the last."""
    (line,) = schedules(fields(), train_count=47_190)
    assert (line.iterations_per_epoch, line.max_iter) == (738, 11_070)
    assert line.first == 0.01
    assert line.last == pytest.approx(0.01 * (1 + 1e-4 * 11_069) ** -0.75)


def test_every_rate_has_a_line_and_every_batch_size_its_own_pace() -> None:
    lines = schedules(fields(base_lr="0.1, 0.01", batch_size="50, 100"), train_count=1_000)
    assert [(line.label, line.iterations_per_epoch) for line in lines] == [
        ("0.1, batch 50", 20), ("0.01, batch 50", 20), ("0.1, batch 100", 10), ("0.01, batch 100", 10),
    ]  # fmt: skip


def test_the_line_goes_over_the_epochs_and_shows_both_sides_of_a_step() -> None:
    form = fields(base_lr="1", lr_policy="step", gamma="0.1", stepsize="500", epochs="10", batch_size="10")
    (line,) = schedules(form, train_count=1_000)
    points = dict(line.points())
    assert (points[4.99], points[5.0]) == (1.0, pytest.approx(0.1))
    assert min(points) == 0
    assert max(points) == pytest.approx(9.99)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "1 model"),
        ({"base_lr": "0.1, 0.01"}, "2 learning rates × 1 batch size = 2 models"),
        ({"base_lr": "0.1, 0.01", "batch_size": "1, 2, 3"}, "2 learning rates × 3 batch sizes = 6 models"),
    ],
)
def test_the_count_is_told_in_words(values: dict[str, str], words: str) -> None:
    assert count_in_words(fields(**values)) == words
