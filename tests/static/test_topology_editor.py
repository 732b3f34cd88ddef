"""The topology editor in a browser, answered by the real application: colours, marks, the check while typing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from app.db import Database
from tests import factories
from tests.conftest import Browser
from tests.static.answered import answer_from
from tests.static.conftest import ORIGIN, Site


@pytest.fixture
def page(site: Site, client: Browser) -> Page:
    answer_from(site, client, "/topologies")
    page = site.context.new_page()
    page.on("pageerror", lambda error: site.problems.append(str(error)))
    page.goto(f"{ORIGIN}/topologies/new?original=lenet")
    page.locator(".editor").wait_for()
    return page


def edit(page: Page, old: str, new: str) -> None:
    """Types into the text as a person would who replaces one word."""
    text = page.locator("#prototxt").input_value()
    page.locator("#prototxt").fill(text.replace(old, new, 1))


def test_lines_are_numbered_and_coloured_under_the_same_text(page: Page) -> None:
    text = page.locator("#prototxt").input_value()
    assert page.locator(".editor-colors code").text_content() == text + "\n"
    numbers = (page.locator(".editor-gutter").text_content() or "").split()
    assert numbers == [str(number + 1) for number in range(len(text.split("\n")))]
    expect(page.locator(".editor-colors .code-string").first).to_have_text('"LeNet"')


def test_an_error_is_marked_at_its_line_soon_after_the_last_key(page: Page, site: Site) -> None:
    edit(page, '"Pooling"', '"Poling"')
    issue = page.locator('.issues [data-kind="error"]').first
    expect(issue).to_contain_text('is "Pooling" meant?')
    line = issue.get_attribute("data-line")
    expect(page.locator('.editor-gutter b[data-kind="error"]').first).to_have_text(line or "")
    edit(page, '"Poling"', '"Pooling"')
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.locator(".editor-gutter b")).to_have_count(0)
    assert site.problems == []


def test_a_click_on_a_place_puts_the_cursor_there(page: Page) -> None:
    page.get_by_role("link", name="ip2", exact=True).click()
    at = page.evaluate("() => document.querySelector('#prototxt').selectionStart")
    text = page.locator("#prototxt").input_value()
    assert text[at:].startswith("layer {")
    assert 'name: "ip2"' in text[at : at + 60]
    assert page.evaluate("() => document.activeElement.id") == "prototxt"


def test_the_table_follows_the_input_that_is_typed(page: Page) -> None:
    page.fill("#width", "64")
    expect(page.get_by_text("1 × 20 × 24 × 60")).to_be_visible()
    page.fill("#width", "0")
    expect(page.get_by_text("found “0”")).to_be_visible()


def test_diagram_and_changes_are_one_click_away(page: Page) -> None:
    page.get_by_label("Diagram", exact=True).first.check(force=True)
    expect(page.locator("svg.net-diagram")).to_be_visible()
    edit(page, "num_output: 20", "num_output: 30")
    page.get_by_label("Changes").check(force=True)
    expect(page.get_by_text("convolution_param.num_output: 20 → 30")).to_be_visible()


def test_enter_keeps_the_indent_and_undo_takes_it_back(page: Page) -> None:
    page.locator("#prototxt").fill("layer {")
    page.locator("#prototxt").focus()
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.keyboard.type("x")
    expect(page.locator("#prototxt")).to_have_value("layer {\n  x")
    page.keyboard.press("Control+z")
    if page.locator("#prototxt").input_value() != "layer {":  # whether both are one step is the browser's choice
        page.keyboard.press("Control+z")
    expect(page.locator("#prototxt")).to_have_value("layer {")


def test_the_model_form_marks_faulty_lines_too(site: Site, client: Browser, database: Database) -> None:
    factories.dataset(database)
    answer_from(site, client, "/models")
    page = site.context.new_page()
    page.on("pageerror", lambda error: site.problems.append(str(error)))
    page.goto(f"{ORIGIN}/models/new")
    page.get_by_role("button", name="Edit prototxt").click()
    page.locator(".editor").wait_for()
    edit(page, '"Pooling"', '"Poling"')
    issue = page.locator('.issues [data-kind="error"]').first
    expect(issue).to_contain_text('is "Pooling" meant?')
    place = issue.locator(".place")
    line, column = (place.text_content() or "").split(":")
    expect(page.locator('.editor-gutter b[data-kind="error"]').first).to_have_text(line)
    place.click()
    before = page.locator("#prototxt").evaluate("area => area.value.slice(0, area.selectionStart)")
    assert (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1) == (int(line), int(column))
    assert site.problems == []
