"""Parts of a page that follow the server: replaced as they change, without disturbing whoever uses them."""

from __future__ import annotations

from playwright.sync_api import Request, Route

from tests.static.conftest import Site

PAGE = '<div id="live" data-behavior="live-fragment" data-url="/_part" data-every="0.1"><p>first</p></div>'


class Part:
    """Answers with its html and counts."""

    def __init__(self, site: Site, html: str) -> None:
        self.html, self.count, self.headers = html, 0, {"Content-Type": "text/html"}
        site.answers["/_part"] = self._answer

    def _answer(self, route: Route, _request: Request) -> None:
        self.count += 1
        route.fulfill(body=self.html, headers=self.headers)


def test_it_follows_until_the_server_says_that_nothing_more_comes(site: Site) -> None:
    part = Part(site, "<p>second</p>")
    page = site.open(PAGE)
    page.get_by_text("second").wait_for()
    part.html, part.headers = "<p>last</p>", part.headers | {"X-Live": "end"}
    page.get_by_text("last").wait_for()
    count = part.count
    page.wait_for_timeout(500)
    assert part.count == count


def test_the_focus_stays_where_it_was(site: Site) -> None:
    part = Part(site, '<button>Stop</button> <button id="b">Other</button>')
    page = site.open(PAGE)
    page.get_by_role("button", name="Stop").focus()
    part.html += "<p>more</p>"
    page.get_by_text("more").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Stop"


def test_nothing_is_replaced_under_an_open_question(site: Site) -> None:
    part = Part(
        site, '<details class="confirm" data-behavior="confirm"><summary>Delete</summary><form>sure</form></details>'
    )
    page = site.open(PAGE)
    page.get_by_text("Delete").click()
    part.html = "<p>gone</p>"
    page.wait_for_timeout(400)
    assert page.get_by_text("sure").is_visible()
    page.keyboard.press("Escape")
    page.get_by_text("gone").wait_for()


def test_what_was_opened_and_chosen_stays_so(site: Site) -> None:
    html = (
        "<details><summary>More</summary><p>words</p></details>"
        "<details><summary>Other</summary><p>closed</p></details>"
        '<select id="s"><option value="last">last</option><option value="2.50">2.50</option></select>'
    )
    part = Part(site, html)
    page = site.open(PAGE)
    page.get_by_text("More").click()
    page.locator("#s").select_option("2.50")
    page.evaluate("document.activeElement.blur()")
    part.html = html.replace("<option value", '<option value="new">new</option><option value', 1) + "<p>later</p>"
    page.get_by_text("later").wait_for()
    assert page.get_by_text("words").is_visible()
    assert not page.get_by_text("closed").is_visible()
    assert page.locator("#s").input_value() == "2.50"


def test_behaviours_inside_are_connected(site: Site) -> None:
    Part(site, '<time datetime="2020-01-01T00:00:00Z" data-behavior="relative-time">then</time>')
    page = site.open(PAGE)
    page.wait_for_function("() => / d ago$/.test(document.querySelector('time')?.textContent)")


def test_a_page_that_asks_for_signing_in_is_not_put_inside(site: Site) -> None:
    def away(route: Route, _request: Request) -> None:
        route.fulfill(status=401, body="Sign in")

    site.answers["/_part"] = away
    page = site.open(PAGE)
    page.wait_for_timeout(400)
    assert page.locator("#live").inner_text() == "first"
