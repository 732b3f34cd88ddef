"""A series grows by points without gaps, doubles or lost spikes."""

from __future__ import annotations

from typing import Any

from tests.static.conftest import Site


def run(site: Site, steps: str) -> Any:
    """The trace after `steps`, which use put(iteration, value), drop(iteration) and trace."""
    script = f"""async () => {{
      const {{ putPoint, dropAfter }} = await import('/static/js/lib/series.js');
      const trace = {{ x: [], y: [], customdata: [] }};
      const put = (iteration, value) => putPoint(trace, {{ iteration, value, epoch: iteration / 10 }});
      const drop = (iteration) => dropAfter(trace, iteration);
      {steps}
      return trace;
    }}"""
    return site.open("<p></p>").evaluate(script)


def test_points_that_come_twice_or_late_find_their_place(site: Site) -> None:
    trace = run(site, "for (const i of [10, 20, 40, 30, 20, 10]) put(i, i); put(20, 7);")
    assert trace["customdata"] == [10, 20, 30, 40]
    assert trace["y"] == [10, 7, 30, 40]
    assert trace["x"] == [1, 2, 3, 4]


def test_what_is_not_a_number_is_a_gap(site: Site) -> None:
    assert run(site, "put(1, 1); put(2, null); put(3, NaN); put(4, 2);")["y"] == [1, None, None, 2]


def test_a_run_that_goes_on_from_a_snapshot_forgets_what_came_after(site: Site) -> None:
    trace = run(site, "for (let i = 1; i <= 9; i += 1) put(i, i); drop(5); put(6, 60);")
    assert trace["customdata"] == [1, 2, 3, 4, 5, 6]
    assert trace["y"][-1] == 60


def test_never_more_than_1500_points_and_no_spike_lost(site: Site) -> None:
    trace = run(site, "for (let i = 0; i < 20000; i += 1) put(i, i === 7777 ? 99 : i === 12345 ? -99 : Math.sin(i));")
    assert len(trace["y"]) <= 1500
    assert {99, -99} <= set(trace["y"])
    assert (trace["customdata"][0], trace["customdata"][-1]) == (0, 19999)
    assert trace["customdata"] == sorted(set(trace["customdata"]))
