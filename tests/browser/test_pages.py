"""Every page by itself: it draws without a complaint, on a phone too, and its forms work without JavaScript."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watch, shot
from tests.server import PASSWORD, Server

PAGES = [
    "/",
    "/uploads",
    "/datasets",
    "/datasets/new",
    "/topologies",
    "/topologies/new",
    "/topologies/lenet",
    "/topologies/alexnet",
    "/topologies/googlenet",
    "/models",
    "/models/new",
    "/sweeps",
    "/pretrained",
    "/pretrained/new",
    "/jobs",
    "/account",
    "/api/docs",
    "/patterns",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_draws_without_a_complaint(page: Page, path: str) -> None:
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 200
    page.wait_for_load_state("networkidle")
    expect(page.locator("h1, .title").first).to_be_visible()
    shot(page, "page" + path.replace("/", "-").rstrip("-"))


@pytest.mark.parametrize("path", [path for path in PAGES if path not in ("/api/docs", "/patterns")])
def test_a_page_fits_a_phone(page: Page, path: str) -> None:
    """Tables scroll in their frames; the page itself does not move sideways."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(path)
    page.wait_for_load_state("networkidle")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1, f"{wide} px wider than the screen"


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/api/docs"])
def test_a_page_is_whole_without_javascript(plain_page: Page, path: str) -> None:
    answer = plain_page.goto(path)
    assert answer is not None
    assert answer.status == 200
    expect(plain_page.locator("h1").first).to_be_visible()
    for form in plain_page.locator("main form").all():
        buttons = form.locator("button:visible, input[type=submit]:visible").count()
        inputs = form.locator("input:visible, select:visible, textarea:visible").count()
        assert buttons or not inputs, f"a form that cannot be sent: {form.get_attribute('action')}"


def test_a_page_that_is_not_there_says_so(page: Page, watch: Watch) -> None:
    watch.expected.append("status of 404")
    answer = page.goto("/models/987654321")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("main")).to_contain_text("There is no such model")


def test_every_control_has_a_name(page: Page) -> None:
    """What a screen reader says at each field, button and link."""
    for path in ("/uploads", "/datasets/new", "/models/new", "/account", "/topologies/new", "/pretrained/new"):
        page.goto(path)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea')]
              .filter((control) => control.checkVisibility())
              .filter((control) => !(control.labels?.length || control.ariaLabel || control.title ||
                control.getAttribute('aria-labelledby') || control.textContent.trim() || control.value))
              .map((control) => control.outerHTML.slice(0, 200))"""
        )
        assert nameless == [], path


def test_signing_in_and_out_without_javascript(site: Server, chromium: Browser, signed_in: object) -> None:
    context = chromium.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/models")
    assert urlsplit(page.url).path == "/sign-in"
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("main")).to_contain_text(re.compile("not right|wrong|not fit", re.IGNORECASE))
    assert page.get_by_label("User name").input_value() == "admin"
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/models")
    page.get_by_role("button", name="Sign out").click()
    page.goto("/models")
    assert urlsplit(page.url).path == "/sign-in"
    context.close()


def test_a_bad_dataset_form_comes_back_as_it_was_typed(plain_page: Page, watch: Watch) -> None:
    watch.expected.append("status of 422")
    plain_page.goto("/")
    if plain_page.get_by_role("button", name=re.compile("sample")).count():  # nobody has uploaded anything yet
        plain_page.get_by_role("button", name=re.compile("sample")).click()
    plain_page.goto("/datasets/new")
    plain_page.get_by_label("Name", exact=True).fill("名前")
    plain_page.get_by_label("Width").fill("-5")
    plain_page.get_by_role("button", name="Create dataset").click()
    expect(plain_page.get_by_label("Width")).to_have_value("-5")
    expect(plain_page.get_by_label("Width")).to_have_attribute("aria-invalid", "true")
    expect(plain_page.get_by_label("Name", exact=True)).to_have_value("名前")


@pytest.mark.parametrize("name", ["lenet", "googlenet", "resnet50"])
def test_the_layers_beside_the_editor_need_no_sideways_scrolling(page: Page, name: str) -> None:
    page.goto(f"/topologies/new?original={name}")
    frame = page.get_by_role("region", name="Layers")
    expect(frame).to_be_visible()
    assert frame.evaluate("(frame) => frame.scrollWidth - frame.clientWidth") <= 0
