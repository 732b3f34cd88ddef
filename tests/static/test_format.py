"""Numbers look the same whether the server or the browser writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.web import templates
from tests.static.conftest import Site

SIZES = [0, 999, 1000, 1500, 999_949, 999_950, 3_735_204, 999_949_999, 1e9, 5.5e10, 2e12]
SECONDS = [0, 0.04, 9.94, 9.95, 59.4, 59.5, 118, 3599.4, 3599.6, 7325, 86_399, 86_400, 200_000]


def by_server(macro: str, value: float) -> str:
    source = '{% import "macros/ui.html" as ui %}{{ ui.' + macro + "(value) }}"
    return templates.env.from_string(source).render(value=value).strip()


@pytest.mark.parametrize(
    ("macro", "function", "values"), [("size", "formatBytes", SIZES), ("duration", "formatDuration", SECONDS)]
)
def test_the_macro_and_the_module_agree(site: Site, macro: str, function: str, values: list[float]) -> None:
    page = site.open("<p></p>")
    script = (
        f"async (values) => {{ const m = await import('/static/js/lib/format.js'); return values.map(m.{function}) }}"
    )
    assert page.evaluate(script, values) == [by_server(macro, value) for value in values]


def test_a_moment_is_told_from_now_and_exactly_on_hover(site: Site) -> None:
    then = datetime.now(UTC) - timedelta(minutes=3, seconds=10)
    html = by_server_moment(then)
    page = site.open(html)
    page.wait_for_function("() => document.querySelector('time').textContent === '3 min ago'")
    assert page.locator("time").get_attribute("title")
    assert then.strftime("%Y-%m-%d %H:%M UTC") in html


def by_server_moment(moment: datetime) -> str:
    source = '{% import "macros/ui.html" as ui %}{{ ui.ago(moment) }}'
    return templates.env.from_string(source).render(moment=moment)
