"""The check-up of a dataset with planted faults, and the new version without them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.db import Database, Dataset, Status, Upload
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.dataset_form import FORM, datasets_in
from tests.conftest import Browser
from tests.worker.datasets.pictures import file_of, noise, two_classes

SAME = {f"dogs/same-{number}.png": file_of(noise(7_000)) for number in range(6)}  # six times in one class
TORN = {f"{name}/torn.png": file_of(noise(8_000)) for name in ("cats", "dogs")}  # one picture, two labels
OPTIONS = {
    "train_percent": 70,
    "val_percent": 10,
    "test_percent": 20,
    "resize_mode": "squash",
    "encoding": "png",
    "seed": 1,
}


@pytest.fixture
def dataset(database: Database, storage: Storage, tmp_path: Path) -> Dataset:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "pets.zip", per_class=20, **SAME, **TORN))
    return built.dataset_of(
        database, storage, upload, name="pets", channels="color", width=12, height=10, options=OPTIONS
    )


def sources(storage: Storage, dataset_id: int) -> list[str]:
    folder = storage.dataset_dir(dataset_id)
    lines = [line for split in ("train", "val", "test") for line in (folder / f"{split}.txt").read_text().splitlines()]
    return sorted(line.rpartition(" ")[0] for line in lines)


def test_the_page_of_the_dataset_tells_what_was_found(client: Browser, dataset: Dataset) -> None:
    page = client.get(f"/datasets/{dataset.id}").text
    rows = dict(re.findall(r'checkup\?finding=(\w+)">.*?</th>\s*<td class="number">([\d,]+)</td>', page, re.DOTALL))
    assert (rows["exact"], rows["two_labels"]) == ("2", "1")


def test_pictures_are_side_by_side_with_their_class_and_split(client: Browser, dataset: Dataset) -> None:
    page = client.get(f"/datasets/{dataset.id}/checkup?finding=two_labels").text
    shown = re.findall(r'<figure title="([^"]+)">.*?<figcaption>(\w+) ·', page, re.DOTALL)
    assert shown == [("cats/torn.png", "cats"), ("dogs/torn.png", "dogs")] or sorted(shown) == [
        ("cats/torn.png", "cats"),
        ("dogs/torn.png", "dogs"),
    ]
    for url in re.findall(r'<img[^>]* src="([^"]+)"', page):
        assert client.get(url).status_code == 200


def test_keep_one_makes_a_version_with_one_of_each_and_none_of_two_labels(
    client: Browser, dataset: Dataset, database: Database, storage: Storage
) -> None:
    answer = client.send_form(
        f"/datasets/{dataset.id}/versions", drop_exact="true", drop_two_labels="true", keep="one", submission="once"
    )
    again = client.send_form(f"/datasets/{dataset.id}/versions", drop_exact="true", keep="one", submission="once")
    version = datasets_in(database)[-1]
    assert answer.headers["location"] == again.headers["location"] == f"/datasets/{version.id}"
    assert (version.name, version.options["parent_id"], version.options["dropped_count"]) == ("pets v2", dataset.id, 7)
    built.make(database, storage, version.id)
    before, after = sources(storage, dataset.id), sources(storage, version.id)
    assert len(before) - len(after) == 7
    assert len([source for source in after if "same" in source]) == 1
    assert not [source for source in after if "torn" in source]
    page = client.get(f"/datasets/{version.id}").text
    assert f'<a href="/datasets/{dataset.id}">pets</a>' in page
    assert "7 pictures" in page
    assert f'<a href="/datasets/{version.id}">pets v2</a>' in client.get(f"/datasets/{dataset.id}").text


def test_drop_all_leaves_none_of_a_group(
    client: Browser, dataset: Dataset, database: Database, storage: Storage
) -> None:
    client.send_form(f"/datasets/{dataset.id}/versions", drop_exact="true", keep="none", submission="all")
    version = built.make(database, storage, datasets_in(database)[-1].id)
    assert not [source for source in sources(storage, version.id) if "same" in source or "torn" in source]


def test_a_version_of_a_version_leaves_out_what_both_leave_out(
    client: Browser, dataset: Dataset, database: Database, storage: Storage
) -> None:
    client.send_form(f"/datasets/{dataset.id}/versions", drop_two_labels="true", keep="one", submission="1")
    second = built.make(database, storage, datasets_in(database)[-1].id)
    client.send_form(f"/datasets/{second.id}/versions", drop_exact="true", keep="one", submission="2")
    third = built.make(database, storage, datasets_in(database)[-1].id)
    assert third.name == "pets v3"
    assert len([source for source in sources(storage, third.id) if "same" in source or "torn" in source]) == 1


def test_a_version_is_built_when_its_parent_is_gone(
    client: Browser, dataset: Dataset, database: Database, storage: Storage
) -> None:
    client.send_form(f"/datasets/{dataset.id}/versions", drop_exact="true", keep="one", submission="1")
    version_id = datasets_in(database)[-1].id
    assert client.send_form(f"/datasets/{dataset.id}/delete").status_code == 303
    built.make(database, storage, version_id)
    assert "pets (deleted)" in client.get(f"/datasets/{version_id}").text


def test_only_what_is_ticked_is_dropped(
    client: Browser, dataset: Dataset, database: Database, storage: Storage
) -> None:
    """Somebody knows after all which of two labels is right."""
    page = client.get(f"/datasets/{dataset.id}/checkup?finding=two_labels").text
    ticks = dict(re.findall(r'name="(tick_\w+)" value="true"> drop<span class="visually-hidden"> ([^<]+)</span>', page))
    (wrong,) = [name for name, source in ticks.items() if source == "cats/torn.png"]
    client.send_form(f"/datasets/{dataset.id}/versions", **{wrong: "true"}, drop_exact="true", keep="ticked")
    version = built.make(database, storage, datasets_in(database)[-1].id)
    assert set(sources(storage, dataset.id)) - set(sources(storage, version.id)) == {"cats/torn.png"}
    assert "1 picture: chosen one by one" in client.get(f"/datasets/{version.id}").text


@pytest.mark.parametrize(("form", "told"), [
    ({"keep": "ticked"}, "No image is ticked."),
    ({"keep": "one", "drop_exact": "true", "tick_train_0": "true"}, "Images are ticked: choose"),
    ({"keep": "ticked", "tick_train_99999999": "true"}, "There is no image 99,999,999 in training."),
])  # fmt: skip
def test_ticks_that_make_no_sense_come_back_with_what_was_ticked(
    client: Browser, dataset: Dataset, database: Database, form: dict[str, str], told: str
) -> None:
    answer = client.send_form(f"/datasets/{dataset.id}/versions", **form, finding="two_labels")
    assert (answer.status_code, told in answer.text) == (422, True)
    assert 'value="two_labels" selected' in answer.text
    assert f'value="{form["keep"]}" checked' in answer.text
    assert len(datasets_in(database)) == 1


def test_nothing_chosen_and_nothing_found_are_said(client: Browser, dataset: Dataset, database: Database) -> None:
    nothing = client.send_form(f"/datasets/{dataset.id}/versions", keep="one")
    assert (nothing.status_code, "Choose what to drop." in nothing.text) == (422, True)
    near = client.send_form(f"/datasets/{dataset.id}/versions", drop_near="true")
    assert (near.status_code, "there is nothing to drop" in near.text) == (422, True)
    assert len(datasets_in(database)) == 1


def test_without_its_upload_no_version_can_be_made(client: Browser, dataset: Dataset, database: Database) -> None:
    with database.write() as session:
        session.delete(session.get_one(Upload, dataset.upload_id))
    assert "Make new version" not in client.get(f"/datasets/{dataset.id}/checkup").text
    answer = client.send_form(f"/datasets/{dataset.id}/versions", drop_exact="true")
    assert answer.status_code == 422
    assert len(datasets_in(database)) == 1


def test_a_dataset_without_a_check_up_says_so(client: Browser, database: Database) -> None:
    for status in (Status.DONE, Status.RUNNING):
        dataset = factories.dataset(database, status=status)
        assert client.get(f"/datasets/{dataset.id}/checkup").status_code == 404
        assert client.get(f"/datasets/{dataset.id}/duplicates.csv").status_code == 404
        assert client.get(f"/datasets/{dataset.id}").status_code == 200


def test_a_clean_dataset_is_told_to_be_clean(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = built.upload_of(database, storage, two_classes(tmp_path / "a.zip"))
    dataset = built.dataset_of(database, storage, upload, channels="color", width=12, height=10)
    assert "No picture is there twice" in client.get(f"/datasets/{dataset.id}").text
    assert "Nothing was found" in client.get(f"/datasets/{dataset.id}/checkup").text


def test_scripts_get_the_check_up_and_make_versions(api: TestClient, dataset: Dataset) -> None:
    path = f"/api/v1/datasets/{dataset.id}"
    found = api.get(f"{path}/checkup").json()
    assert (found["group_counts"]["exact"], found["group_counts"]["two_labels"]) == (2, 1)
    made = api.post(f"{path}/versions", json={"findings": ["exact"], "name": "clean"})
    assert (made.status_code, made.json()["name"], made.json()["status"]) == (201, "clean", "queued")
    assert api.post(f"{path}/versions", json={"findings": []}).status_code == 422
    one = api.post(f"{path}/versions", json={"images": [{"split": "train", "number": 3}]})
    assert (one.status_code, one.json()["options"]["dropped_count"]) == (201, 1)
    for odd in ({"split": "x", "number": 0}, {"split": "train", "number": -1}, {"split": "train", "number": 10**6}):
        assert api.post(f"{path}/versions", json={"images": [odd]}).status_code == 422
    assert api.post(f"{path}/versions", json={"findings": ["ugly"]}).status_code == 422


def test_a_clone_leaves_out_what_its_original_does_unless_told_otherwise(
    client: Browser, dataset: Dataset, database: Database, storage: Storage
) -> None:
    assert "leaves out" not in client.get(f"/datasets/new?clone={dataset.id}").text
    client.send_form(f"/datasets/{dataset.id}/versions", drop_exact="true", keep="one", submission="1")
    version = datasets_in(database)[-1]
    page = client.get(f"/datasets/new?clone={version.id}").text
    assert "Leave out the 7 pictures that “pets v2” leaves out" in page
    values = {"upload_id": str(dataset.upload_id), "cloned": str(version.id)}
    for mark, ticked, count in (("2", {"drop_as": str(version.id)}, 41), ("3", {}, 48)):
        client.send_form("/datasets", **(FORM | values | ticked | {"submission": mark}))
        clone = built.make(database, storage, datasets_in(database)[-1].id)
        assert clone.image_count == count
        shown = client.get(f"/datasets/{clone.id}").text
        assert ("7 pictures: those that it is without" in shown) is bool(ticked)
    answer = client.send_form("/datasets", **(FORM | values | {"drop_as": "999", "submission": "4"}))
    assert (answer.status_code, "deleted meanwhile" in answer.text) == (422, True)
    unticked = client.send_form("/datasets", **(FORM | values | {"width": "0", "submission": "5"})).text
    assert re.search(rf'name="drop_as" value="{version.id}">', unticked)
