"""The pages of predictions, as a browser without JavaScript meets them."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from PIL import Image

from app.db import Database, Job, Prediction, Status
from app.db.base import now
from app.storage import Storage
from tests import factories
from tests.app.predicted import Predicted, model_with_snapshots, png_of, predicted
from tests.conftest import Browser
from worker.tidying import forget_arrays


@pytest.fixture
def done(database: Database, storage: Storage) -> Predicted:
    return predicted(database, storage)


def send(client: Browser, model_id: int, files: object = None, **fields: str) -> object:
    return client.post(f"/models/{model_id}/predictions", data={"csrf_token": client.csrf, **fields}, files=files)


def test_the_form_offers_every_snapshot_and_takes_the_last(
    client: Browser, database: Database, storage: Storage
) -> None:
    model = model_with_snapshots(database, storage, (1.0, 2.0, 2.5))
    page = client.get(f"/models/{model.id}/predictions").text
    assert re.findall(r'<option value="([^"]+)"', page) == ["last", "2.50", "2", "1"]
    assert "last (epoch 2.50)" in page
    assert "No picture was tested yet" in page


@pytest.mark.parametrize(
    ("status", "text"), [(Status.RUNNING, "at the end of the first epoch"), (Status.FAILED, "nothing to test")]
)
def test_without_a_snapshot_there_is_no_form(client: Browser, database: Database, status: Status, text: str) -> None:
    model = factories.model(database, status=status)
    page = client.get(f"/models/{model.id}/predictions").text
    assert text in page
    assert 'name="image"' not in page


def test_a_picture_leads_to_its_page(client: Browser, database: Database, storage: Storage) -> None:
    model = model_with_snapshots(database, storage)
    answer = send(client, model.id, {"image": ("three.png", png_of())}, snapshot="1", layers="true")
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    assert "three.png" in page.text
    assert "snapshot of epoch 1" in page.text
    with database.read() as session:
        assert session.get_one(Prediction, 1).with_layers


def test_a_box_that_is_not_ticked_asks_for_no_layers(client: Browser, database: Database, storage: Storage) -> None:
    send(client, model_with_snapshots(database, storage).id, {"image": ("three.png", png_of())}, snapshot="last")
    with database.read() as session:
        assert not session.get_one(Prediction, 1).with_layers


def test_a_bad_picture_comes_back_at_its_field_with_the_choices_kept(
    client: Browser, database: Database, storage: Storage
) -> None:
    model = model_with_snapshots(database, storage)
    answer = send(client, model.id, {"image": ("cat.jpg", b"<html>no</html>")}, snapshot="1")
    assert answer.status_code == 422
    assert re.search(r'id="image-error">[^<]*found an HTML page', answer.text)
    assert '<option value="1" selected>' in answer.text
    assert not re.search(r'name="layers"[^>]*checked', answer.text)


def test_no_picture_at_all_is_asked_for(client: Browser, database: Database, storage: Storage) -> None:
    model = model_with_snapshots(database, storage)
    for files in (None, {"image": ("", b"")}):
        answer = send(client, model.id, files, snapshot="last")
        assert answer.status_code == 422
        assert "Choose a picture first" in answer.text


def test_while_it_waits_the_page_follows_it_also_without_javascript(
    client: Browser, database: Database, storage: Storage
) -> None:
    found = predicted(database, storage, status=Status.QUEUED)
    page = client.get(found.path).text
    assert f'data-url="{found.path}/_result"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "X-Live" not in client.get(f"{found.path}/_result").headers


def test_when_it_is_done_nothing_is_asked_any_more(client: Browser, done: Predicted) -> None:
    page = client.get(done.path).text
    assert "_result" not in page
    assert "http-equiv" not in page
    assert client.get(f"{done.path}/_result").headers["X-Live"] == "end"


def test_classes_stand_with_their_probabilities_and_no_markup_of_their_own(client: Browser, done: Predicted) -> None:
    page = client.get(done.path).text
    assert "猫 &lt;b&gt;" in page
    assert "<b>" not in page
    assert "75.00 %" in page
    assert "25.00 %" in page


def test_every_layer_has_its_numbers_and_a_lazy_picture_of_known_size(client: Browser, done: Predicted) -> None:
    page = client.get(done.path).text
    pictures = re.findall(r'<img class="maps" loading="lazy"[^>]*width="(\d+)" height="(\d+)" src="([^"]+)"', page)
    assert len(pictures) == 5
    for width, height, address in pictures:
        answer = client.get(address)
        assert answer.headers["Content-Type"] == "image/png"
        assert "immutable" in answer.headers["Cache-Control"]
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (int(width), int(height))
    assert "4 × 24 × 24" in page
    assert page.count('<svg class="histogram"') == 10


def test_the_picture_is_shown_as_sent_and_as_the_net_sees_it(client: Browser, done: Predicted) -> None:
    page = client.get(done.path).text
    for address in re.findall(r'<img class="picture[^>]*src="([^"]+)"', page):
        with Image.open(io.BytesIO(client.get(address).content)) as picture:
            assert picture.format == "PNG"
    assert client.get(f"{done.path}/input.png").content == png_of(seed=2)


def test_convolutions_show_their_filters(client: Browser, done: Predicted) -> None:
    part = client.get(f"{done.path}/layers/1/_weights").text
    assert "4 filters of 5 × 5" in part
    width, height, address = re.findall(r'width="(\d+)" height="(\d+)" src="([^"]+)"', part)[0]
    with Image.open(io.BytesIO(client.get(address).content)) as picture:
        assert picture.size == (int(width), int(height))


def test_the_first_inner_product_is_seen_over_its_input(client: Browser, done: Predicted) -> None:
    assert "one row per filter, one column per input" in client.get(f"{done.path}/layers/3/_weights").text
    assert client.get(f"{done.path}/layers/3/filters.png").status_code == 200


def test_layers_without_weights_have_none_to_show(client: Browser, done: Predicted) -> None:
    for path in ("layers/2/_weights", "layers/2/filters.png", "layers/99/_weights", "layers/99/output.png"):
        assert client.get(f"{done.path}/{path}").status_code == 404


def test_the_page_opens_when_the_snapshots_files_are_gone(client: Browser, storage: Storage, done: Predicted) -> None:
    (storage.absolute(done.snapshot.path) / "weights.safetensors").unlink()
    page = client.get(done.path)
    assert page.status_code == 200
    assert "Weights" not in page.text
    assert client.get(f"{done.path}/layers/1/_weights").status_code == 404


def test_a_damaged_activation_is_not_found_and_not_our_fault(client: Browser, done: Predicted) -> None:
    (done.folder / "activations/001.npy").write_bytes(b"broken")
    (done.folder / "activations/002.npy").unlink()
    assert client.get(f"{done.path}/layers/1/output.png").status_code == 404
    assert client.get(f"{done.path}/layers/2/output.png").status_code == 404


def test_a_failed_one_shows_its_reason(client: Browser, database: Database, storage: Storage) -> None:
    found = predicted(database, storage, status=Status.FAILED)
    with database.write() as session:
        session.get_one(Prediction, found.prediction.id).job.error = "conv1: no weights"
    assert "conv1: no weights" in client.get(found.path).text


def test_the_list_shows_the_best_class_of_each(client: Browser, done: Predicted) -> None:
    page = client.get(f"/models/{done.model.id}/predictions").text
    assert "手書き数字.png" in page
    assert "75.00" in page
    assert client.get(f"/models/{done.model.id}/predictions?after=nonsense").status_code == 200


def test_deleting_leads_back_to_the_list(client: Browser, done: Predicted) -> None:
    answer = client.send_form(f"{done.path}/delete")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/models/{done.model.id}/predictions"
    assert client.get(done.path).status_code == 404


def test_what_is_not_there_is_not_found(client: Browser, done: Predicted) -> None:
    for path in ("/models/999/predictions", "/models/999/predictions/1", f"{done.path}9", f"{done.path}9/input.png"):
        assert client.get(path).status_code == 404


@pytest.fixture
def cleaned(done: Predicted, database: Database, storage: Storage) -> Predicted:
    """One whose layers' arrays were deleted by age."""
    with database.write() as session:
        session.get_one(Prediction, done.prediction.id).arrays_made_at = now() - timedelta(days=31)
    forget_arrays(database, storage, days=30)
    return done


