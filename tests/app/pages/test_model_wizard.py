"""The form that launches models, as a browser without JavaScript meets it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db import Database, Dataset, Model, Status, Topology
from app.topology.zoo import zoo_entry
from tests import factories
from tests.conftest import Browser

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]
SPLITS = {
    "train": {"count": 7000, "per_class": [3500, 3500]},
    "val": {"count": 1000, "per_class": [500, 500]},
    "test": {"count": 2000, "per_class": [1000, 1000]},
}
RESULT = {"classes": ["cat", "dog"], "splits": SPLITS, "skipped_count": 0, "content_hash": "a" * 64, "mean": [33.0]}


@pytest.fixture
def dataset(database: Database) -> Dataset:
    return factories.dataset(database, name="pets 手", result=RESULT)


def fields_of(page: str) -> dict[str, str]:
    """What the form would send as it stands: inputs, ticked boxes, chosen options, text areas."""
    form = page.partition('action="/models" novalidate')[2].partition("</form>")[0]
    found: dict[str, str] = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        given = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        is_choice = given.get("type") in ("radio", "checkbox")
        if "name" in given and (not is_choice or " checked" in tag):
            found[given["name"]] = html.unescape(given.get("value", ""))
    for tag, body in re.findall(r"<select\b([^>]*)>(.*?)</select>", form, re.DOTALL):
        name = re.findall(r'name="(\w+)"', tag)[0]
        options = re.findall(r'<option value="([^"]*)"( selected)?', body)
        found[name] = next((value for value, chosen in options if chosen), options[0][0])
    for name, body in re.findall(r'<textarea\b[^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL):
        found[name] = html.unescape(body)
    return found


def errors_in(page: str) -> dict[str, str]:
    found = re.findall(r'<p class="error" id="(\w+)-error">([^<]+)</p>', page)
    return {name: html.unescape(message) for name, message in found}


def form_of(client: Browser, query: str = "") -> dict[str, str]:
    answer = client.get(f"/models/new{query}")
    assert answer.status_code == 200
    return fields_of(answer.text)


def send(client: Browser, **fields: Any) -> Any:
    return client.post("/models", data=fields)


def count(database: Database, record: type) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(record)) or 0


def test_without_a_dataset_the_page_says_what_to_do_first(client: Browser) -> None:
    page = client.get("/models/new").text
    assert "There is nothing to train on yet" in page
    assert 'href="/datasets/new"' in page


def test_the_form_as_it_opens_trains_the_case_study(client: Browser, database: Database, dataset: Dataset) -> None:
    fields = form_of(client)
    assert {name: fields[name] for name in ("epochs", "batch_size", "val_batch_size", "test_batch_size", "base_lr",
            "momentum", "weight_decay", "gamma", "power", "scale", "solver_type", "lr_policy", "topology", "mean",
            "regularization_type", "clip_gradients", "val_interval", "snapshot_interval")} == {
        "epochs": "15", "batch_size": "64", "val_batch_size": "100", "test_batch_size": "100", "base_lr": "0.01",
        "momentum": "0.9", "weight_decay": "0.0005", "gamma": "0.0001", "power": "0.75", "scale": "0.00390625",
        "solver_type": "SGD", "lr_policy": "inv", "topology": "lenet", "mean": "none", "regularization_type": "L2",
        "clip_gradients": "-1", "val_interval": "1", "snapshot_interval": "1",
    }  # fmt: skip
    answer = send(client, **fields)
    with database.read() as session:
        model = session.scalars(select(Model)).one()
    assert (answer.status_code, answer.headers["location"]) == (303, f"/models/{model.id}")
    assert (model.name, model.dataset_id) == ("LeNet on pets 手", dataset.id)


def test_a_sweep_leads_to_its_page(client: Browser, database: Database, dataset: Dataset) -> None:
    answer = send(client, **(form_of(client) | {"base_lr": "0.1, 0.01", "batch_size": "[64 128]"}))
    assert answer.headers["location"] == "/sweeps/1"
    assert count(database, Model) == 4


def test_the_same_page_sent_twice_makes_one_model(client: Browser, database: Database, dataset: Dataset) -> None:
    fields = form_of(client)
    first, second = send(client, **fields), send(client, **fields)
    assert first.headers["location"] == second.headers["location"]
    assert count(database, Model) == 1


def test_every_form_has_a_mark_of_its_own(client: Browser, dataset: Dataset) -> None:
    assert form_of(client)["submission"] != form_of(client)["submission"]


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("base_lr", "1e15", "Expected a number from 1e-12 to 10, found “1e15”."),
        ("base_lr", "0", "Expected a number from 1e-12 to 10, found “0”."),
        ("base_lr", "0.1, fast", "Expected a number from 1e-12 to 10, found “fast”."),
        ("base_lr", "nan", "Expected a number from 1e-12 to 10, found “nan”."),
        ("base_lr", "", "Expected one or more numbers, separated by commas, found nothing."),
        ("batch_size", "", "Expected one or more numbers, separated by commas, found nothing."),
        ("batch_size", "7001", "Expected at most 7,000, the number of training images, found 7,001."),
        ("batch_size", "-4", "Expected a whole number from 1 to 65,536, found “-4”."),
        ("batch_size", "64, 64", "64 is there twice; the two models would be the same."),
        ("epochs", "0", "Expected a whole number from 1 to 100,000, found “0”."),
        ("epochs", "ten", "Expected a whole number from 1 to 100,000, found “ten”."),
        ("epochs", "", "Expected a whole number from 1 to 100,000, found nothing."),
        ("momentum", "1", "1.0 must be at least 0 and below 1."),
        ("crop_size", "29", "Expected at most 28, the shorter side of this dataset's images (28 × 28), found 29."),
        ("crop_size", "big", "Expected a whole number from 1 to 4,096, found “big”."),
        ("scale", "0", "Expected a number from 1e-09 to 1e+06, found “0”."),
        ("name", "   ", "Expected a name, found nothing."),
        ("name", "x" * 201, "Expected at most 200 characters, found 201."),
        ("dataset_id", "", "Choose a dataset."),
        ("dataset_id", "999", "This dataset does not exist, or was deleted meanwhile. Choose another one."),
        ("solver_type", "Magic", "found “Magic”."),
        ("lr_policy", "sometimes", "found “sometimes”."),
        ("mean", "median", "found “median”."),
    ],
)
def test_what_does_not_fit_comes_back_at_its_field_with_everything_that_was_typed(
    client: Browser, database: Database, dataset: Dataset, field: str, typed: str, words: str
) -> None:
    sent = form_of(client) | {"notes": "typed <b>notes</b>", "momentum2": "0.98", field: typed}
    answer = send(client, **sent)
    assert answer.status_code == 422
    assert words in (errors_in(answer.text).get(field) or html.unescape(answer.text))
    kept = fields_of(answer.text)
    for name in sent.keys() - {field, "csrf_token", "solver_type", "lr_policy", "mean", "dataset_id"}:
        assert kept[name] == sent[name], name
    assert count(database, Model) == 0


def test_a_sweep_that_is_too_large_says_how_large_it_would_be(client: Browser, dataset: Dataset) -> None:
    rates = ", ".join(f"0.{number:03}" for number in range(1, 52))
    answer = send(client, **(form_of(client) | {"base_lr": rates, "batch_size": "64, 128"}))
    assert errors_in(answer.text)["base_lr"] == (
        "51 learning rates × 2 batch sizes = 102 models; expected at most 100 at once."
    )


def test_a_number_typed_on_a_japanese_keyboard_is_a_number(
    client: Browser, database: Database, dataset: Dataset
) -> None:
    answer = send(client, **(form_of(client) | {"base_lr": "0.1、0.01", "epochs": "3", "momentum": "0.5"}))
    assert answer.status_code == 303
    with database.read() as session:
        assert [(model.base_lr, model.epochs) for model in session.scalars(select(Model))] == [(0.1, 3), (0.01, 3)]


def test_edit_opens_the_text_of_the_chosen_topology(client: Browser, dataset: Dataset) -> None:
    answer = send(client, **(form_of(client) | {"edit": "1", "epochs": "3"}))
    assert answer.status_code == 200
    fields = fields_of(answer.text)
    assert fields["prototxt"].strip() == LENET.strip()
    assert fields["epochs"] == "3"


def test_an_edited_text_is_what_is_trained(client: Browser, database: Database, dataset: Dataset) -> None:
    edited = LENET.replace("num_output: 20", "num_output: 21")
    assert send(client, **(form_of(client) | {"prototxt": edited})).status_code == 303
    with database.read() as session:
        model = session.scalars(select(Model)).one()
    assert "num_output: 21" in model.prototxt
    assert model.topology_name == "lenet (edited)"


@pytest.mark.parametrize(
    ("prototxt", "words"),
    [
        ('layer {\n  name: "a"\n  type: }', "Line 3, column 9"),
        (LENET.replace('type: "ReLU"', 'type: "RELOO"'), "RELOO"),
        (LENET.replace('bottom: "ip1"', 'bottom: "nobody"'), "nobody"),
        (LENET.replace("kernel_size: 5", "kernel_size: 29", 1), "kernel_size 29 exceeds its input"),
        ("name: 'empty'", "Line"),
    ],
)
def test_a_faulty_text_says_line_and_column_and_stays(
    client: Browser, database: Database, dataset: Dataset, prototxt: str, words: str
) -> None:
    answer = send(client, **(form_of(client) | {"prototxt": prototxt}))
    assert answer.status_code == 422
    message = errors_in(answer.text)["prototxt"]
    assert re.match(r"Line \d+, column \d+: ", message)
    assert words in message
    assert fields_of(answer.text)["prototxt"].strip() == prototxt.strip()
    assert count(database, Model) == 0


def test_save_as_keeps_the_text_under_a_name_and_chooses_it(
    client: Browser, database: Database, dataset: Dataset
) -> None:
    edited = LENET.replace("num_output: 20", "num_output: 22")
    sent = form_of(client) | {"prototxt": edited, "topology_name": "LeNet 22", "save_as": "1", "epochs": "3"}
    answer = send(client, **sent)
    with database.read() as session:
        topology = session.scalars(select(Topology)).one()
    fields = fields_of(answer.text)
    assert (topology.name, topology.original) == ("LeNet 22", "LeNet")
    assert (fields["topology"], fields.get("prototxt", ""), fields["epochs"]) == (str(topology.id), "", "3")
    assert send(client, **fields).status_code == 303


def test_save_as_refuses_a_name_that_is_taken_and_keeps_the_text(
    client: Browser, database: Database, dataset: Dataset
) -> None:
    factories.topology(database, name="mine", prototxt=LENET)
    sent = form_of(client) | {"prototxt": LENET, "topology_name": "mine", "save_as": "1"}
    answer = send(client, **sent)
    assert answer.status_code == 422
    assert "already" in errors_in(answer.text)["topology_name"]
    assert fields_of(answer.text)["prototxt"].strip() == LENET.strip()


def test_discard_drops_the_edits(client: Browser, dataset: Dataset) -> None:
    answer = send(client, **(form_of(client) | {"prototxt": "broken {", "discard": "1"}))
    assert answer.status_code == 200
    assert "prototxt" not in fields_of(answer.text)


def test_faults_of_every_kind_are_told_at_once(client: Browser, dataset: Dataset) -> None:
    sent = form_of(client) | {"epochs": "0", "name": "", "crop_size": "99", "batch_size": "9000"}
    assert set(errors_in(send(client, **sent).text)) == {"epochs", "name", "crop_size", "batch_size"}
    faulty = LENET.replace("kernel_size: 5", "kernel_size: 55", 1)
    sent = form_of(client) | {"epochs": "0", "prototxt": faulty}
    assert set(errors_in(send(client, **sent).text)) == {"epochs", "prototxt"}


def test_a_dataset_that_is_being_built_can_be_chosen_a_failed_one_not(client: Browser, database: Database) -> None:
    building = factories.dataset(database, status=Status.RUNNING, name="in the making")
    factories.dataset(database, status=Status.FAILED, name="broken one")
    page = client.get(f"/models/new?dataset={building.id}").text
    assert "still being built" in page
    assert "broken one" not in page


def test_a_clone_opens_the_form_with_everything_that_was_chosen(
    client: Browser, database: Database, dataset: Dataset
) -> None:
    edited = LENET.replace("num_output: 20", "num_output: 23")
    sent = form_of(client) | {
        "name": "original", "prototxt": edited, "epochs": "7", "base_lr": "0.005", "batch_size": "32",
        "flip": "fliplrud",
        "rotation_degrees": "12.5", "zoom": "0.07", "shift": "0.1", "hue": "0.02", "saturation": "0.04",
        "brightness": "0.06", "contrast": "0.8", "noise": "0.03", "cutout": "0.25", "quad_rotation": "rotall",
        "crop_size": "24", "mean": "pixel", "scale": "0.5", "solver_type": "Adam", "lr_policy": "multistep",
        "gamma": "0.5", "stepvalues": "100, 200", "warmup_epochs": "1.5", "seed": "9", "notes": "why",
    }  # fmt: skip
    assert send(client, **sent).status_code == 303
    fields = form_of(client, "?clone=1")
    for name in sent.keys() - {"csrf_token", "submission", "prototxt", "stepsize"}:
        assert fields[name] == sent[name], name
    assert "num_output: 23" in fields["prototxt"]


def test_a_clone_of_an_unedited_model_names_its_topology(client: Browser, dataset: Dataset) -> None:
    send(client, **form_of(client))
    fields = form_of(client, "?clone=1")
    assert (fields["topology"], fields.get("prototxt", "")) == ("lenet", "")


@pytest.mark.parametrize("clone", ["999", "x", "9" * 40, "-1"])
def test_there_is_no_clone_of_what_does_not_exist(client: Browser, clone: str) -> None:
    assert client.get(f"/models/new?clone={clone}").status_code == 404


def test_a_link_chooses_dataset_and_topology(client: Browser, database: Database, dataset: Dataset) -> None:
    factories.dataset(database, name="newer", result=RESULT)
    topology = factories.topology(database, name="mine", prototxt=LENET)
    fields = form_of(client, f"?dataset={dataset.id}&topology={topology.id}")
    assert (fields["dataset_id"], fields["topology"]) == (str(dataset.id), str(topology.id))


def test_enter_in_a_field_trains_and_edits_nothing(client: Browser, dataset: Dataset) -> None:
    """The first button of a form is what Enter presses."""
    page = client.get("/models/new").text.partition('action="/models" novalidate')[2]
    first = re.findall(r"<button[^>]*>([^<]*)</button>", page)[0]
    assert first == "Train model"


SOLVER = """net: "train_val.prototxt"
base_lr: 0.002  # slower
momentum: 0.8
lr_policy: "step"
stepsize: 300
gamma: 0.2
max_iter: 1100
type: "Nesterov"
iter_size: 1
"""


def test_a_pasted_solver_fills_the_form_and_starts_nothing(
    client: Browser, database: Database, dataset: Dataset
) -> None:
    answer = send(client, **(form_of(client) | {"solver_text": SOLVER, "fill": "1", "name": "kept"}))
    assert answer.status_code == 200
    fields = fields_of(answer.text)
    filled = {"base_lr": "0.002", "momentum": "0.8", "lr_policy": "step", "stepsize": "300", "gamma": "0.2",
              "solver_type": "Nesterov", "epochs": "10"}  # fmt: skip
    assert {name: fields[name] for name in filled} == filled
    assert (fields["name"], fields["weight_decay"]) == ("kept", "0.0005")
    assert count(database, Model) == 0


def test_a_pasted_solver_that_cannot_be_read_stays_with_line_and_column(client: Browser, dataset: Dataset) -> None:
    answer = send(client, **(form_of(client) | {"solver_text": "base_lr: 0.1\nmomentum: :", "fill": "1"}))
    assert answer.status_code == 422
    assert errors_in(answer.text)["solver_text"].startswith("Line 2, column ")
    assert fields_of(answer.text)["solver_text"] == "base_lr: 0.1\nmomentum: :"


def test_patience_is_a_parameter_of_the_model(client: Browser, database: Database, dataset: Dataset) -> None:
    assert send(client, **(form_of(client) | {"patience": "3"})).status_code == 303
    refused = send(client, **(form_of(client) | {"patience": "3", "val_interval": "0"}))
    assert "needs validation" in errors_in(refused.text)["patience"]
    with database.read() as session:
        assert session.scalars(select(Model)).one().solver_spec.patience == 3


def test_rare_variations_are_closed_until_one_is_chosen_or_wrong(client: Browser, dataset: Dataset) -> None:
    more = r"<details( open)?>\s*<summary>More variations"
    assert re.findall(more, client.get("/models/new").text) == [""]
    wrong = send(client, **(form_of(client) | {"cutout": "2"}))
    assert re.findall(more, wrong.text) == [" open"]


def test_the_model_page_says_how_its_images_are_varied(client: Browser, database: Database, dataset: Dataset) -> None:
    send(client, **(form_of(client) | {"flip": "fliplrud", "rotation_degrees": "10", "hue": "0.02", "noise": "0.03"}))
    page = re.sub(r"\s+", " ", client.get("/models/1").text)
    expected = {"Mirror": "half of the training images", "Flip upside down": "half of the training images",
                "Rotation": "up to ±10°", "Colour": "hue σ 0.02", "Noise": "σ 0.03 of the range"}  # fmt: skip
    for label, value in expected.items():
        assert f"<dt>{label}</dt><dd>{value}</dd>" in page
    assert "<dt>Cutout</dt>" not in page
