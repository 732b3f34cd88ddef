"""The form that makes a dataset, as a browser without JavaScript meets it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from app.db import Database, Status, Upload
from app.preprocessing import Preprocessing
from app.schemas.models import NewModel
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.dataset_form import FORM, datasets_in, errors_in, sent, values_in
from tests.conftest import Browser
from tests.worker.datasets.pictures import file_of, noise, two_classes


@pytest.fixture
def upload(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    return built.upload_of(database, storage, two_classes(tmp_path / "pets.zip"))


def test_without_an_upload_the_wizard_leads_to_the_uploads(client: Browser) -> None:
    page = client.get("/datasets/new").text
    assert 'href="/uploads"' in page
    assert "<form" not in page.split('id="main"')[1]


def test_the_wizard_is_filled_from_the_newest_upload(client: Browser, upload: Upload) -> None:
    page = client.get("/datasets/new").text
    values = values_in(page)
    assert (values["width"], values["height"], values["name"]) == ("12", "10", "pets")
    assert (values["train_percent"], values["val_percent"], values["test_percent"]) == ("70", "10", "20")
    assert re.search(r'value="color" checked', page)


def test_the_wizard_shows_what_each_split_gets(client: Browser, upload: Upload) -> None:
    page = client.get(f"/datasets/new?upload={upload.id}").text
    row = re.search(r'title="cats">cats</th>(.*?)</tr>', page, re.DOTALL)
    assert row
    assert re.findall(r">([\d,]+)</td>", row[1]) == ["10", "7", "1", "2"]


def test_sending_the_form_makes_a_dataset_and_queues_its_build(
    client: Browser, upload: Upload, database: Database
) -> None:
    answer = sent(client, upload)
    (dataset,) = datasets_in(database)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/datasets/{dataset.id}")
    assert (dataset.name, dataset.channels, dataset.width, dataset.height) == ("pets small", "color", 12, 10)
    assert dataset.options == {"train_percent": 70, "val_percent": 10, "test_percent": 20, "resize_mode": "squash",
                               "fill": "noise", "fill_color": "#000000",
                               "encoding": "png", "jpeg_quality": 90, "seed": 1, "min_per_class": 1,
                               "max_per_class": None, "augmentation": None}  # fmt: skip
    assert (dataset.status, dataset.job.kind, dataset.job.path) == (
        "queued",
        "build_dataset",
        f"/datasets/{dataset.id}",
    )
    assert dataset.job.sent_at is not None


def test_what_the_form_makes_can_be_built(
    client: Browser, upload: Upload, database: Database, storage: Storage
) -> None:
    sent(client, upload)
    dataset = built.make(database, storage, datasets_in(database)[0].id)
    assert dataset.splits["train"] == {"count": 14, "per_class": [7, 7]}


@pytest.mark.parametrize("mode", ["squash", "crop", "fill", "half_crop"])
@pytest.mark.parametrize("encoding", ["png", "jpeg", "raw"])
def test_every_choice_of_the_form_can_be_built(
    client: Browser, upload: Upload, database: Database, storage: Storage, mode: str, encoding: str
) -> None:
    sent(client, upload, resize_mode=mode, encoding=encoding, width="9", height="14", channels="gray")
    dataset = built.make(database, storage, datasets_in(database)[0].id)
    assert dataset.image_count == 20
    picture = client.get(f"/datasets/{dataset.id}/images/train/0.png")
    assert picture.headers["content-type"] == ("image/jpeg" if encoding == "jpeg" else "image/png")


def test_the_colour_of_the_borders_goes_from_the_form_to_the_pixels_and_to_the_models(
    client: Browser, upload: Upload, database: Database, storage: Storage
) -> None:
    sent(client, upload, resize_mode="fill", fill="color", fill_color="#FF8000", width="20", height="10")
    dataset = built.make(database, storage, datasets_in(database)[0].id)
    picture = Image.open(io.BytesIO(client.get(f"/datasets/{dataset.id}/images/train/0.png").content))
    assert picture.getpixel((0, 0)) == picture.getpixel((19, 9)) == (255, 128, 0)
    assert "20 × 10 px, fill, borders of #ff8000" in client.get(f"/datasets/{dataset.id}").text
    page = client.get(f"/datasets/new?clone={dataset.id}").text
    assert (values_in(page)["fill_color"], '<option value="color" selected>' in page) == ("#ff8000", True)
    manifest = json.loads((storage.dataset_dir(dataset.id) / "manifest.json").read_text())
    assert manifest["preprocessing"]["fill_color"] == "#ff8000"
    whole = NewModel(name="net", dataset_id=dataset.id, topology="lenet").preprocessing(dataset.preprocessing)
    assert whole.fill_color == (255, 128, 0)
    assert Preprocessing.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole


def test_without_resizing_images_of_another_size_are_left_out(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    archive = two_classes(tmp_path / "a.zip", **{"cats/large.png": file_of(noise(1, 30, 30))})
    sent(client, built.upload_of(database, storage, archive), resize_mode="none")
    dataset = built.make(database, storage, datasets_in(database)[0].id)
    assert (dataset.image_count, dataset.result["skipped_count"]) == (20, 1)


def test_a_form_without_a_size_is_refused(client: Browser, upload: Upload, database: Database) -> None:
    form = {name: value for name, value in FORM.items() if name not in ("width", "height", "channels")}
    answer = client.send_form("/datasets", **form, upload_id=str(upload.id))
    assert answer.status_code == 422
    assert set(errors_in(answer.text)) == {"width", "height", "channels"}
    assert datasets_in(database) == []


def test_limits_per_class_leave_out_small_classes_and_cap_large_ones(
    client: Browser, database: Database, storage: Storage, tmp_path: Path
) -> None:
    archive = two_classes(tmp_path / "a.zip", **{"犬/only.png": file_of(noise(1))})
    upload = built.upload_of(database, storage, archive)
    assert sent(client, upload).status_code == 422  # one image, three splits
    limits = {
        "min_per_class": "2",
        "max_per_class": "8",
        "train_percent": "50",
        "val_percent": "25",
        "test_percent": "25",
    }
    preview = sent(client, upload, preview="1", **limits).text
    assert "1 class with fewer images than the minimum is left out" in preview
    sent(client, upload, **limits)
    dataset = built.make(database, storage, datasets_in(database)[0].id)
    assert dataset.classes == ["cats", "dogs"]
    assert [dataset.splits[split]["per_class"] for split in ("train", "val", "test")] == [[4, 4], [2, 2], [2, 2]]
    assert "2 to 8" in client.get(f"/datasets/{dataset.id}").text
    values = values_in(client.get(f"/datasets/new?clone={dataset.id}").text)
    assert (values["min_per_class"], values["max_per_class"]) == ("2", "8")


def test_altered_copies_are_made_of_training_images_only(
    client: Browser, upload: Upload, database: Database, storage: Storage
) -> None:
    sent(client, upload, copies="2", rotation="10", shift_x="12.5", zoom_in="110", mirror="true")
    dataset = built.make(database, storage, datasets_in(database)[0].id)
    assert [dataset.count(split) for split in ("train", "val", "test")] == [42, 2, 4]
    assert "2 of each training image, ±10°, shifted ±12.5 % and ±0 %" in client.get(f"/datasets/{dataset.id}").text
    page = client.get(f"/datasets/new?clone={dataset.id}").text
    values = values_in(page)
    assert (values["copies"], values["rotation"], values["shift_x"], values["zoom_in"]) == ("2", "10", "12.5", "110")
    assert re.search(r'id="mirror" name="mirror" value="true" checked', page)


def test_the_same_form_sent_twice_makes_one_dataset(client: Browser, upload: Upload, database: Database) -> None:
    first, second = sent(client, upload), sent(client, upload)
    assert first.headers["location"] == second.headers["location"]
    assert len(datasets_in(database)) == 1


def test_each_opening_of_the_form_has_a_mark_of_its_own(client: Browser, upload: Upload) -> None:
    marks = [re.search(r'name="submission" value="([^"]+)"', client.get("/datasets/new").text) for _ in range(2)]
    assert marks[0]
    assert marks[1]
    assert marks[0][1] != marks[1][1]


@pytest.mark.parametrize(("changes", "field", "message"), [
    ({"val_percent": "15"}, "test_percent", "The three parts add up to 105 %, expected 100 %."),
    ({"train_percent": "0", "val_percent": "50", "test_percent": "50"}, "test_percent", "Training gets 0 %"),
    ({"train_percent": "-10"}, "train_percent", "Expected a number from 0 to 100, found “-10”."),
    ({"train_percent": "much"}, "train_percent", "Expected a number from 0 to 100, found “much”."),
    ({"val_percent": ""}, "val_percent", "found nothing"),
    ({"width": "0"}, "width", "Expected a whole number from 1 to 4,096, found “0”."),
    ({"height": "-28"}, "height", "found “-28”"),
    ({"width": "10000000"}, "width", "found “10000000”"),
    ({"width": "28.5"}, "width", "found “28.5”"),
    ({"height": ""}, "height", "found nothing"),
    ({"name": "   "}, "name", "found nothing"),
    ({"name": "x" * 201}, "name", "at most 200 characters, found 201"),
    ({"description": "x" * 10_001}, "description", "at most 10,000 characters"),
    ({"jpeg_quality": "101"}, "jpeg_quality", "from 1 to 100"),
    ({"min_per_class": "0"}, "min_per_class", "found “0”"),
    ({"min_per_class": "9", "max_per_class": "5"}, "max_per_class", "less than the minimum, 9"),
    ({"copies": "21"}, "copies", "from 0 to 20"),
    ({"copies": "2"}, "mirror", "Choose at least one alteration"),
    ({"copies": "2", "rotation": "181"}, "rotation", "from 0 to 180"),
    ({"copies": "2", "zoom_in": "99"}, "zoom_in", "from 100 to 200"),
    ({"encoding": "bmp"}, "encoding", "found “bmp”"),
    ({"resize_mode": "stretch"}, "resize_mode", "found “stretch”"),
    ({"fill": "grass"}, "fill", "found “grass”"),
    ({"fill_color": "red"}, "fill_color", "Expected a colour like #ff8000, found “red”."),
    ({"fill_color": ""}, "fill_color", "found nothing"),
    ({"seed": "-1"}, "seed", "found “-1”"),
    ({"channels": "cmyk"}, "channels", "found “cmyk”"),
    ({"upload_id": ""}, "upload_id", "Choose an upload."),
    ({"upload_id": "999"}, "upload_id", "deleted meanwhile"),
    ({"upload_id": "9" * 30}, "upload_id", "Expected a whole number"),
])  # fmt: skip
def test_a_bad_field_comes_back_with_its_message_and_all_that_was_typed(
    client: Browser, upload: Upload, database: Database, changes: dict[str, str], field: str, message: str
) -> None:
    answer = sent(client, upload, **changes)
    assert answer.status_code == 422
    assert message in errors_in(answer.text)[field]
    typed = {name: text for name, text in (FORM | changes).items() if name in values_in(answer.text)}
    assert values_in(answer.text) == typed
    assert datasets_in(database) == []


def test_an_upload_with_one_class_is_refused(client: Browser, database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "cats", "count": 100}])
    answer = sent(client, upload)
    assert answer.status_code == 422
    told = errors_in(answer.text)["upload_id"]
    assert told.startswith("A dataset needs at least two classes; found one class, “cats”. If a list says which")


def test_a_class_with_fewer_images_than_splits_is_refused(client: Browser, database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "cats", "count": 100}, {"name": "犬", "count": 1}])
    answer = sent(client, upload)
    assert answer.status_code == 422
    assert errors_in(answer.text)["upload_id"] == "Class “犬” has 1 image; this split needs at least 3 per class."


def test_an_upload_that_is_not_received_yet_is_refused(client: Browser, database: Database) -> None:
    upload = factories.upload(database, status=Status.RUNNING, classes=[])
    answer = sent(client, upload)
    assert answer.status_code == 422
    assert "This upload is running" in errors_in(answer.text)["upload_id"]


def test_an_upload_deleted_while_the_form_was_open_is_refused(
    client: Browser, upload: Upload, database: Database
) -> None:
    with database.write() as session:
        session.delete(session.get_one(Upload, upload.id))
    answer = sent(client, upload)
    assert answer.status_code == 422
    assert "deleted meanwhile" in errors_in(answer.text)["upload_id"]


def test_the_form_can_show_counts_without_javascript(client: Browser, upload: Upload, database: Database) -> None:
    answer = sent(client, upload, preview="1", train_percent="50", val_percent="50", test_percent="0", name="typed")
    assert answer.status_code == 200
    assert values_in(answer.text)["name"] == "typed"
    row = re.search(r'title="dogs">dogs</th>(.*?)</tr>', answer.text, re.DOTALL)
    assert row
    assert re.findall(r">([\d,]+)</td>", row[1]) == ["10", "5", "5", "0"]
    assert datasets_in(database) == []


def test_the_live_preview_says_what_is_wrong_with_the_percentages(client: Browser, upload: Upload) -> None:
    answer = client.get(f"/datasets/new/_split?upload_id={upload.id}&train_percent=70&val_percent=10&test_percent=10")
    assert answer.status_code == 200
    assert "add up to 90 %" in answer.text
    assert client.get("/datasets/new/_split?upload_id=x").status_code == 200


def test_clone_fills_the_wizard_with_the_same_choices(client: Browser, upload: Upload, database: Database) -> None:
    options = {"train_percent": 60.0, "val_percent": 20.0, "test_percent": 20.0, "resize_mode": "squash",
               "encoding": "png", "seed": 7}  # fmt: skip
    dataset = factories.dataset(database, upload_id=upload.id, width=33, options=options)
    values = values_in(client.get(f"/datasets/new?clone={dataset.id}").text)
    assert (values["train_percent"], values["val_percent"], values["width"], values["seed"]) == ("60", "20", "33", "7")
    assert client.get("/datasets/new?clone=999").status_code == 404
