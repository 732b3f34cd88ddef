"""The dataset form in a browser, answered by the real application: the sum, the preview, the guesses."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.db import Database
from app.storage import Storage
from tests.app import built
from tests.conftest import Browser
from tests.static.answered import answer_from
from tests.static.conftest import ORIGIN, Site
from tests.worker.datasets.pictures import file_of, noise, two_classes, zip_of


@pytest.fixture
def page(site: Site, client: Browser, database: Database, storage: Storage, tmp_path: Path) -> Page:
    """The form with two uploads, the colour one chosen; the other one is grey and 9 × 9."""
    gray = {f"{name}/{n}.png": file_of(noise(n, 9, 9, channels=1)) for name in ("灰", "b") for n in range(10)}
    built.upload_of(database, storage, zip_of(tmp_path / "gray.zip", gray), name="gray ones")
    built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    answer_from(site, client, "/datasets")
    page = site.context.new_page()
    page.on("pageerror", lambda error: site.problems.append(str(error)))
    page.goto(f"{ORIGIN}/datasets/new")
    return page


def test_the_sum_follows_what_is_typed(page: Page, site: Site) -> None:
    total = page.locator("[data-sum]")
    expect(total).to_have_text("100 %")
    page.fill("#val_percent", "15")
    expect(total).to_have_text("105 %, +5")
    page.fill("#test_percent", "")
    expect(total).to_have_text("–")
    page.fill("#test_percent", "１５")
    expect(total).to_have_text("100 %")
    assert site.problems == []


def test_the_counts_follow_the_percentages(page: Page) -> None:
    row = page.get_by_role("row", name="cats")
    expect(row).to_contain_text("10 7 1 2")
    page.fill("#train_percent", "50")
    expect(page.get_by_text("The three parts add up to 80 %")).to_be_visible()
    page.fill("#test_percent", "40")
    expect(row).to_contain_text("10 5 1 4")


def test_another_upload_brings_its_classes_and_fills_what_nobody_touched(page: Page) -> None:
    page.fill("#width", "64")
    page.select_option("#upload_id", label="gray ones · 20 images in 2 classes")
    expect(page.get_by_role("row", name="灰")).to_be_visible()
    expect(page.locator("#height")).to_have_value("9")
    expect(page.locator("#name")).to_have_value("gray ones")
    expect(page.get_by_label("Greyscale")).to_be_checked()
    expect(page.locator("#width")).to_have_value("64")


def test_the_button_for_browsers_without_javascript_is_not_shown(page: Page) -> None:
    expect(page.get_by_role("button", name="Show classes, counts and previews")).to_be_hidden()


def test_the_quality_is_asked_for_with_jpeg_only(page: Page) -> None:
    quality = page.locator("#jpeg_quality")
    expect(quality).to_be_hidden()
    page.locator("input[name=encoding][value=jpeg]").check()
    expect(quality).to_be_visible()


def test_previews_are_drawn_at_once_and_again_when_a_choice_changes(page: Page, site: Site) -> None:
    resized = page.get_by_role("region", name="Images of this upload in each resize method")
    row = resized.get_by_role("row", name="12 × 10").first
    drawn = row.get_by_role("img", name="Crop", exact=True)
    expect(drawn).to_have_attribute("width", "12")
    page.fill("#width", "30")
    expect(drawn).to_have_attribute("width", "30")
    filled = row.get_by_role("img", name="Half crop, half fill")
    before = filled.get_attribute("src")
    page.check("[name=resize_mode][value=half_crop]")
    page.select_option("#fill", "color")
    page.fill("#fill_color", "#ff0000")
    expect(filled).not_to_have_attribute("src", before or "")
    page.select_option("#upload_id", label="gray ones · 20 images in 2 classes")
    expect(resized.get_by_role("row", name="9 × 9").first).to_be_visible()
    assert site.problems == []


def test_the_colour_of_the_borders_is_asked_for_where_it_matters(page: Page) -> None:
    expect(page.locator("#fill")).to_be_hidden()
    page.check("[name=resize_mode][value=fill]")
    expect(page.locator("#fill")).to_be_visible()
    expect(page.locator("#fill_color")).to_be_hidden()
    page.select_option("#fill", "color")
    expect(page.locator("#fill_color")).to_be_visible()


def test_copies_are_drawn_while_their_alterations_are_typed(page: Page) -> None:
    page.get_by_text("Data augmentation").click()
    page.fill("#copies", "2")
    expect(page.get_by_text("Choose at least one alteration")).to_be_visible()
    page.check("#mirror")
    expect(page.get_by_role("img", name="Copy 2").first).to_be_visible()
