"""The numbers of models, read for charts, summaries and CSV files. How a chart is composed is in `app/charts.py`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import charts
from app.charts import Curves, CurvesOfModel, Point
from app.db import Database, Metric, Model, Snapshot, Sweep
from app.live_reading import last_place
from app.topology.errors import TopologyError
from app.topology.net import Phase
from app.topology.text import read

COMPARED = ("train/loss", "val/loss", "val/accuracy")
ROWS_AT_ONCE = 5_000


def training_chart(session: Session, model: Model) -> dict[str, Any]:
    """The figures of one model and the place from which a client follows its new points."""
    place = last_place(session, model.id)
    curves = curves_of(session, model)
    epochs = [snapshot.epoch for snapshot in Snapshot.of_model(session, model.id)]
    figures = charts.training_figures(curves, sorted(epochs), f"model-{model.id}", model.epochs)
    return {"figures": figures, "last_id": place, "summary": summary(curves)}


def sweep_chart(session: Session, sweep: Sweep) -> dict[str, Any]:
    """The figures that lay the models of a sweep over each other."""
    found = _curves(session, [model.id for model in sweep.models], COMPARED)
    several = [CurvesOfModel(short_name(model, sweep), found[model.id]) for model in sweep.models]
    epochs = max((model.epochs for model in sweep.models), default=1)
    return {"figures": charts.comparison_figures(several, f"sweep-{sweep.id}", epochs), "last_id": 0}


def curves_of(session: Session, model: Model) -> Curves:
    return _curves(session, [model.id])[model.id].with_accuracies(accuracy_blobs(model.prototxt))


def summaries(session: Session, models: Sequence[Model]) -> dict[int, Curves]:
    """The validation curves of several models, for tables."""
    return _curves(session, [model.id for model in models], ("val/loss", "val/accuracy"))


def summary_of(session: Session, model: Model) -> str:
    """The same without reading every point of the training loss."""
    validated = _curves(session, [model.id], ("val/loss", "val/accuracy"))[model.id]
    newest = select(Metric).where(Metric.model_id == model.id, Metric.name == "train/loss").order_by(Metric.id.desc())
    last = session.scalars(newest.limit(1)).first()
    trained = {} if last is None else {"train/loss": [Point(last.name, last.iteration, last.epoch, last.value)]}
    return summary(Curves({**trained, **validated.points}))


def summary(curves: Curves) -> str:
    """What the charts show, in a sentence; empty while there is nothing."""
    parts = []
    for name, words in (("train/loss", "training loss"), ("val/loss", "validation loss")):
        last = curves.last(name)
        if last is not None:
            parts.append(f"{words} {last.value:.4g} at epoch {last.epoch:.4g}")
    best, last = curves.best_accuracy(), curves.last("val/accuracy")
    if last is not None:
        parts.append(f"validation accuracy {100 * last.value:.2f} % at epoch {last.epoch:.4g}")
    if best is not None:
        parts.append(f"best {100 * best.value:.2f} % at epoch {best.epoch:.4g}")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""


def short_name(model: Model, sweep: Sweep) -> str:
    """What tells a model from the others of its sweep."""
    rates = {other.base_lr for other in sweep.models}
    sizes = {other.batch_size for other in sweep.models}
    parts = [f"learning rate {model.base_lr:g}"] if len(rates) > 1 else []
    parts += [f"batch {model.batch_size}"] if len(sizes) > 1 else []
    return ", ".join(parts) or model.name[:60]


@lru_cache(maxsize=256)
def accuracy_blobs(prototxt: str) -> frozenset[str]:
    """The outputs of a net that are shares of right answers: tops of its Accuracy layers."""
    try:
        net = read(prototxt).net(Phase.TEST)
    except TopologyError:
        return frozenset({"accuracy"})
    return frozenset(layer.tops[0] for layer in net.layers if layer.type == "Accuracy" and layer.tops)


def csv_text(database: Database, model_id: int) -> Iterator[str]:
    """All numbers of a model, one a line, read piece by piece."""
    yield "epoch,iteration,name,value\n"
    for rows in _rows(database, model_id):
        yield _csv((f"{row.epoch:.6g}", row.iteration, row.name, repr(row.value)) for row in rows)


def csv_of_models(database: Database, names: Mapping[int, str]) -> Iterator[str]:
    """The same for several models, whose names come first in each line."""
    yield "model,epoch,iteration,name,value\n"
    for model_id, name in names.items():
        for rows in _rows(database, model_id):
            yield _csv((name, f"{row.epoch:.6g}", row.iteration, row.name, repr(row.value)) for row in rows)


def _rows(database: Database, model_id: int) -> Iterator[Sequence[Metric]]:
    last_id = 0
    while True:
        with database.read() as session:
            rows = Metric.since(session, model_id, last_id, ROWS_AT_ONCE)
        if not rows:
            return
        yield rows
        last_id = rows[-1].id


def _csv(rows: Iterable[tuple[object, ...]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _curves(session: Session, model_ids: Sequence[int], names: Sequence[str] = ()) -> dict[int, Curves]:
    statement = select(Metric.model_id, Metric.name, Metric.iteration, Metric.epoch, Metric.value)
    statement = statement.where(Metric.model_id.in_(model_ids)).order_by(Metric.id)
    if names:
        statement = statement.where(Metric.name.in_(names))
    points: dict[int, list[Point]] = {model_id: [] for model_id in model_ids}
    for model_id, *numbers in session.execute(statement):
        points[model_id].append(Point._make(numbers))
    return {model_id: Curves.of(found) for model_id, found in points.items()}
