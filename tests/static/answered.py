"""Pages of the real application in the browser of these tests, without a server between them."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Request, Route

from tests.conftest import Browser
from tests.static.conftest import Site


def answer_from(site: Site, client: Browser, prefix: str) -> None:
    """Whatever the browser asks for below this path is answered by the application, as the client's user."""

    def answer(route: Route, request: Request) -> None:
        parts = urlsplit(request.url)
        passed = {name: value for name, value in request.headers.items() if name in ("content-type", "x-csrf-token")}
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        told = client.request(request.method, path, content=request.post_data_buffer, headers=passed)
        route.fulfill(status=told.status_code, body=told.content, headers=dict(told.headers))

    site.answers[prefix] = answer
