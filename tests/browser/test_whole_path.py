"""The main job as a new user does it: sample → dataset → model → watch → test a picture → download."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, shot
from tests.server import wait_until

MINUTES_MS = 4 * PATIENCE_MS


DELETE_ALL_UPLOADS = """async () => {
  const headers = { "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content };
  const { items } = await (await fetch("/api/v1/uploads")).json();
  for (const upload of items) await fetch(`/api/v1/uploads/${upload.id}`, { method: "DELETE", headers });
}"""


def points(page: Page) -> int:
    """How many points the loss chart has drawn."""
    return int(
        page.evaluate(
            "() => (document.querySelector('[data-figure=loss]')?.data ?? [])"
            ".reduce((sum, trace) => sum + (trace.x?.length ?? 0), 0)"
        )
    )


def status(page: Page, word: str, timeout_ms: int = MINUTES_MS) -> None:
    expect(page.locator("main [data-status]").first).to_have_attribute("data-status", word, timeout=timeout_ms)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A handwritten 3 as the sample has them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images[list(digits.target).index(3)] * (255 / 16)).astype("uint8")
    path = tmp_path_factory.mktemp("picture") / "三.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_new_user_trains_tests_and_downloads_a_model(page: Page, picture: Path, tmp_path: Path) -> None:
    page.goto("/")
    shot(page, "home-empty")
    use_the_sample(page)
    make_a_dataset(page)
    train_a_model(page)
    watch_it(page)
    look_inside(page, picture)
    download_it(page, tmp_path)
    page.goto("/")
    shot(page, "home")


def use_the_sample(page: Page) -> None:
    page.goto("/uploads")
    page.evaluate(DELETE_ALL_UPLOADS)  # what the tests before this one have left
    page.reload()
    shot(page, "uploads-empty")
    page.get_by_role("button", name=re.compile("sample")).click()
    page.wait_for_url("**/uploads/*")
    expect(page.get_by_role("main")).to_contain_text("1,797", timeout=PATIENCE_MS)
    shot(page, "upload")


def make_a_dataset(page: Page) -> None:
    page.goto("/datasets/new")
    page.get_by_label("Upload", exact=True).select_option(index=0)
    for label, value in (("Training", "70"), ("Validation", "10"), ("Test", "20")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Greyscale").check()
    page.get_by_label("Width").fill("28")
    page.get_by_label("Height").fill("28")
    page.get_by_label("Name", exact=True).fill("Digits 28 × 28")
    expect(page.locator("[data-sum]")).to_contain_text("100")
    shot(page, "dataset-new")
    page.get_by_role("button", name="Create dataset").click()
    page.wait_for_url(re.compile(r"/datasets/\d+$"))
    expect(page.get_by_role("main")).to_contain_text("1,258", timeout=MINUTES_MS)  # 70 % within every class
    shot(page, "dataset")
    page.goto(f"{page.url}/images")
    assert page.locator("main img").count() >= 10
    shot(page, "dataset-images")


def train_a_model(page: Page) -> None:
    page.goto("/topologies")
    shot(page, "topologies")
    page.goto("/topologies/lenet")
    expect(page.get_by_role("main")).to_contain_text("431,080")
    shot(page, "topology")
    page.goto("/models/new")
    page.get_by_label("Dataset", exact=True).select_option(index=0)
    page.get_by_role("radio", name=re.compile("^LeNet")).check()
    expect(page.get_by_role("main")).to_contain_text("431,080")
    page.get_by_label("Epochs", exact=True).fill("12")
    page.get_by_label("Name", exact=True).last.fill("LeNet on digits")
    shot(page, "model-new")
    page.get_by_role("button", name="Train model").last.click()
    page.wait_for_url(re.compile(r"/models/\d+$"))


def watch_it(page: Page) -> None:
    """Points come, the status changes, and the page is never loaded again."""
    page.evaluate("window.neverLoadedAgain = true")
    status(page, "running")
    page.wait_for_function("() => document.querySelector('[data-figure=loss]')?.data?.length", timeout=MINUTES_MS)
    first = points(page)
    shot(page, "model-running")
    status(page, "done")
    wait_until(lambda: points(page) > first, "more points")
    assert page.evaluate("window.neverLoadedAgain") is True
    expect(page.get_by_role("main")).to_contain_text("test accuracy")
    shot(page, "model")


def look_inside(page: Page, picture: Path) -> None:
    page.reload()
    page.get_by_label("Picture").set_input_files(picture)
    page.get_by_role("button", name="Test picture").click()
    page.wait_for_url(re.compile(r"/predictions/\d+$"))
    expect(page.locator("ol.top > li")).to_have_count(5, timeout=MINUTES_MS)
    expect(page.locator("ol.top > li").first.locator(".top-label")).to_have_text("3")
    expect(page.locator("article.layer", has_text="conv1").first).to_be_visible()
    for image in page.locator("main img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 0, image.get_attribute("src")
    shot(page, "prediction")


def download_it(page: Page, folder: Path) -> None:
    page.goto(re.sub(r"/predictions/\d+$", "", page.url))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).first.click()
    assert download.value.suggested_filename == "LeNet on digits epoch 12.zip"
    download.value.save_as(folder / "model.zip")
    with zipfile.ZipFile(folder / "model.zip") as archive:
        assert archive.testzip() is None
        assert {"deploy.prototxt", "weights.safetensors", "info.json"} <= set(archive.namelist())
