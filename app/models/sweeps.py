"""What pages and API do with sweeps: list them, and lay the accuracies of their models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app.db import Model, Sweep
from app.models import curves

HEAT_STEPS = 9


@dataclass(frozen=True)
class Result:
    """How a model of a sweep stands: its accuracy at the end, or so far on validation."""

    model: Model
    best_val: float | None  # of all validations so far
    last_loss: float | None
    label: str  # what tells it from the others

    @property
    def accuracy(self) -> float | None:
        """What the heat map compares: validation accuracy, the final one once there is one."""
        final = self.model.accuracy.get("val")
        return float(final) if final is not None else self.best_val


@dataclass(frozen=True)
class HeatCell:
    result: Result
    step: int | None  # 0 (worst of the sweep) to HEAT_STEPS; None while nothing is known
    is_best: bool


@dataclass(frozen=True)
class HeatMap:
    """Accuracy by learning rate (rows) and batch size (columns)."""

    rates: Sequence[float]
    sizes: Sequence[int]
    cells: dict[tuple[float, int], HeatCell]


def list_sweeps(session: Session, after: int | None = None, limit: int = 50) -> tuple[list[Sweep], str | None]:
    """The newest first, and what to ask for next."""
    statement = select(Sweep).options(selectinload(Sweep.models)).order_by(Sweep.id.desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(Sweep.id < after)
    rows = list(session.scalars(statement))
    return rows[:limit], str(rows[limit - 1].id) if len(rows) > limit else None


def counts_of(sweep: Sweep) -> dict[str, int]:
    """How many of its models are in each status, and `all`."""
    counts: dict[str, int] = {"all": len(sweep.models)}
    for model in sweep.models:
        counts[model.status.value] = counts.get(model.status.value, 0) + 1
    return counts


def results(session: Session, sweep: Sweep) -> list[Result]:
    found = curves.summaries(session, sweep.models)
    rows = []
    for model in sweep.models:
        label = curves.short_name(model, sweep)
        best, loss = found[model.id].best_accuracy(), found[model.id].last("val/loss")
        rows.append(Result(model, best.value if best else None, loss.value if loss else None, label))
    return rows


def summary(rows: Sequence[Result]) -> str:
    """The best of a sweep in a sentence; empty while nothing is known."""
    known = [row for row in rows if row.accuracy is not None]
    if not known:
        return "No model has been validated yet."
    best = max(known, key=lambda row: row.accuracy or 0.0)
    return f"Best validation accuracy {100 * (best.accuracy or 0):.2f} %: {best.label}."


def heat_map(rows: Sequence[Result]) -> HeatMap | None:
    """None for a sweep that has only one value of both."""
    rates = sorted({row.model.base_lr for row in rows})
    sizes = sorted({row.model.batch_size for row in rows})
    if len(rates) * len(sizes) < 2:
        return None
    known = [row.accuracy for row in rows if row.accuracy is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    cells = {}
    for row in rows:
        share = None
        if row.accuracy is not None:
            share = (row.accuracy - low) / (high - low) if high > low else 1.0
        step = None if share is None else round(share * HEAT_STEPS)
        cells[row.model.base_lr, row.model.batch_size] = HeatCell(
            row, step, row.accuracy is not None and row.accuracy == high
        )
    return HeatMap(rates, sizes, cells)
