"""Chromium on pages that are made up here: what the style sheets and the JavaScript do, without a server.

Requests never leave the browser: static files are read from the checkout, everything else is answered by the test.
"""

from __future__ import annotations

import importlib.util
import mimetypes
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, sync_playwright

from app.security.headers import CONTENT_SECURITY_POLICY
from app.web import ROOT
from tests import machine

ORIGIN = "http://trainyard.test"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
Answer = Callable[[Route, Request], None]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = machine.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


CONNECTED = """async () => {
  const names = [...document.querySelectorAll("[data-behavior]")].flatMap((one) => one.dataset.behavior.split(/\\s+/));
  await Promise.allSettled(names.filter(Boolean).map((name) => import(`/static/js/behaviors/${name}.js`)));
  await new Promise((resolve) => setTimeout(resolve));
}"""


def connected(page: Page) -> None:
    """Waits for the behaviours. main.js has asked for each before us, so it is connected when its module comes here."""
    page.evaluate(CONNECTED)


class Site:
    """Pages by path; `problems` collects what the browser complained about."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.html: dict[str, str] = {}
        self.answers: dict[str, Answer] = {}  # the longest prefix of a path decides
        self.problems: list[str] = []
        context.route("**/*", self._answer)

    def open(self, html: str, path: str = "/") -> Page:
        """A page with this inside, in the frame that every page has for its scripts and styles."""
        if "<html" not in html:
            html = (
                '<!doctype html><html lang="en"><head><meta name="csrf-token" content="token">'
                '<link rel="stylesheet" href="/static/css/main.css"><script src="/static/js/early.js"></script>'
                f'<script type="module" src="/static/js/main.js"></script></head><body>{html}</body></html>'
            )
        self.html[path] = html
        page = self.context.new_page()
        page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(ORIGIN + path)
        connected(page)
        return page

    def _answer(self, route: Route, request: Request) -> None:
        path = unquote(urlsplit(request.url).path)
        prefix = max((known for known in self.answers if path.startswith(known)), key=len, default=None)
        if prefix is not None:
            self.answers[prefix](route, request)
        elif path == "/static/vendor/plotly.min.js":
            route.fulfill(path=_plotly(), content_type="text/javascript")
        elif path.startswith("/static/") and (file := ROOT / path.lstrip("/")).is_file():
            route.fulfill(path=file, content_type=mimetypes.guess_type(file.name)[0] or "text/plain")
        elif path in self.html:
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
            route.fulfill(body=self.html[path], headers=headers)
        else:
            route.fulfill(status=404, body="nothing here")


@pytest.fixture
def site(chromium: Browser) -> Iterator[Site]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield Site(context)
    context.close()


def _plotly() -> Path:
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
