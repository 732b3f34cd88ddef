"""Figures: what is drawn from which numbers, and how few points are enough."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.charts import (
    MAX_POINTS,
    MAX_POINTS_IN_ALL,
    Curves,
    CurvesOfModel,
    Point,
    comparison_figures,
    decimate,
    schedule_figure,
    training_figures,
)


def line(name: str, values: list[float], per_epoch: int = 10) -> list[Point]:
    return [Point(name, number, number / per_epoch, value) for number, value in enumerate(values)]


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["meta"]: trace for trace in figure["data"]}


def trained() -> Curves:
    return Curves.of([
        *line("train/loss", [2.0, 1.0, 0.5]),
        *line("val/loss", [1.5]),
        *line("val/accuracy", [0.9]),
        *line("val/accuracy_top5", [0.99]),
        *line("learning_rate", [0.01, 0.009]),
    ]).with_accuracies(frozenset({"accuracy_top5"}))  # fmt: skip


def test_each_metric_is_on_its_panel() -> None:
    figures = training_figures(trained(), [], "model-1", epochs=5)
    assert set(traces(figures["loss"])) == {"train/loss", "val/loss"}
    assert set(traces(figures["accuracy"])) == {"val/accuracy", "val/accuracy_top5"}
    assert set(traces(figures["learning_rate"])) == {"learning_rate"}


def test_training_is_solid_and_validation_dashed_in_the_same_hue() -> None:
    loss = traces(training_figures(trained(), [], "model-1", epochs=5)["loss"])
    assert loss["train/loss"]["line"]["dash"] == "solid"
    assert loss["val/loss"]["line"]["dash"] == "dash"
    assert loss["train/loss"]["line"]["color"] == loss["val/loss"]["line"]["color"] == "var(--series-1)"


def test_an_output_of_another_name_has_another_hue() -> None:
    accuracy = traces(training_figures(trained(), [], "model-1", epochs=5)["accuracy"])
    assert accuracy["val/accuracy"]["line"]["color"] != accuracy["val/accuracy_top5"]["line"]["color"]


def test_panels_share_one_epoch_axis_to_the_last_epoch() -> None:
    figures = training_figures(trained(), [], "model-1", epochs=5)
    assert {tuple(figure["layout"]["xaxis"]["range"]) for figure in figures.values()} == {(0, 5)}


def test_snapshots_are_ticks_on_the_loss_that_move_no_axis() -> None:
    figure = training_figures(trained(), [1.0, 2.5], "model-1", epochs=5)["loss"]
    ticks = traces(figure)["snapshot"]
    assert ticks["x"] == [1.0, 2.5]
    assert figure["layout"][ticks["yaxis"].replace("y", "yaxis")]["visible"] is False


def test_a_model_without_numbers_has_empty_figures() -> None:
    figures = training_figures(Curves.of([]), [1.0], "model-1", epochs=5)
    assert [figure["data"] for figure in figures.values()] == [[], [], []]


def test_the_uirevision_keeps_a_zoom_while_points_arrive() -> None:
    first = training_figures(Curves.of(line("train/loss", [1.0])), [], "model-1", epochs=5)
    later = training_figures(trained(), [1.0], "model-1", epochs=5)
    assert first["loss"]["layout"]["uirevision"] == later["loss"]["layout"]["uirevision"] == "model-1"


def test_a_loss_that_is_not_a_number_is_a_gap_and_the_figure_stays_json() -> None:
    curves = Curves.of(line("train/loss", [1.0, math.nan, math.inf, 0.5]))
    figure = training_figures(curves, [], "model-1", epochs=1)["loss"]
    assert traces(figure)["train/loss"]["y"] == [1.0, None, None, 0.5]
    json.dumps(figure, allow_nan=False)


def test_the_later_of_two_numbers_for_one_iteration_counts() -> None:
    curves = Curves.of([Point("train/loss", 7, 0.7, 9.0), Point("train/loss", 7, 0.7, 1.0)])
    assert [point.value for point in curves.points["train/loss"]] == [1.0]


def test_the_best_accuracy_is_the_first_of_equals() -> None:
    best = Curves.of(line("val/accuracy", [0.5, 0.9, 0.9, math.nan, 0.8])).best_accuracy()
    assert best is not None
    assert best.iteration == 1


def test_what_was_validated_before_the_training_is_no_best() -> None:
    assert Curves.of(line("val/accuracy", [0.1])).best_accuracy() is None


def test_a_short_line_is_left_as_it_is() -> None:
    points = line("train/loss", [3.0, 2.0, 1.0])
    assert decimate(points) == points


def test_a_long_line_keeps_its_ends_and_its_spikes() -> None:
    values = [1.0 + 0.001 * (number % 7) for number in range(100_000)]
    values[61_803], values[31_415] = 50.0, -50.0
    kept = decimate(line("train/loss", values))
    assert len(kept) <= MAX_POINTS
    assert (kept[0].iteration, kept[-1].iteration) == (0, 99_999)
    assert {50.0, -50.0} <= {point.value for point in kept}


@given(st.lists(st.floats(width=32), max_size=400), st.integers(2, 50))
def test_decimating_gives_few_points_of_the_line_in_their_order(values: list[float], limit: int) -> None:
    points = line("train/loss", values)
    kept = decimate(points, limit)
    places = [point.iteration for point in kept]
    assert len(kept) <= max(limit, 0) or len(points) <= limit
    assert places == sorted(set(places))
    assert all(points[place] is point for place, point in zip(places, kept, strict=True))
    if len(points) > limit:
        assert (places[0], places[-1]) == (0, len(points) - 1)


def test_a_comparison_gives_every_model_one_hue_and_one_name() -> None:
    curves = Curves.of([*line("train/loss", [2.0]), *line("val/loss", [1.0]), *line("val/accuracy", [0.5])])
    figures = comparison_figures([CurvesOfModel("rate 0.1", curves), CurvesOfModel("rate 0.01", curves)], "sweep-1", 3)
    names = [(trace["name"], trace["showlegend"]) for trace in figures["loss"]["data"]]
    assert names == [("rate 0.1", True), ("rate 0.1", False), ("rate 0.01", True), ("rate 0.01", False)]
    assert len({trace["line"]["color"] for trace in figures["accuracy"]["data"]}) == 2


def test_a_sweep_of_a_hundred_models_is_drawn_with_bounded_points() -> None:
    curves = Curves.of(line("train/loss", [1.0 / (number + 1) for number in range(2_000)]))
    figures = comparison_figures([CurvesOfModel(f"model {number}", curves) for number in range(100)], "sweep-1", 3)
    assert sum(len(trace["x"]) for trace in figures["loss"]["data"]) <= MAX_POINTS_IN_ALL


def test_more_models_than_hues_differ_by_opacity() -> None:
    curves = Curves.of(line("val/accuracy", [0.5]))
    figures = comparison_figures([CurvesOfModel(f"model {number}", curves) for number in range(13)], "sweep-1", 3)
    looks = {(trace["line"]["color"], trace["opacity"]) for trace in figures["accuracy"]["data"]}
    assert len(looks) == 13


def test_the_axis_of_accuracies_follows_all_curves_of_a_model_and_the_best_of_a_sweep() -> None:
    figures = training_figures(trained(), [], "model-1", epochs=5)
    assert {name: figure.get("frame") for name, figure in figures.items()} == {
        "loss": None, "accuracy": "every", "learning_rate": None}  # fmt: skip
    compared = comparison_figures([CurvesOfModel("one", trained())], "sweep-1", 5)
    assert {name: figure["frame"] for name, figure in compared.items()} == {"loss": "losses", "accuracy": "best"}


def test_a_schedule_has_a_line_for_every_rate() -> None:
    figure = schedule_figure({"0.1": [(0.0, 0.1), (1.0, 0.05)], "0.01": [(0.0, 0.01), (1.0, 0.005)]}, epochs=1)
    assert [(trace["name"], trace["y"]) for trace in figure["data"]] == [("0.1", [0.1, 0.05]), ("0.01", [0.01, 0.005])]
    assert figure["layout"]["showlegend"] is True
