"""Numbers of models as charts, words and CSV files."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from app.charts import Curves
from app.db import Database, Model, Sweep
from app.models import curves
from app.topology.zoo import zoo_entry
from tests import factories

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]


def report(database: Database, model: Model, **values: list[float]) -> None:
    for name, line in values.items():
        for epoch, value in enumerate(line):
            metric = name.replace("_", "/", 1) if name != "learning_rate" else name
            factories.metric(database, model, metric, value, iteration=epoch * 10, epoch=float(epoch))


def metas(figure: dict[str, Any]) -> set[str]:
    return {trace["meta"] for trace in figure["data"]}


def test_a_chart_says_from_which_point_to_follow(database: Database) -> None:
    model = factories.model(database)
    report(database, model, train_loss=[2.0, 1.0], val_accuracy=[0.1, 0.9], learning_rate=[0.01, 0.01])
    last = factories.metric(database, model, "train/loss", 0.5, iteration=30, epoch=3)
    factories.metric(database, factories.model(database), "train/loss", 9.0)
    with database.read() as session:
        chart = curves.training_chart(session, model)
    assert chart["last_id"] == last.id
    assert metas(chart["figures"]["loss"]) == {"train/loss"}
    assert chart["figures"]["loss"]["data"][0]["y"] == [2.0, 1.0, 0.5]


def test_outputs_of_accuracy_layers_are_accuracies_whatever_their_name() -> None:
    blobs = curves.accuracy_blobs(LENET.replace('top: "accuracy"', 'top: "right"'))
    assert blobs == frozenset({"right", "accuracy_top5"})


def test_a_prototxt_that_cannot_be_read_hinders_no_chart() -> None:
    assert curves.accuracy_blobs("layer {") == frozenset({"accuracy"})


def test_the_summary_says_where_the_curves_are(database: Database) -> None:
    model = factories.model(database)
    report(database, model, train_loss=[2.0, 0.25], val_loss=[1.5, 0.5, 0.75], val_accuracy=[0.1, 0.95, 0.9])
    expected = (
        "Training loss 0.25 at epoch 1; validation loss 0.75 at epoch 2; validation accuracy 90.00 % at epoch 2; "
        "best 95.00 % at epoch 1."
    )
    with database.read() as session:
        assert curves.summary_of(session, model) == expected
        assert curves.summary(curves.curves_of(session, model)) == expected


def test_there_is_no_summary_of_nothing() -> None:
    assert curves.summary(Curves.of([])) == ""


def test_the_csv_holds_every_number_exactly(database: Database) -> None:
    model = factories.model(database)
    report(database, model, train_loss=[0.1 + 0.2, 1e-12], val_accuracy=[0.5])
    rows = list(csv.DictReader(io.StringIO("".join(curves.csv_text(database, model.id)))))
    assert [(row["name"], float(row["value"])) for row in rows] == [
        ("train/loss", 0.1 + 0.2), ("train/loss", 1e-12), ("val/accuracy", 0.5),
    ]  # fmt: skip
    assert [(row["epoch"], row["iteration"]) for row in rows] == [("0", "0"), ("1", "10"), ("0", "0")]


def test_the_csv_of_a_sweep_names_the_models(database: Database) -> None:
    models = [factories.model(database, name=name) for name in ('a, "b"', "手")]
    for model in models:
        report(database, model, train_loss=[1.0])
    text = "".join(curves.csv_of_models(database, {model.id: model.name for model in models}))
    assert [row["model"] for row in csv.DictReader(io.StringIO(text))] == ['a, "b"', "手"]


@pytest.mark.parametrize(
    ("pairs", "names"),
    [
        ([(0.1, 64), (0.01, 64)], ["learning rate 0.1", "learning rate 0.01"]),
        ([(0.1, 64), (0.1, 128)], ["batch 64", "batch 128"]),
        ([(0.1, 64), (0.01, 128)], ["learning rate 0.1, batch 64", "learning rate 0.01, batch 128"]),
        ([(0.1, 64)], ["LeNet on pets"]),
    ],
)
def test_models_of_a_sweep_are_told_apart_by_what_differs(
    database: Database, pairs: list[tuple[float, int]], names: list[str]
) -> None:
    sweep = factories.sweep(database)
    for rate, size in pairs:
        factories.model(database, sweep_id=sweep.id, base_lr=rate, batch_size=size)
    with database.read() as session:
        made = session.get_one(Sweep, sweep.id)
        assert [curves.short_name(model, made) for model in made.models] == names


def test_a_sweeps_chart_lays_its_models_over_each_other(database: Database) -> None:
    sweep = factories.sweep(database)
    for rate in (0.1, 0.01):
        model = factories.model(database, sweep_id=sweep.id, base_lr=rate)
        report(database, model, train_loss=[2.0, 1.0], val_loss=[2.0], val_accuracy=[0.5])
    with database.read() as session:
        figures = curves.sweep_chart(session, session.get_one(Sweep, sweep.id))["figures"]
    assert [trace["name"] for trace in figures["accuracy"]["data"]] == ["learning rate 0.1", "learning rate 0.01"]
    assert len(figures["loss"]["data"]) == 4
