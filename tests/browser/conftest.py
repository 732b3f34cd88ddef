"""A real Trainyard and a real Chromium. Every page is watched: no error in its console, no request elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests import machine
from tests.server import PASSWORD, Server, serving

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
WIDE = {"width": 1280, "height": 860}


@dataclass
class Watch:
    """What a page must not do."""

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of complaints that a test provokes

    def page(self, page: Page) -> Page:
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("response", lambda answer: self._response(answer.status, answer.url))
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "localhost":
            self.complaints.append(f"request to {url}")

    def _response(self, status: int, url: str) -> None:
        if status >= 500:
            self.complaints.append(f"{status} from {url}")

    def unexpected(self) -> list[str]:
        return [complaint for complaint in self.complaints if not any(part in complaint for part in self.expected)]


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody has ever signed in to."""
    with serving(tmp_path_factory.mktemp("browser") / "home", TRAINYARD_ADMIN_PASSWORD="") as server:
        yield server


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=machine.chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def signed_in(site: Server, chromium: Browser) -> Any:
    """The cookies of the administrator, who made the account as the first visitor does."""
    context = chromium.new_context(base_url=site.url, viewport=WIDE)
    watch = Watch()
    page = watch.page(context.new_page())
    page.goto("/")
    assert urlsplit(page.url).path == "/setup"
    page.get_by_label("Set-up code").fill((site.home / "setup-code").read_text().strip())
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    shot(page, "set-up")
    page.get_by_role("button", name="Create the first user").click()
    page.wait_for_url("**/")
    assert watch.unexpected() == []
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def context(site: Server, chromium: Browser, signed_in: Any) -> Iterator[BrowserContext]:
    context = chromium.new_context(base_url=site.url, viewport=WIDE, storage_state=signed_in, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """A page of the signed-in administrator; fails the test when anything was complained about."""
    page = watch.page(context.new_page())
    yield page
    assert watch.unexpected() == []


@pytest.fixture
def plain_page(site: Server, chromium: Browser, signed_in: Any, watch: Watch) -> Iterator[Page]:
    """The same without JavaScript."""
    context = chromium.new_context(base_url=site.url, viewport=WIDE, storage_state=signed_in, java_script_enabled=False)
    yield watch.page(context.new_page())
    assert watch.unexpected() == []
    context.close()


def shot(page: Page, name: str) -> None:
    """Keeps a picture of the page, light and dark, in TRAINYARD_TEST_SCREENSHOTS if that is set."""
    folder = os.environ.get("TRAINYARD_TEST_SCREENSHOTS")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    before = page.viewport_size or WIDE
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": before["width"], "height": max(before["height"], min(height, 6_000))})
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(500)
        page.screenshot(path=Path(folder) / f"{name}-{scheme}.png")
    page.set_viewport_size(before)
