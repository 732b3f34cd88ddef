"""A live chart: figures from the server, points from its events, once each, with the zoom kept."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Request, Route

from tests.static.conftest import Site

PAGE = """
<div class="chart" data-behavior="chart" data-url="/chart.json" data-events="/events">
  <label><input type="checkbox" data-log="loss"> log</label>
  <div class="chart-plot" data-figure="loss" data-empty="none yet"></div>
  <div class="chart-plot" data-figure="accuracy" data-empty="none yet"></div>
</div>
"""
POINTS = "document.querySelector('[data-figure={0}]').data?.map((t) => [t.meta, t.customdata, t.y])"


def trace(name: str, iterations: list[int]) -> dict[str, Any]:
    values = [1 / (1 + iteration) for iteration in iterations]
    x = [iteration / 10 for iteration in iterations]
    return {"type": "scatter", "mode": "lines", "name": name, "meta": name, "x": x, "y": values,
            "customdata": iterations, "line": {"color": "var(--series-1)"}}  # fmt: skip


def event(name: str, event_id: str, **data: Any) -> str:
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def point(iteration: int, name: str = "train/loss", value: float = 0.5) -> dict[str, Any]:
    return {"id": iteration, "name": name, "iteration": iteration, "epoch": iteration / 10, "value": value}


class Server:
    """Answers with the figures, and with one batch of events per connection."""

    def __init__(self, site: Site, batches: list[str], figures: dict[str, Any]) -> None:
        self.batches, self.figures = batches, figures
        self.since: list[str] = []
        self.loads = 0
        site.answers["/events"] = self._events
        site.answers["/chart.json"] = self._chart

    def _chart(self, route: Route, _request: Request) -> None:
        self.loads += 1
        route.fulfill(json={"figures": self.figures, "last_id": 20})

    def _events(self, route: Route, request: Request) -> None:
        self.since.append(parse_qs(urlsplit(request.url).query).get("since", [""])[0])
        body = self.batches[len(self.since) - 1] if len(self.since) <= len(self.batches) else ""
        route.fulfill(body=body, content_type="text/event-stream")


def loss_of(page: Page) -> Any:
    return page.evaluate(POINTS.format("loss"))[0]


def wait_for(page: Page, iterations: list[int]) -> None:
    shown = "document.querySelector('[data-figure=loss]').data?.[0]?.customdata"
    page.wait_for_function(f"(wanted) => JSON.stringify({shown}) === JSON.stringify(wanted)", arg=iterations)


def test_a_cut_line_goes_on_from_the_last_id_without_doubles(site: Site) -> None:
    batches = [
        event("points", "40-7", points=[point(20), point(30), point(40)]),
        event("points", "60-9", points=[point(40), point(50), point(60)]),
    ]
    server = Server(site, batches, {"loss": {"data": [trace("train/loss", [10, 20])], "layout": {}}})
    page = site.open(PAGE)
    wait_for(page, [10, 20, 30, 40, 50, 60])
    assert server.since[:2] == ["20", "40-7"]
    assert site.problems == []


def test_a_rewind_forgets_what_no_longer_counts(site: Site) -> None:
    batch = event("points", "50", points=[point(30), point(40), point(50)])
    batch += event("rewind", "50", iteration=30) + event("points", "60", points=[point(40, value=9)])
    Server(site, [batch], {"loss": {"data": [trace("train/loss", [10, 20])], "layout": {}}})
    page = site.open(PAGE)
    wait_for(page, [10, 20, 30, 40])
    assert loss_of(page)[2][-1] == 9


def test_a_metric_that_is_new_is_asked_for_once(site: Site) -> None:
    figures: dict[str, Any] = {"loss": {"data": [trace("train/loss", [10])], "layout": {}}}
    server = Server(site, [event("points", "21", points=[point(20, "val/strange")])], figures)
    page = site.open(PAGE)
    page.wait_for_function(
        "() => performance.getEntriesByType('resource').filter((e) => e.name.includes('chart.json')).length > 1"
    )
    page.wait_for_timeout(600)
    assert server.loads == 2


def test_a_zoom_survives_new_points_and_is_shared_by_the_panels(site: Site) -> None:
    figures = {
        "loss": {"data": [trace("train/loss", [10, 20])], "layout": {}},
        "accuracy": {"data": [trace("val/accuracy", [10, 20])], "layout": {}},
    }
    Server(site, ["", event("points", "90", points=[point(90)])], figures)
    page = site.open(PAGE)
    page.wait_for_selector("[data-figure=accuracy] .main-svg")
    page.evaluate("""() => {
      const loss = document.querySelector('[data-figure=loss]');
      return window.Plotly.relayout(loss, { 'xaxis.range[0]': 1, 'xaxis.range[1]': 2 }).then(() => null);
    }""")
    wait_for(page, [10, 20, 90])
    for figure in ("loss", "accuracy"):
        assert page.evaluate(f"document.querySelector('[data-figure={figure}]').layout.xaxis.range") == [1, 2]


def test_colours_follow_the_theme_and_the_scale_its_box(site: Site) -> None:
    Server(site, [], {"loss": {"data": [trace("train/loss", [10, 20])], "layout": {}}})
    page = site.open(PAGE)
    page.wait_for_selector("[data-figure=loss] .main-svg")
    color = "document.querySelector('[data-figure=loss]').data[0].line.color"
    light = page.evaluate(color)
    assert light.startswith("rgba(")
    page.evaluate("document.documentElement.dataset.theme = 'dark'; document.dispatchEvent(new Event('themechange'))")
    page.wait_for_function(f"() => {color} !== '{light}'")
    page.get_by_label("log").check()
    page.wait_for_function("() => document.querySelector('[data-figure=loss]').layout.yaxis.type === 'log'")


def test_without_points_it_says_what_will_come(site: Site) -> None:
    Server(site, [], {"loss": {"data": [], "layout": {}}})
    page = site.open(PAGE)
    page.wait_for_timeout(300)
    content = page.evaluate("getComputedStyle(document.querySelector('[data-figure=loss]'), '::after').content")
    assert content == '"none yet"'
