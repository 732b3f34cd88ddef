"""The list and the page of a dataset, as a browser without JavaScript meets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.db import Database, Job, Status, Upload
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.dataset_form import datasets_in, errors_in, sent
from tests.conftest import Browser, sign_in
from tests.worker.datasets.pictures import file_of, noise, two_classes


@pytest.fixture
def upload(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    return built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))


def test_an_empty_list_offers_what_makes_a_dataset(client: Browser) -> None:
    page = client.get("/datasets").text
    assert "No datasets yet" in page
    assert 'href="/datasets/new"' in page
    assert 'href="/uploads"' in page


def test_a_queued_dataset_shows_its_state_and_can_be_stopped(
    client: Browser, upload: Upload, database: Database
) -> None:
    where = sent(client, upload).headers["location"]
    assert 'data-status="queued"' in client.get(where).text
    assert client.send_form(f"{where}/stop").status_code == 303
    assert datasets_in(database)[0].status == "stopped"
    assert "Build again" in client.get(where).text


def test_a_stopped_build_can_be_queued_again(client: Browser, upload: Upload, database: Database) -> None:
    where = sent(client, upload).headers["location"]
    client.send_form(f"{where}/stop")
    assert client.send_form(f"{where}/build-again").status_code == 303
    assert datasets_in(database)[0].status == "queued"


def test_a_running_build_shows_how_far_it_is_and_what_is_left(
    client: Browser, upload: Upload, database: Database
) -> None:
    where = sent(client, upload).headers["location"]
    with database.write() as session:
        job = Job.claim(session, datasets_in(database)[0].job_id, "tests", 30)
        assert job
        Job.report(session, job.id, job.attempt, 43.0, {"phase": "encoding", "done": 430, "total": 1000}, 12.0)
    page = client.get(where).text
    for text in ("43 %", "430 of 1,000 images", "12 s left", "encoding"):
        assert text in page
    part = client.get(f"{where}/_status")
    assert "43 %" in part.text
    assert "X-Live" not in part.headers


def test_the_live_part_asks_for_a_reload_once_the_build_has_ended(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database)
    assert client.get(f"/datasets/{dataset.id}/_status").headers["X-Live"] == "reload"


def test_a_failed_build_shows_its_reason(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.FAILED)
    with database.write() as session:
        session.get_one(Job, dataset.job_id).error = "No picture of class <cats> can be read"
    page = client.get(f"/datasets/{dataset.id}").text
    assert "No picture of class &lt;cats&gt; can be read" in page
    assert "New model" not in page


def test_a_built_dataset_shows_splits_bars_mean_and_pictures(
    client: Browser, upload: Upload, database: Database, storage: Storage
) -> None:
    dataset = built.dataset_of(database, storage, upload, channels="color", width=12, height=10)
    page = client.get(f"/datasets/{dataset.id}").text
    assert "20 images in 2 classes · 12 × 10 color" in page
    assert "All 20 images were 12 × 10 px." in page
    for text in ("training · 70.0 %", "validation · 10.0 %", "test · 20.0 %", "LMDB, PNG", "New model"):
        assert text in page
    assert f'src="/datasets/{dataset.id}/mean.png' in page
    assert page.count(f'src="/datasets/{dataset.id}/images/train/') == 14
    bars = re.findall(r'<rect data-split="(\w+)" height="100%" x="([\d.]+)%" width="([\d.]+)%"/>', page)
    assert bars[:3] == [("train", "0.0", "70.0"), ("val", "70.0", "10.0"), ("test", "80.0", "20.0")]


def test_a_dataset_with_a_thousand_classes_still_opens(client: Browser, database: Database) -> None:
    names = [f"クラス {number}" for number in range(1000)]
    result = {"classes": names, "splits": {"train": {"count": 1000, "per_class": [1] * 1000}}, "skipped_count": 0}
    dataset = factories.dataset(database, result=result)
    page = client.get(f"/datasets/{dataset.id}")
    assert page.status_code == 200
    assert "クラス 999" in page.text


def test_a_dataset_whose_files_are_gone_says_so(client: Browser, database: Database) -> None:
    page = client.get(f"/datasets/{factories.dataset(database).id}")
    assert page.status_code == 200
    assert "missing or damaged" in page.text


def test_rename_and_notes_are_kept(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database)
    answer = client.send_form(f"/datasets/{dataset.id}/edit", name="名前 2", description="two\nlines")
    assert answer.status_code == 303
    page = client.get(f"/datasets/{dataset.id}").text
    assert "名前 2" in page
    assert "two\nlines" in page
    assert datasets_in(database)[0].job.title == "名前 2"


def test_an_empty_name_is_refused_and_the_old_one_stays(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database)
    answer = client.send_form(f"/datasets/{dataset.id}/edit", name="", description="kept")
    assert answer.status_code == 422
    assert "found nothing" in errors_in(answer.text)["name"]
    assert datasets_in(database)[0].name == dataset.name


def test_delete_takes_row_job_and_files(client: Browser, upload: Upload, database: Database, storage: Storage) -> None:
    dataset = built.dataset_of(database, storage, upload, channels="color", width=12, height=10)
    assert storage.dataset_dir(dataset.id).exists()
    assert client.send_form(f"/datasets/{dataset.id}/delete").headers["location"] == "/datasets"
    assert datasets_in(database) == []
    assert not storage.dataset_dir(dataset.id).exists()
    assert client.get(f"/datasets/{dataset.id}").status_code == 404
    with database.read() as session:
        assert session.get(Job, dataset.job_id) is None


def test_a_dataset_that_models_need_is_not_deleted_and_names_them(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database)
    model = factories.model(database, dataset_id=dataset.id, name="LeNet 1", status=Status.QUEUED)
    answer = client.send_form(f"/datasets/{dataset.id}/delete")
    assert answer.status_code == 409
    assert "1 model needs it" in answer.text
    assert f'href="/models/{model.id}"' in answer.text
    assert len(datasets_in(database)) == 1


def test_a_dataset_is_not_deleted_while_it_is_built(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING)
    answer = client.send_form(f"/datasets/{dataset.id}/delete")
    assert answer.status_code == 409
    assert "Stop it first" in answer.text


def test_only_its_owner_or_an_administrator_changes_a_dataset(app: FastAPI, database: Database) -> None:
    owner, other = factories.user(database), factories.user(database)
    dataset = factories.dataset(database, user_id=owner.id, status=Status.QUEUED)
    with Browser(app, base_url="http://localhost", follow_redirects=False) as browser:
        sign_in(browser, database, other)
        page = browser.get(f"/datasets/{dataset.id}").text
        assert "Delete" not in page.split('id="main"')[1]
        for verb in ("delete", "stop", "build-again", "edit"):
            assert browser.send_form(f"/datasets/{dataset.id}/{verb}", name="mine now").status_code == 403
    assert datasets_in(database)[0].name == dataset.name


def test_the_list_filters_by_name_and_status_and_sorts(client: Browser, database: Database) -> None:
    for name in ("beta", "alpha", "gamma"):
        factories.dataset(database, name=name)
    factories.dataset(database, name="broken", status=Status.FAILED)
    page = client.get("/datasets").text
    assert "4 datasets, 1 failed" in re.sub(r"\s+", " ", page)

    def names(query: str) -> list[str]:
        return re.findall(
            r'class="row-link" href="/datasets/\d+" title="([^"]+)"', client.get(f"/datasets?{query}").text
        )

    assert names("") == ["broken", "gamma", "alpha", "beta"]
    assert names("sort=name") == ["alpha", "beta", "broken", "gamma"]
    assert names("sort=-name") == ["gamma", "broken", "beta", "alpha"]
    assert names("q=ALPH") == ["alpha"]
    assert names("q=%25") == []
    assert names("status=failed") == ["broken"]
    assert names("sort=nonsense&status=nonsense&after=nonsense") == ["broken", "gamma", "alpha", "beta"]


@pytest.mark.parametrize("sort", ["-created", "created", "name", "-name"])
def test_the_pages_of_a_long_list_hold_each_dataset_once(client: Browser, database: Database, sort: str) -> None:
    for number in range(120):
        factories.dataset(database, name=f"same {number % 3}", upload_id=None)
    seen: list[str] = []
    address = f"/datasets?sort={sort}"
    while address:
        page = client.get(address).text
        seen += re.findall(r'class="row-link" href="/datasets/(\d+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = "/datasets" + following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == len(set(seen)) == 120


def test_the_list_follows_running_builds_and_then_rests(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, status=Status.RUNNING)
    assert "X-Live" not in client.get("/datasets/_table").headers
    with database.write() as session:
        session.get_one(Job, dataset.job_id).status = Status.DONE
    assert client.get("/datasets/_table").headers["X-Live"] == "end"


def test_names_are_shown_as_text_never_as_html(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, name="<script>alert(1)</script>", description="<b>x</b>")
    for path in ("/datasets", f"/datasets/{dataset.id}"):
        assert "<script>alert" not in client.get(path).text


def test_every_unreadable_file_is_listed_with_its_reason(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    archive = two_classes(tmp_path / "a.zip", **{"cats/zero.png": b"", "dogs/page.jpg": b"<html>no</html>"})
    dataset = built.dataset_of(database, storage, built.upload_of(database, storage, archive), width=12, height=10)
    page = client.get(f"/datasets/{dataset.id}").text
    assert "cats/zero.png" in page
    assert "empty file (0 bytes)" in page
    assert "an HTML page" in client.get(f"/datasets/{dataset.id}/skipped").text


def test_the_gray_channel_is_shown_where_pictures_are_gray(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    picture = file_of(noise(1, 8, 8, channels=1))
    archive = two_classes(tmp_path / "a.zip", **{"cats/gray.png": picture})
    dataset = built.dataset_of(database, storage, built.upload_of(database, storage, archive), width=8, height=8)
    assert "greyscale" in client.get(f"/datasets/{dataset.id}").text
