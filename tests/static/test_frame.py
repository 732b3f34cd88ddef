"""The accuracy panel shows what the runs have come to, keeps still while they grow, and lets a person zoom."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.static.conftest import Site
from tests.static.test_chart import Server, event, point

LENET = [0.087, 0.9187, 0.9527, 0.9647, 0.9674, 0.9694, 0.9727, 0.9727, 0.9753, 0.976, 0.974, 0.9773, 0.9753, 0.9787,
         0.9767, 0.978]  # fmt: skip
PLOT = "document.querySelector('[data-figure=accuracy]')"
PAGE = """
<div class="chart" data-behavior="chart" data-url="/chart.json" data-events="/events">
  <div class="chart-panel">
    <span data-frame-note></span><label><input type="checkbox" data-whole="accuracy"> all</label>
    <div class="chart-plot" data-figure="accuracy" data-empty="none yet"></div>
  </div>
</div>
"""


def series(values: list[float | None], name: str = "accuracy") -> dict[str, Any]:
    epochs = list(range(len(values)))
    return {"type": "scatter", "mode": "lines", "name": name, "meta": f"val/{name}", "x": epochs, "y": values,
            "customdata": [10 * epoch for epoch in epochs]}  # fmt: skip


def frame(site: Site, curves: list[list[float | None]], **options: Any) -> tuple[float, float]:
    script = """async ([series, options]) => {
      const { frameOf } = await import('/static/js/lib/frame.js');
      return frameOf(series, options);
    }"""
    low, high = site.open("<p></p>").evaluate(script, [[series(values) for values in curves], options])
    return low, high


def opened(site: Site, *curves: dict[str, Any], kind: str = "every", batches: list[str] | None = None) -> Page:
    figure = {"data": list(curves), "layout": {"xaxis": {"range": [0, 15], "autorange": False}}, "frame": kind}
    Server(site, batches or [], {"accuracy": figure})
    page = site.open(PAGE)
    page.wait_for_selector("[data-figure=accuracy] .main-svg")
    return page


def y_range(page: Page) -> list[float]:
    found: list[float] = page.evaluate(f"{PLOT}.layout.yaxis.range")
    return found


def wait_for_range(page: Page, low: float, high: float) -> None:
    near = f"(([a, b]) => Math.abs(a - {low}) < 1e-6 && Math.abs(b - {high}) < 1e-6)({PLOT}.layout.yaxis.range)"
    page.wait_for_function(f"() => {near}")


def zoom(page: Page, low: float, high: float) -> None:
    page.evaluate(
        f"() => window.Plotly.relayout({PLOT}, {{'yaxis.range[0]': {low}, 'yaxis.range[1]': {high}}}).then(() => null)"
    )


def double_click(page: Page) -> None:
    page.locator("[data-figure=accuracy] .nsewdrag").first.dblclick()


def test_the_second_half_of_a_run_gets_most_of_the_room(site: Site) -> None:
    low, high = frame(site, [[*LENET]])
    settled = LENET[8:]
    assert low < min(settled) < max(settled) < high
    assert (max(settled) - min(settled)) / (high - low) > 0.25
    assert high - low < 0.03


def test_a_short_run_shows_every_epoch_but_the_untrained_one(site: Site) -> None:
    low, high = frame(site, [[0.1, 0.93, 0.96, 0.97]])
    assert 0.9 < low < 0.93
    assert 0.97 < high < 1


def test_one_point_or_none_shows_everything(site: Site) -> None:
    for curves in ([], [[0.1]], [[0.1, 0.9]], [[None]], [[0.1, None, 0.5]]):
        low, high = frame(site, curves)
        assert low <= 0
        assert high >= 1


def test_equal_values_have_a_frame(site: Site) -> None:
    for value in (0.0, 0.5, 1.0):
        low, high = frame(site, [[value] * 9])
        assert low < value < high
        assert high - low < 0.02


def test_a_peak_in_the_first_half_is_shown(site: Site) -> None:
    _, high = frame(site, [[0.1, 0.99, *[0.9, 0.91] * 5]])
    assert high > 0.99


def test_a_frame_stays_while_the_run_grows_within_it(site: Site) -> None:
    frames: list[tuple[float, float]] = []
    for count in range(1, len(LENET) + 1):
        before = frames[-1] if frames else None
        frames.append(frame(site, [[*LENET[:count]]], before=before))
    moves = sum(one != other for one, other in pairwise(frames))
    assert moves <= 4, frames
    assert all(low < LENET[count] < high for count, (low, high) in enumerate(frames))


def test_curves_of_a_sweep_that_failed_do_not_flatten_the_others(site: Site) -> None:
    good, other, bad = [0.1, *[0.98, 0.981] * 5], [0.1, *[0.975, 0.978] * 5], [0.1] * 11
    low, high = frame(site, [[*good], [*other], [*bad]], best=True)
    assert 0.95 < low < 0.975
    assert 0.981 < high < 1
    assert frame(site, [[*good], [*other], [*bad]])[0] < 0.1


def test_a_curve_below_the_frame_is_named(site: Site) -> None:
    curves = [series([0.1, *[0.98, 0.981] * 5], "rate 0.1"), series([0.1, *[0.97, 0.975] * 5], "rate 0.01")]
    page = opened(site, *curves, series([0.1] * 11, "rate 9"), kind="best")
    page.wait_for_function("() => document.querySelector('[data-frame-note]').textContent === 'Below: rate 9'")
    page.get_by_label("all").check()
    page.wait_for_function("() => document.querySelector('[data-frame-note]').textContent === ''")
    wait_for_range(page, -0.03, 1.03)


def test_new_points_keep_a_zoom_and_a_double_click_ends_it(site: Site) -> None:
    batches = ["", event("points", "900", points=[point(160, "val/accuracy", 0.5)])]
    page = opened(site, series([*LENET]), batches=batches)
    fitted = y_range(page)
    zoom(page, 0.96, 0.97)
    page.wait_for_function(f"() => {PLOT}.data[0].customdata.includes(160)")
    assert y_range(page) == pytest.approx([0.96, 0.97])
    double_click(page)
    page.wait_for_function(f"() => {PLOT}.layout.yaxis.range[0] < 0.5")
    assert y_range(page) != fitted
    assert y_range(page)[0] < 0.5 < y_range(page)[1]


def test_a_double_click_without_a_zoom_shows_everything_and_another_one_what_was(site: Site) -> None:
    page = opened(site, series([*LENET]))
    fitted = y_range(page)
    double_click(page)
    wait_for_range(page, -0.03, 1.03)
    assert page.get_by_label("all").is_checked()
    page.wait_for_timeout(600)  # apart from the double click before
    double_click(page)
    wait_for_range(page, *fitted)
    assert not page.get_by_label("all").is_checked()


def test_a_curve_that_is_hidden_does_not_count(site: Site) -> None:
    page = opened(site, series([*LENET]), series([0.5] * 16, "accuracy_top5"))
    assert y_range(page)[0] < 0.5
    page.locator(".legendtoggle").nth(1).click()
    page.wait_for_function(f"() => {PLOT}.layout.yaxis.range[0] > 0.9")
    assert page.evaluate(f"{PLOT}.data[1].visible") == "legendonly"


def test_a_loss_that_diverged_does_not_flatten_the_others_of_a_sweep(site: Site) -> None:
    curves = [
        series([2.3, 0.5, 0.3], "rate 0.1"),
        series([2.4, 0.9, 0.6], "rate 0.01"),
        series([2.3, 40, 5e6], "rate 9"),
    ]
    page = opened(site, *curves, kind="losses")
    assert 2.4 < y_range(page)[1] < 3
    assert y_range(page)[0] == 0
    page.wait_for_function("() => document.querySelector('[data-frame-note]').textContent === 'Above: rate 9'")


def test_losses_of_one_size_are_all_shown(site: Site) -> None:
    page = opened(site, series([2.3, 0.5]), series([4.0, 3.9]), kind="losses")
    assert 4 < y_range(page)[1] < 5


def test_a_double_click_shows_all_losses_where_there_is_no_box_for_it(site: Site) -> None:
    figure = {"data": [series([1.0, 0.5]), series([1.0, 900.0])], "layout": {}, "frame": "losses"}
    Server(site, [], {"accuracy": figure})
    page = site.open(PAGE.replace('<label><input type="checkbox" data-whole="accuracy"> all</label>', ""))
    page.wait_for_selector("[data-figure=accuracy] .main-svg")
    assert y_range(page)[1] < 2
    double_click(page)
    page.wait_for_function(f"() => {PLOT}.layout.yaxis.range[1] >= 900")


def test_losses_on_a_logarithmic_axis_are_all_shown(site: Site) -> None:
    figure = {"data": [series([1.0, 0.5]), series([1.0, 900.0])], "layout": {}, "frame": "losses"}
    Server(site, [], {"accuracy": figure})
    page = site.open(PAGE.replace("data-whole", "data-log"))
    page.wait_for_selector("[data-figure=accuracy] .main-svg")
    page.get_by_label("all").check()
    page.wait_for_function(f"() => {PLOT}.layout.yaxis.type === 'log' && {PLOT}.layout.yaxis.range[1] >= 2.9")
