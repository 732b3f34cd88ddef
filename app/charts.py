"""Metric rows → plotly figures, as plain dictionaries (no plotly is imported, nothing is read from the database).

One figure per panel; the panels of a page share their epoch axis. Colours are tokens ("var(--series-1)") that the
browser resolves in the page's theme. A trace's `meta` is the name of its metric and its `customdata` the iterations,
so that points which arrive later find their place (`static/js/behaviors/chart.js`). A figure of shares has a `frame`:
the browser fits its y axis to what the curves have come to, "every" one or the "best" (`static/js/lib/frame.js`), and
so has one of "losses" of several models, so that one that diverged does not flatten the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_POINTS = 1_500  # of one series
MAX_POINTS_IN_ALL = 60_000  # of one figure: a sweep of a hundred models must still open
HUES = 6  # of the theme
FEW_POINTS = 60  # a line of so few shows each of them
LEARNING_RATE = "learning_rate"
RATE_AXIS = {"rangemode": "tozero", "exponentformat": "power"}
Figure = dict[str, Any]


class Point(NamedTuple):
    """One number that a run reported. A tuple: a long run has hundreds of thousands."""

    name: str
    iteration: int
    epoch: float
    value: float


@dataclass(frozen=True)
class Curves:
    """The points of one model, by metric, in the order of their iterations."""

    points: Mapping[str, Sequence[Point]]
    accuracy_names: frozenset[str] = frozenset({"accuracy"})  # outputs of the net that are shares of right answers

    @classmethod
    def of(cls, points: Iterable[Point]) -> Curves:
        """Points in any order; of two with one name and iteration the later one counts."""
        by_name: dict[str, dict[int, Point]] = {}
        for point in points:
            by_name.setdefault(point.name, {})[point.iteration] = point
        ordered = {name: [found[key] for key in sorted(found)] for name, found in by_name.items()}
        return cls(ordered)

    def with_accuracies(self, names: frozenset[str]) -> Curves:
        return Curves(self.points, self.accuracy_names | names)

    def last(self, name: str) -> Point | None:
        return self.points[name][-1] if self.points.get(name) else None

    def best_accuracy(self) -> Point | None:
        """The highest validation accuracy of what was trained, the first of equals."""
        found = self.points.get("val/accuracy", ())
        known = [point for point in found if math.isfinite(point.value) and point.iteration > 0]
        return max(known, key=lambda point: (point.value, -point.iteration), default=None)

    def is_accuracy(self, name: str) -> bool:
        output = name.partition("/")[2]
        return output in self.accuracy_names


@dataclass(frozen=True)
class CurvesOfModel:
    """One model of a sweep and what it is called in the legend."""

    label: str
    curves: Curves


def training_figures(
    curves: Curves, snapshot_epochs: Sequence[float], uirevision: str, epochs: float
) -> dict[str, Figure]:
    """Panels `loss`, `accuracy` and `learning_rate` on one epoch axis; snapshots are ticks on top of the loss."""
    hues = _hues(curves)
    names = [name for name in hues if name != LEARNING_RATE]
    losses = [_line(curves, name, hues[name]) for name in names if not curves.is_accuracy(name)]
    accuracies = [_line(curves, name, hues[name]) for name in names if curves.is_accuracy(name)]
    rates = [_line(curves, name, hues[name]) for name in hues if name == LEARNING_RATE]
    loss = _figure(losses, uirevision, epochs, rangemode="tozero")
    if snapshot_epochs and losses:
        _add_snapshot_ticks(loss, snapshot_epochs)
    return {
        "loss": loss,
        "accuracy": {**_figure(accuracies, uirevision, epochs, tickformat=".2~%"), "frame": "every"},
        "learning_rate": _figure(rates, uirevision, epochs, **RATE_AXIS),
    }


def comparison_figures(models: Sequence[CurvesOfModel], uirevision: str, epochs: float) -> dict[str, Figure]:
    """Panels `loss` and `accuracy` with the curves of a sweep over each other: one hue per model, validation dashed."""
    limit = max(2, min(MAX_POINTS, MAX_POINTS_IN_ALL // (3 * max(1, len(models)))))

    def lines(*names: str) -> list[dict[str, Any]]:
        found = []
        for place, model in enumerate(models):
            known = [name for name in names if model.curves.points.get(name)]
            for number, name in enumerate(known):
                line = _line(model.curves, name, place, limit, label=model.label)
                found.append(line | {"legendgroup": model.label, "showlegend": number == 0})
        return found

    return {
        "loss": {
            **_figure(lines("train/loss", "val/loss"), uirevision, epochs, rangemode="tozero"),
            "frame": "losses",
        },
        "accuracy": {**_figure(lines("val/accuracy"), uirevision, epochs, tickformat=".2~%"), "frame": "best"},
    }


def schedule_figure(schedules: Mapping[str, Sequence[tuple[float, float]]], epochs: float) -> Figure:
    """The learning rate over the epochs, one line for each base learning rate: label → [(epoch, rate)]."""
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label,
            "x": [round(epoch, 4) for epoch, _ in points],
            "y": [_number(rate) for _, rate in points],
            "line": _style(place),
            "opacity": _opacity(place),
            "hovertemplate": "%{y:.3g}",
        }
        for place, (label, points) in enumerate(schedules.items())
    ]
    figure = _figure(lines, "schedule", epochs, **RATE_AXIS)
    figure["layout"]["showlegend"] = len(lines) > 1
    return figure


def decimate(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most `limit` points of a line that look like all of them: the first and the last, and between them the lowest
    and the highest of each stretch, so that no spike is lost."""
    if len(points) <= limit:
        return list(points)
    if limit < 4:
        return [points[0], points[-1]][:limit]
    inner, stretches = points[1:-1], (limit - 2) // 2
    kept = [points[0]]
    for number in range(stretches):
        stretch = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        lowest, highest = min(stretch, key=_height), max(stretch, key=_height)
        kept.extend(sorted({lowest, highest}, key=lambda point: point.iteration))
    return [*kept, points[-1]]


