"""The resumable upload in the browser, against a tus server that cuts lines, forgets and refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, Route

from tests.static.conftest import Site, connected

FORM = """
<form class="drop" method="post" action="/uploads" data-behavior="upload" data-endpoint="/uploads/tus"
      data-next="/uploads" data-chunk-bytes="1000">
  <input type="file" name="file"><input name="name" value="手書き">
  <div data-upload-list></div>
</form>
"""
DATA = bytes(range(256)) * 10  # three pieces


class TusServer:
    """Keeps one upload; `trouble` may answer a PATCH otherwise, by its number."""

    def __init__(self, site: Site, trouble: Callable[[int, Route], bool] = lambda _number, _route: False) -> None:
        self.received: bytes | None = None
        self.methods: list[str] = []
        self.metadata = ""
        self.trouble = trouble
        site.answers["/uploads/tus"] = self._answer
        site.html["/uploads/7"] = "<!doctype html><html><title>done</title></html>"

    def _answer(self, route: Route, request: Request) -> None:
        self.methods.append(request.method)
        assert request.headers["x-csrf-token"] == "token"
        assert request.headers["tus-resumable"] == "1.0.0"
        getattr(self, f"_{request.method.lower()}")(route, request)

    def _post(self, route: Route, request: Request) -> None:
        self.received, self.metadata = b"", request.headers["upload-metadata"]
        assert request.headers["upload-length"] == str(len(DATA))
        route.fulfill(status=201, headers={"Location": "/uploads/tus/abc", "Upload-Page": "/uploads/7"})

    def _head(self, route: Route, _request: Request) -> None:
        if self.received is None:
            route.fulfill(status=404)
        else:
            route.fulfill(headers={"Upload-Offset": str(len(self.received)), "Upload-Page": "/uploads/7"})

    def _patch(self, route: Route, request: Request) -> None:
        if self.trouble(self.methods.count("PATCH"), route):
            return
        assert self.received is not None
        assert request.headers["upload-offset"] == str(len(self.received))
        self.received += request.post_data_buffer or b""
        route.fulfill(status=204, headers={"Upload-Offset": str(len(self.received)), "Upload-Page": "/uploads/7"})

    def _delete(self, route: Route, _request: Request) -> None:
        self.received = None
        route.fulfill(status=204)


def choose(page: Page) -> None:
    page.set_input_files("input[type=file]", {"name": "絵.zip", "mimeType": "application/zip", "buffer": DATA})


def test_a_file_is_sent_in_pieces_and_leads_to_its_page(site: Site) -> None:
    server = TusServer(site)
    page = site.open(FORM)
    choose(page)
    page.wait_for_url("**/uploads/7")
    assert server.received == DATA
    assert server.methods == ["POST", "PATCH", "PATCH", "PATCH"]
    assert "filename 57W1LnppcA==" in server.metadata
    assert "name 5omL5pu444GN" in server.metadata


@pytest.mark.parametrize("status", [None, 503, 409, 423])
def test_a_cut_line_goes_on_where_the_server_stands(site: Site, status: int | None) -> None:
    def trouble(number: int, route: Route) -> bool:
        if number == 2:
            route.abort() if status is None else route.fulfill(status=status)
        return number == 2

    server = TusServer(site, trouble)
    page = site.open(FORM)
    choose(page)
    page.wait_for_url("**/uploads/7")
    assert server.received == DATA
    assert server.methods == ["POST", "PATCH", "PATCH", "HEAD", "PATCH", "PATCH"]


def test_a_refusal_is_shown_and_not_tried_again(site: Site) -> None:
    def trouble(_number: int, route: Route) -> bool:
        route.fulfill(status=413, json={"error": {"code": "too_large", "message": "Expected at most 100 GB."}})
        return True

    server = TusServer(site, trouble)
    page = site.open(FORM)
    choose(page)
    page.get_by_text("Expected at most 100 GB.").wait_for()
    assert server.methods == ["POST", "PATCH"]


def test_pause_and_cancel(site: Site) -> None:
    server = TusServer(site, lambda _number, _route: True)  # the first piece never ends
    page = site.open(FORM)
    choose(page)
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused").wait_for()
    server.trouble = lambda number, _route: number == 2
    page.get_by_role("button", name="Go on").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Cancel").click()
    page.locator(".transfer").wait_for(state="detached")
    assert server.methods == ["POST", "PATCH", "HEAD", "PATCH", "DELETE"]


def test_after_a_reload_the_same_file_goes_on(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("files") / "pets.zip"
    file.write_bytes(DATA)
    server = TusServer(site, lambda number, _route: number == 2)
    page = site.open(FORM)
    page.set_input_files("input[type=file]", file)
    page.wait_for_function("() => document.querySelector('progress')?.value > 30")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    connected(page)
    page.set_input_files("input[type=file]", file)
    page.wait_for_url("**/uploads/7")
    assert server.received == DATA
    assert server.methods.count("POST") == 1