def test_layers_that_were_deleted_leave_their_numbers_and_can_be_looked_at_again(
    client: Browser, database: Database, cleaned: Predicted
) -> None:
    page = client.get(cleaned.path).text
    assert "deleted to save room" in page
    assert 'class="maps"' not in page
    assert "75.00 %" in page
    assert page.count('<svg class="histogram"') == 5
    answer = client.send_form(f"{cleaned.path}/look-again")
    assert (answer.status_code, answer.headers["location"]) == (303, cleaned.path)
    page = client.get(cleaned.path).text
    assert "being looked at again" in page
    assert "75.00 %" in page
    assert f'data-url="{cleaned.path}/_result"' in page
    client.send_form(f"{cleaned.path}/look-again")  # two clicks
    with database.read() as session:
        assert session.get_one(Job, cleaned.prediction.job_id).status == Status.QUEUED


def test_layers_nobody_asked_for_can_be_looked_at_later(client: Browser, database: Database, storage: Storage) -> None:
    found = predicted(database, storage, layers=[], with_layers=False, arrays_made_at=None, arrays_bytes=None)
    assert "was not asked for" in client.get(found.path).text
    assert client.send_form(f"{found.path}/look-again").status_code == 303
    with database.read() as session:
        row = session.get_one(Prediction, found.prediction.id)
        assert (row.with_layers, row.status) == (True, Status.QUEUED)


def test_without_the_snapshots_files_nobody_can_look_again(
    client: Browser, storage: Storage, cleaned: Predicted
) -> None:
    (storage.absolute(cleaned.snapshot.path) / "weights.safetensors").unlink()
    page = client.get(cleaned.path).text
    assert "The weights it was tested with are gone" in page
    assert "look-again" not in page
    answer = client.send_form(f"{cleaned.path}/look-again")
    assert answer.status_code == 409
    assert "test it again" in answer.text


def test_pages_say_what_layers_take_and_until_when(client: Browser, done: Predicted) -> None:
    made = done.prediction.arrays_made_at
    assert made is not None
    assert f"12.3 kB on the disk, kept until {made + timedelta(days=30):%Y-%m-%d}" in client.get(done.path).text
    page = client.get(f"/models/{done.model.id}/predictions").text
    assert "12.3 kB on the disk and is deleted after 30 days" in page
