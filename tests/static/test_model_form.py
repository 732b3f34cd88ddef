"""The model form in a browser: what follows the chosen topology, and what a person has typed stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.db import Database, Snapshot, Status
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.conftest import Browser
from tests.static.answered import answer_from
from tests.static.conftest import ORIGIN, Site
from tests.worker.datasets.pictures import two_classes


@pytest.fixture
def page(site: Site, client: Browser, database: Database, storage: Storage, tmp_path: Path) -> Page:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))
    built.dataset_of(database, storage, upload, channels="color", width=32, height=32, name="pets")
    answer_from(site, client, "/models")
    page = site.context.new_page()
    page.on("pageerror", lambda error: site.problems.append(str(error)))
    page.goto(f"{ORIGIN}/models/new")
    return page


def test_name_and_transformation_follow_the_topology(page: Page, site: Site) -> None:
    expect(page.locator("#name")).to_have_value("LeNet on pets")
    page.get_by_role("radio", name=re.compile("^CIFAR-10 quick")).check()
    expect(page.locator("#name")).to_have_value("CIFAR-10 quick on pets")
    expect(page.locator("#scale")).to_have_value("1")
    expect(page.locator("#base_lr")).to_have_value("0.001")
    expect(page.get_by_role("radio", name=re.compile("^Mean image"))).to_be_checked()
    expect(page.get_by_text("0.001: from 0.001 to")).to_be_visible()  # the schedule is drawn anew
    page.get_by_role("radio", name=re.compile("^LeNet")).check()
    expect(page.locator("#scale")).to_have_value("0.00390625")
    expect(page.get_by_role("radio", name=re.compile("^None as in"))).to_be_checked()
    assert site.problems == []


def test_what_a_person_has_typed_stays(page: Page) -> None:
    page.fill("#name", "my own")
    page.fill("#scale", "0.5")
    page.get_by_role("radio", name=re.compile("^Mean pixel")).check()
    page.get_by_role("radio", name=re.compile("^CIFAR-10 quick")).check()
    expect(page.locator("#base_lr")).to_have_value("0.001")
    expect(page.locator("#name")).to_have_value("my own")
    expect(page.locator("#scale")).to_have_value("0.5")
    expect(page.get_by_role("radio", name=re.compile("^Mean pixel"))).to_be_checked()


def test_what_to_do_with_loaded_weights_is_asked_once_there_are_some(page: Page, database: Database) -> None:
    freeze = page.get_by_label("Train only what is new")
    expect(page.get_by_label("Start from")).to_be_visible()
    expect(freeze).to_be_hidden()
    expect(page.locator("#start_snapshot")).to_be_hidden()
    model = factories.model(database, status=Status.DONE, name="猫")
    with database.write() as session:
        session.add(
            Snapshot(
                model_id=model.id,
                attempt=1,
                iteration=9,
                epoch=1.0,
                path="models/1/snapshots/1",
                size_bytes=1,
                metrics={},
            )
        )
    page.reload()
    page.get_by_label("Start from").select_option(f"model:{model.id}")
    expect(freeze).to_be_visible()
    expect(page.locator("#start_snapshot")).to_be_visible()
