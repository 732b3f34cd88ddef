"""The learning rate over a training before there is one: lines for the chart beside the form, and words about them.

The formulas are `app/solver/lr_policy.py`'s; here they are only laid out over epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.charts import Figure, schedule_figure
from app.schemas.models import SolverFields
from app.solver.lr_policy import curve, learning_rate
from app.solver.spec import SolverSpec

MOST_LINES = 24


@dataclass(frozen=True)
class Schedule:
    """The learning rate of one model of a sweep."""

    label: str
    spec: SolverSpec
    train_count: int

    @property
    def max_iter(self) -> int:
        return self.spec.max_iter(self.train_count)

    @property
    def iterations_per_epoch(self) -> int:
        return self.spec.iterations_per_epoch(self.train_count)

    @property
    def first(self) -> float:
        return learning_rate(self.spec, 0, self.max_iter)

    @property
    def last(self) -> float:
        return learning_rate(self.spec, self.max_iter - 1, self.max_iter)

    def points(self) -> list[tuple[float, float]]:
        """(epoch, rate), with both sides of every step."""
        per_epoch = self.iterations_per_epoch
        return [(iteration / per_epoch, rate) for iteration, rate in curve(self.spec, self.max_iter)]


def schedules(form: SolverFields, train_count: int) -> list[Schedule]:
    """One for every learning rate, and for every batch size too where there are several."""
    found = []
    for size in form.batch_size:
        for rate in form.base_lr:
            label = f"{rate:g}" + (f", batch {size}" if len(form.batch_size) > 1 else "")
            found.append(Schedule(label, form.spec(rate, size), train_count))
    return found[:MOST_LINES]


def figure(lines: list[Schedule], epochs: int) -> Figure:
    return schedule_figure({line.label: line.points() for line in lines}, epochs)


def count_in_words(form: SolverFields) -> str:
    """What a sweep comes to: "2 learning rates × 2 batch sizes = 4 models"."""
    rates, sizes = len(form.base_lr), len(form.batch_size)
    if rates * sizes == 1:
        return "1 model"
    return f"{_of(rates, 'learning rate')} × {_of(sizes, 'batch size')} = {rates * sizes} models"


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
