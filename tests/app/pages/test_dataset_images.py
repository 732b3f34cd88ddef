"""The pictures of a dataset: pages, single ones, the mean, the list of what was left out."""

from __future__ import annotations

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.db import Database, Dataset, Status
from app.settings import Settings
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.conftest import Browser
from tests.worker.datasets.pictures import two_classes


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> tuple[Dataset, Path]:
    """A dataset of 400 pictures and two broken files, built once, and the folder of its files."""
    home = tmp_path_factory.mktemp("original")
    (home / "trainyard.sqlite3").write_bytes(migrated_file.read_bytes())
    database, storage = Database.open(Settings(home=home)), Storage(home)
    storage.prepare()
    archive = two_classes(home / "pets.zip", per_class=200, **{"cats/broken.png": b"\x89PNG", "dogs/空.png": b""})
    upload = built.upload_of(database, storage, archive)
    dataset = built.dataset_of(database, storage, upload, channels="color", width=12, height=10)
    database.close()
    return dataset, storage.dataset_dir(dataset.id)


@pytest.fixture
def dataset(database: Database, storage: Storage, original: tuple[Dataset, Path]) -> Dataset:
    return built.copy_of(database, storage, *original)


def pictures_in(html: str) -> list[tuple[str, int]]:
    """(split, number) of every picture on the page."""
    found = re.findall(r'src="/datasets/\d+/images/(\w+)/(\d+)\.png', html)
    return [(split, int(number)) for split, number in found]


def test_the_browser_shows_the_first_pictures_of_the_training_split(client: Browser, dataset: Dataset) -> None:
    page = client.get(f"/datasets/{dataset.id}/images")
    assert page.status_code == 200
    assert pictures_in(page.text) == [("train", number) for number in range(120)]
    assert f'<span class="count">{dataset.count("train")} images</span>' in page.text


def test_each_picture_tells_where_it_came_from(client: Browser, dataset: Dataset) -> None:
    page = client.get(f"/datasets/{dataset.id}/images?split=test").text
    titles = re.findall(r'<figure title="([^"]+)">', page)
    assert len(titles) == dataset.count("test")
    assert re.fullmatch(r"(cats|dogs)/\d{3}\.png · 12 × 10 px · stored in [\d.]+ k?B", titles[0])


