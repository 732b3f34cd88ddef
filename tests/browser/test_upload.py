"""Sending a file from the browser: with a bar, and on where it stopped after a reload."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from app.db import Database, Upload
from app.settings import Settings
from tests.browser.conftest import shot
from tests.server import Server

SLOW_BYTES_PER_S = 400_000


def archive(path: Path, images: int, side: int) -> Path:
    """Noise, which no packing makes smaller."""
    dice = np.random.default_rng(1)
    with zipfile.ZipFile(path, "w") as target:
        for number in range(images):
            file = io.BytesIO()
            Image.fromarray(dice.integers(0, 255, (side, side), dtype=np.uint8)).save(file, "PNG")
            target.writestr(f"{('猫', '犬')[number % 2]}/{number}.png", file.getvalue())
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return archive(tmp_path / "小さい.zip", images=20, side=28)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    return archive(tmp_path / "pets.zip", images=40, side=300)  # about 3.6 MB: nine seconds on the slow line


def slow_down(context: BrowserContext, page: Page) -> None:
    line = context.new_cdp_session(page)
    line.send("Network.enable")
    line.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": SLOW_BYTES_PER_S},
    )


def digest_of(site: Server, page: Page) -> str | None:
    """The SHA-256 of the upload whose page this is, as the server's row has it."""
    database = Database.open(Settings(home=site.home))
    with database.read() as session:
        row = session.get_one(Upload, int(page.url.rpartition("/")[2]))
    database.close()
    return row.sha256


def newest(site: Server) -> list[Path]:
    """What has arrived of the newest upload."""
    folder = max((site.home / "uploads").iterdir(), key=lambda path: int(path.name) if path.name.isdigit() else 0)
    return list(folder.glob("archive"))


def test_a_file_chosen_before_the_script_has_come_is_sent(page: Page, small: Path) -> None:
    held: list[Route] = []
    page.route("**/js/main.js*", lambda route: held.append(route), times=1)
    page.goto("/uploads", wait_until="commit")
    page.locator("input[type=file]").set_input_files(small)
    held[0].continue_()
    page.wait_for_url(re.compile(r"/uploads/\d+$"))


def test_a_chosen_file_is_sent_with_a_bar_and_its_classes_appear(
    page: Page, context: BrowserContext, site: Server, big: Path
) -> None:
    page.goto("/uploads")
    slow_down(context, page)
    page.get_by_label("Name", exact=True).first.fill("ペット")
    page.locator("input[type=file]").set_input_files(big)
    transfer = page.locator("[data-upload-list] > *").first
    expect(transfer).to_contain_text("pets.zip")
    expect(transfer).to_contain_text(re.compile(r"\d.*/s"), timeout=20_000)  # its rate
    expect(transfer).to_contain_text(re.compile(r"left", re.IGNORECASE))
    shot(page, "uploads-sending")
    page.wait_for_url(re.compile(r"/uploads/\d+$"))
    main = page.get_by_role("main")
    expect(main).to_contain_text("ペット")
    expect(main).to_contain_text("猫", timeout=30_000)
    expect(main).to_contain_text("犬")
    assert digest_of(site, page) == hashlib.sha256(big.read_bytes()).hexdigest()


def test_a_reload_in_mid_upload_costs_nothing(page: Page, context: BrowserContext, site: Server, big: Path) -> None:
    offsets: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
    page.goto("/uploads")
    slow_down(context, page)
    with page.expect_response(lambda answer: answer.request.method == "POST"):  # announced: its folder is there
        page.locator("input[type=file]").set_input_files(big)
    while not any(path.stat().st_size >= 2**20 for path in newest(site)):
        page.wait_for_timeout(100)
    assert re.search(r"/uploads$", page.url), "the file was sent before the reload"

    page.reload()
    offsets.clear()
    page.locator("input[type=file]").set_input_files(big)
    page.wait_for_url(re.compile(r"/uploads/\d+$"))
    assert offsets[0] >= 2**20, "it began again at the first byte"
    expect(page.get_by_role("main")).to_contain_text("猫", timeout=30_000)
    assert digest_of(site, page) == hashlib.sha256(big.read_bytes()).hexdigest()


def test_a_cancelled_upload_leaves_nothing(page: Page, context: BrowserContext, site: Server, big: Path) -> None:
    page.goto("/uploads")
    slow_down(context, page)
    before = {path.name for path in (site.home / "uploads").iterdir()}
    page.locator("input[type=file]").set_input_files(big)
    transfer = page.locator("[data-upload-list] > *")
    expect(transfer.first).to_contain_text("pets.zip")
    page.wait_for_timeout(1_000)
    transfer.first.get_by_role("button", name=re.compile("Cancel")).click()
    expect(transfer).to_have_count(0)
    page.wait_for_timeout(500)
    assert {path.name for path in (site.home / "uploads").iterdir() if path.is_dir()} <= before


def test_what_is_no_archive_is_refused_where_it_was_chosen(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "notes.zip"
    path.write_text("not an archive")
    page.goto("/uploads")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("main")).to_contain_text(re.compile("archive", re.IGNORECASE))
    expect(page.locator("main [data-status=failed], main .error").first).to_be_visible(timeout=30_000)


def test_a_file_is_sent_without_javascript(plain_page: Page, site: Server, small: Path) -> None:
    plain_page.goto("/uploads")
    plain_page.locator("input[type=file]").set_input_files(small)
    plain_page.get_by_role("button", name="Upload", exact=True).click()
    plain_page.wait_for_url(re.compile(r"/uploads/\d+$"))
    expect(plain_page.get_by_role("main")).to_contain_text("猫")
    assert digest_of(site, plain_page) == hashlib.sha256(small.read_bytes()).hexdigest()
