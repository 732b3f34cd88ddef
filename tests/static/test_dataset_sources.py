"""The first step of the dataset form in a browser: what is shown follows what is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from app.db import Database
from app.storage import Storage
from tests.app import built
from tests.app.source_archives import folders_zip, list_of, lists_zip, lmdb_zip, loose_zip
from tests.conftest import Browser
from tests.static.answered import answer_from
from tests.static.conftest import ORIGIN, Site
from tests.worker.datasets.test_lmdb_source import caffe_lmdb, packed


@pytest.fixture
def page(site: Site, client: Browser, database: Database, storage: Storage, tmp_path: Path) -> Page:
    """The form with an upload of lists, and the newest, in class folders, chosen."""
    built.upload_of(database, storage, lists_zip(tmp_path / "listed.zip"), name="listed")
    folders = {"train/cats": 10, "train/dogs": 10, "val/cats": 3, "val/owls": 2}
    built.upload_of(database, storage, folders_zip(tmp_path / "pets.zip", folders), name="pets")
    answer_from(site, client, "/datasets")
    page = site.context.new_page()
    page.on("pageerror", lambda error: site.problems.append(str(error)))
    page.goto(f"{ORIGIN}/datasets/new")
    return page


def test_a_split_from_another_folder_has_no_percentage(page: Page, site: Site) -> None:
    page.get_by_text("Only a folder of it, or more uploads").click()
    page.fill("#within", "train")
    page.get_by_text("Other folders for validation and test").click()
    page.select_option("#val_upload_id", "same")
    expect(page.locator("#val_percent")).to_be_hidden()
    expect(page.locator("#train_percent")).to_have_value("80")
    page.fill("#val_within", "val")
    expect(page.get_by_text("left out of validation: owls (2)")).to_be_visible()
    expect(page.get_by_role("row", name="cats")).to_contain_text("13 8 3 2")
    expect(page.locator("#within")).to_have_value("train")
    page.select_option("#val_upload_id", "")
    expect(page.locator("#val_percent")).to_be_visible()
    expect(page.locator("#train_percent")).to_have_value("70")
    assert site.problems == []


def test_lists_are_offered_with_the_upload_that_holds_them(page: Page, site: Site) -> None:
    expect(page.locator("#list_train")).to_be_hidden()
    page.select_option("#upload_id", label="listed · 3 lists")
    expect(page.locator("#list_train")).to_have_value("train.txt")
    expect(page.locator("#train_percent")).to_be_hidden()  # nothing is divided
    expect(page.get_by_role("row", name="cat")).to_contain_text("6 4 1 1")
    expect(page.locator("#name")).to_have_value("listed")
    page.set_input_files(
        "[name=file_train]", {"name": "mine.txt", "mimeType": "text/plain", "buffer": list_of(range(6))}
    )
    expect(page.locator("#list_train")).to_have_value("")
    expect(page.get_by_role("row", name="cat")).to_contain_text("5 3 1 1")
    assert site.problems == []


def test_the_lmdb_of_another_upload_follows_it(
    page: Page, site: Site, database: Database, storage: Storage, tmp_path: Path
) -> None:
    built.upload_of(database, storage, lmdb_zip(tmp_path / "both"), name="both")
    one = packed(caffe_lmdb(tmp_path / "val", [0, 1], seed=50), tmp_path / "val.zip")
    built.upload_of(database, storage, one, name="val")
    page.goto(f"{ORIGIN}/datasets/new")
    page.select_option("#upload_id", label="both · 2 LMDBs")
    expect(page.locator("#database_val")).to_have_value("digits_val_lmdb")
    page.select_option("#database_val_upload_id", label="val · 1 LMDB")
    expect(page.locator("#database_val")).to_have_value(".")
    expect(page.locator("#database_train")).to_have_value("digits_train_lmdb")
    expect(page.locator("#val_percent")).to_be_hidden()
    page.select_option("#database_val_upload_id", "")
    expect(page.locator("#database_val")).to_have_value("")
    expect(page.locator("#val_percent")).to_be_visible()
    expect(page.locator("#train_percent")).to_have_value("70")
    assert site.problems == []


def test_a_list_of_ones_own_over_another_upload_is_counted(
    page: Page, site: Site, database: Database, storage: Storage, tmp_path: Path
) -> None:
    built.upload_of(database, storage, loose_zip(tmp_path / "loose.zip"), name="loose")
    page.goto(f"{ORIGIN}/datasets/new")
    expect(page.locator("#list_train")).to_be_visible()  # there are no class folders
    expect(page.get_by_text("Choose the training list")).to_be_visible()
    for name, text in (("train", list_of(range(10))), ("val", list_of(range(3))), ("labels", b"cat\ndog\n")):
        page.set_input_files(f"[name=file_{name}]", {"name": f"{name}.txt", "mimeType": "text/plain", "buffer": text})
    page.get_by_text("Where the images of the lists lie").click()
    page.select_option("#list_val_upload_id", label="pets · 25 images in 3 classes")
    expect(page.get_by_role("row", name="cat")).to_contain_text("7 4 2 1")
    assert site.problems == []


def test_what_is_typed_while_choices_are_drawn_anew_stays(page: Page) -> None:
    held: list[Route] = []
    page.route(re.compile("/_sources"), lambda route: held.append(route))
    page.get_by_text("Only a folder of it, or more uploads").click()
    page.get_by_text("Other folders for validation and test").click()
    with page.expect_request(re.compile("/_sources")):
        page.select_option("#val_upload_id", "same")
    page.fill("#within", "train")
    held[0].fallback()
    expect(page.locator("#val_within-folders option")).to_have_count(2)  # train and val
    expect(page.locator("#within")).to_have_value("train")


def test_a_row_for_another_upload_appears(page: Page) -> None:
    page.get_by_text("Only a folder of it, or more uploads").click()
    page.select_option("#more_1_upload_id", label="listed · 3 lists")
    expect(page.locator("#more_2_upload_id")).to_be_visible()


def test_what_was_chosen_before_the_script_came_counts(page: Page, site: Site) -> None:
    held: list[Route] = []
    page.route("**/dataset-wizard.js", lambda route: held.append(route))
    with page.expect_request("**/dataset-wizard.js"):
        page.goto(f"{ORIGIN}/datasets/new", wait_until="commit")
    page.select_option("#upload_id", label="listed · 3 lists")
    held[0].fallback()
    expect(page.locator("#list_train")).to_have_value("train.txt")
    assert site.problems == []
