"""The preview of the first batch in a browser, drawn by the real worker."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from app.db import Database, Lane
from app.settings import Settings
from app.storage import Storage
from tests.app import built
from tests.conftest import Browser
from tests.static.answered import answer_from
from tests.static.conftest import ORIGIN, Site
from tests.worker.datasets.pictures import two_classes
from worker.tasks import LaneWorker


def test_it_appears_in_the_form_and_tells_when_the_form_has_gone_on(
    site: Site, client: Browser, settings: Settings, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    built.dataset_of(database, storage, upload, channels="color", width=12, height=10)
    for prefix in ("/models", "/first-batches"):
        answer_from(site, client, prefix)
    page = site.context.new_page()
    page.on("pageerror", lambda error: site.problems.append(str(error)))
    page.goto(f"{ORIGIN}/models/new")
    page.fill("#name", "kept")
    page.fill("#rotation_degrees", "500")
    button, place = page.get_by_role("button", name="Preview first batch"), page.locator("#first-batch")
    button.click()
    expect(place).to_contain_text("Expected a number from 0 to 180, found “500”.")
    page.fill("#rotation_degrees", "20")
    page.fill("#batch_size", "5, 9")
    button.click()
    expect(place).to_contain_text("queued")
    worker = LaneWorker(settings, Lane.PREDICT)
    worker.work()
    worker.database.close()
    expect(place.get_by_role("img")).to_have_count(5)
    assert place.get_by_role("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 12
    stale = page.locator("[data-stale]")
    expect(stale).to_be_hidden()
    page.fill("#zoom", "0.1")
    expect(stale).to_be_visible()
    page.fill("#zoom", "0")
    expect(stale).to_be_hidden()
    expect(page.locator("#name")).to_have_value("kept")
    assert site.problems == []