def _height(point: Point) -> float:
    return point.value if math.isfinite(point.value) else math.inf


def _hues(curves: Curves) -> dict[str, int]:
    """Every metric that has points, losses first, and its hue: an output has one, whether trained or validated."""
    known = {"loss": 0, "accuracy": 0}  # on panels of their own: the first hue of each
    names = [name for name, points in curves.points.items() if points]
    names.sort(key=lambda name: (name.partition("/")[2] not in known, name.partition("/")[2], name))
    return {name: known.setdefault(name.partition("/")[2] or name, len(known) - 1) for name in names}


def _line(curves: Curves, name: str, hue: int, limit: int = MAX_POINTS, label: str = "") -> dict[str, Any]:
    points = decimate(curves.points[name], limit)
    role, _, output = name.partition("/")
    title = label or (f"{output} ({role})" if output else name.replace("_", " "))
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= FEW_POINTS else "lines",
        "name": title,
        "x": [round(point.epoch, 4) for point in points],
        "y": [_number(point.value) for point in points],
        "customdata": [point.iteration for point in points],
        "line": _style(hue, is_dashed=role == "val"),
        "marker": {"size": 4},
        "opacity": _opacity(hue),
        "hovertemplate": "%{y:.2%}" if curves.is_accuracy(name) else "%{y:.4g}",
        "meta": name,
    }


def _style(hue: int, is_dashed: bool = False) -> dict[str, Any]:
    return {"color": f"var(--series-{hue % HUES + 1})", "dash": "dash" if is_dashed else "solid", "width": 1.5}


def _opacity(hue: int) -> float:
    """The theme has six hues; the next six are the same ones, paler."""
    return (1.0, 0.65, 0.4)[min(2, hue // HUES)]


def _add_snapshot_ticks(figure: Figure, epochs: Sequence[float]) -> None:
    """Ticks on the upper edge, on an axis of their own so that they move no other."""
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "snapshot",
            "x": [round(epoch, 4) for epoch in epochs],
            "y": [1.0] * len(epochs),
            "yaxis": "y2",
            "marker": {"symbol": "line-ns-open", "size": 8, "color": "var(--text-muted)"},
            "hovertemplate": "at epoch %{x}",
            "meta": "snapshot",
        }
    )
    figure["layout"]["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}


def _figure(traces: list[dict[str, Any]], uirevision: str, epochs: float, **y_axis: Any) -> Figure:
    """What the panel shows stands above it; without margins of their own the panels' epochs lie below each other."""
    x_axis = {"title": {"text": "epoch"}, "range": [0, max(epochs, 1e-3)], "autorange": False, "hoverformat": ".2f"}
    layout = {"uirevision": uirevision, "xaxis": x_axis, "yaxis": {"automargin": False, **y_axis}}
    return {"data": traces, "layout": layout}


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity: a gap in the line."""
    return value if math.isfinite(value) else None