def test_a_class_is_shown_alone_over_all_pages(client: Browser, dataset: Dataset) -> None:
    seen: list[tuple[str, int]] = []
    address = f"/datasets/{dataset.id}/images?split=train&class=1"
    while address:
        page = client.get(address).text
        assert "cats</figcaption>" not in page
        seen += pictures_in(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = f"/datasets/{dataset.id}/images{following[1].replace('&amp;', '&')}" if following else ""
    assert len(seen) == len(set(seen)) == dataset.splits["train"]["per_class"][1]


@pytest.mark.parametrize("query", ["split=nope", "class=99", "class=-1", "after=x", "after=99999999999999999999"])
def test_an_odd_address_shows_the_pictures_all_the_same(client: Browser, dataset: Dataset, query: str) -> None:
    page = client.get(f"/datasets/{dataset.id}/images?{query}")
    assert page.status_code == 200
    assert len(pictures_in(page.text)) == 120


def test_a_picture_comes_as_it_is_stored(client: Browser, dataset: Dataset) -> None:
    answer = client.get(f"/datasets/{dataset.id}/images/train/0.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.size, picture.mode) == ((12, 10), "RGB")


def test_a_picture_that_the_browser_has_is_not_sent_again(client: Browser, dataset: Dataset) -> None:
    address = f"/datasets/{dataset.id}/images/train/0.png"
    etag = client.get(address).headers["etag"]
    again = client.get(address, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["train/400.png", "train/99999999999999999999999.png", "nope/0.png", "train/-1.png"])
def test_a_picture_that_there_is_not_is_not_found(client: Browser, dataset: Dataset, path: str) -> None:
    assert client.get(f"/datasets/{dataset.id}/images/{path}").status_code == 404


def test_many_pictures_are_read_at_once(client: Browser, dataset: Dataset) -> None:
    """liblmdb refuses to open one environment twice in a process."""

    def status(number: int) -> int:
        return client.get(f"/datasets/{dataset.id}/images/train/{number}.png").status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(status, range(100))) == {200}


def test_pictures_need_a_session(anonymous: Browser, dataset: Dataset) -> None:
    assert anonymous.get(f"/datasets/{dataset.id}/images/train/0.png").status_code in (303, 401)


def test_the_mean_image_is_the_mean_of_the_training_pictures(client: Browser, dataset: Dataset) -> None:
    total = np.zeros((10, 12, 3))
    for number in range(dataset.count("train")):
        data = client.get(f"/datasets/{dataset.id}/images/train/{number}.png").content
        total += np.asarray(Image.open(io.BytesIO(data)))
    mean = np.asarray(Image.open(io.BytesIO(client.get(f"/datasets/{dataset.id}/mean.png").content)))
    np.testing.assert_allclose(mean, total / dataset.count("train"), atol=0.51)


def test_left_out_files_are_listed_on_a_page_and_as_csv(client: Browser, dataset: Dataset) -> None:
    page = client.get(f"/datasets/{dataset.id}/skipped").text
    assert "cats/broken.png" in page
    answer = client.get(f"/datasets/{dataset.id}/skipped.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert {row["source"]: row["reason"] for row in rows}["dogs/空.png"] == "empty file (0 bytes)"


def test_a_long_list_of_left_out_files_is_paged(client: Browser, database: Database, storage: Storage) -> None:
    dataset = factories.dataset(database)
    folder = storage.dataset_dir(dataset.id)
    folder.mkdir()
    lines = ["source,reason"] + [f'"写真/{number}, odd.png",cut off' for number in range(250)]
    (folder / "skipped.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    seen: list[str] = []
    address = f"/datasets/{dataset.id}/skipped"
    while address:
        page = client.get(address).text
        seen += re.findall(r'title="写真/(\d+), odd\.png"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = f"/datasets/{dataset.id}/skipped{following[1]}" if following else ""
    assert seen == [str(number) for number in range(250)]


def test_a_dataset_that_is_not_built_yet_has_no_pictures(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING)
    for path in ("images", "images/train/0", "images/train/0.png", "mean.png"):
        answer = client.get(f"/datasets/{dataset.id}/{path}")
        assert answer.status_code == 404
    assert "pets 28" in client.get(f"/datasets/{dataset.id}/images").text


def test_files_that_are_gone_are_said_to_be(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database)
    page = client.get(f"/datasets/{dataset.id}/images")
    assert page.status_code == 200
    assert "missing or damaged" in page.text
    assert client.get(f"/datasets/{dataset.id}/images/train/0.png").status_code == 404
    assert client.get(f"/datasets/{dataset.id}/mean.png").status_code == 404
    assert client.get(f"/datasets/{dataset.id}/skipped.csv").status_code == 404


def test_a_class_has_a_mean_image_where_the_build_made_one(client: Browser, dataset: Dataset, storage: Storage) -> None:
    path = storage.dataset_dir(dataset.id) / "class_means.npy"
    np.save(path, np.stack([np.full((10, 12, 3), value, np.uint8) for value in (10, 200)]))
    page = client.get(f"/datasets/{dataset.id}").text
    assert f'src="/datasets/{dataset.id}/means/1.png' in page
    answer = client.get(f"/datasets/{dataset.id}/means/1.png")
    assert Image.open(io.BytesIO(answer.content)).getpixel((0, 0)) == (200, 200, 200)
    assert client.get(f"/datasets/{dataset.id}/means/2.png").status_code == 404
    path.unlink()
    assert "Mean image of each class" not in client.get(f"/datasets/{dataset.id}").text
    assert client.get(f"/datasets/{dataset.id}/means/0.png").status_code == 404


def test_the_table_says_source_class_original_and_stored_size(client: Browser, dataset: Dataset) -> None:
    page = client.get(f"/datasets/{dataset.id}/images?split=test&class=1&view=table").text
    rows = re.findall(
        r'title="(dogs/\d{3}\.png)".*?title="dogs">dogs</td>.*?>12 × 10</td>.*?>(\d+) B</td>', page, re.DOTALL
    )
    assert len(rows) == dataset.splits["test"]["per_class"][1]


def test_a_picture_has_a_page_between_its_neighbours(client: Browser, dataset: Dataset) -> None:
    first = client.get(f"/datasets/{dataset.id}/images/test/0").text
    assert 'rel="prev"' not in first
    assert re.search(r'<dd class="mono break">(cats|dogs)/\d{3}\.png</dd>', first)
    assert "<dd>12 × 10 px</dd>" in first
    assert f'rel="next" href="/datasets/{dataset.id}/images/test/1"' in first
    last = dataset.count("test") - 1
    assert 'rel="next"' not in client.get(f"/datasets/{dataset.id}/images/test/{last}").text
    assert client.get(f"/datasets/{dataset.id}/images/test/{last + 1}").status_code == 404


def test_within_a_class_the_neighbours_are_of_that_class(client: Browser, dataset: Dataset) -> None:
    browsed = client.get(f"/datasets/{dataset.id}/images?split=test&class=1").text
    pages = re.findall(rf'href="(/datasets/{dataset.id}/images/test/\d+\?class=1)"', browsed)
    seen, address = [], pages[0]
    while address:
        seen.append(address)
        following = re.search(r'rel="next" href="([^"]+)"', client.get(address).text)
        address = following[1] if following else ""
    assert seen == pages
    assert f'rel="prev" href="{pages[-2]}"' in client.get(pages[-1]).text
