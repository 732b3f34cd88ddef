"""What a model's weights start from: chosen, previewed, frozen in its row, and kept while they are needed."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save_file

from app.db import Database, Dataset, Model, Snapshot, Status
from app.main import create_app
from app.models.fine_tuning import freeze_when_built
from app.models.launch import InvalidModel, launch
from app.models.models import stop_sweep
from app.pretrained.pretrained import Filter, PretrainedBusy, delete_pretrained, list_pretrained
from app.schemas.models import NewModel
from app.settings import Settings
from app.storage import Storage
from app.topology.fine_tuning import trained_weights
from app.topology.fit import fit
from app.topology.freezing import Learning, learning
from app.topology.net import Phase
from app.topology.text import read
from app.topology.zoo import zoo_entry
from tests import factories
from tests.app.pages.test_model_wizard import RESULT, errors_in, fields_of
from tests.conftest import Browser
from worker.outcome import Refusal
from worker.training import _start_from as start_of_run

LENET = fit(zoo_entry("lenet").prototxt, 3)  # type: ignore[union-attr]


@dataclass(frozen=True)
class Trained:
    model: Model
    weights: Path


@pytest.fixture
def trained(database: Database, storage: Storage) -> Trained:
    """A LeNet for three classes with the files of two snapshots."""
    model = factories.model(database, prototxt=LENET, name="digits 手", topology_name="lenet")
    shapes = trained_weights(LENET, (1, 28, 28), 3)
    for epoch in (1, 2):
        folder = storage.snapshots_dir(model.id) / f"epoch-{epoch:04d}"
        folder.mkdir(parents=True)
        save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, folder / "weights.safetensors")
        factories.snapshot(database, model, epoch=epoch, iteration=100 * epoch, path=storage.relative(folder))
    return Trained(model, folder / "weights.safetensors")


@pytest.fixture
def dataset(database: Database) -> Dataset:
    return factories.dataset(database, name="pets", result=RESULT)


def launched(api: TestClient, dataset: Dataset, **given: Any) -> dict[str, Any]:
    form = {"name": "tuned", "dataset_id": dataset.id, "topology": "lenet", "scale": 1}
    answer = api.post("/api/v1/models", json=form | given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["models"][0])


def refused(api: TestClient, dataset: Dataset, **given: Any) -> dict[str, str]:
    form = {"name": "tuned", "dataset_id": dataset.id, "topology": "lenet"}
    answer = api.post("/api/v1/models", json=form | given)
    assert answer.status_code == 422
    return dict(answer.json()["error"]["fields"])


def test_a_model_freezes_what_it_starts_from(
    api: TestClient, database: Database, storage: Storage, trained: Trained, dataset: Dataset
) -> None:
    key = f"model:{trained.model.id}"
    made = launched(api, dataset, start_from=key, start_snapshot="last")
    assert (made["start_from"], made["started_from"]) == (key, "digits 手, epoch 2")
    with database.read() as session:
        start = session.get_one(Model, made["id"]).start_value
    assert start is not None
    assert storage.absolute(start.path) == trained.weights
    earlier = launched(api, dataset, start_from=key, start_snapshot="1")
    assert earlier["started_from"] == "digits 手, epoch 1"


def test_every_model_of_a_sweep_starts_from_it(api: TestClient, trained: Trained, dataset: Dataset) -> None:
    form = {"name": "tuned", "dataset_id": dataset.id, "topology": "lenet", "base_lr": [0.1, 0.01],
            "start_from": f"model:{trained.model.id}"}  # fmt: skip
    made = api.post("/api/v1/models", json=form).json()["models"]
    assert [model["started_from"] for model in made] == ["digits 手, epoch 2"] * 2


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"start_from": "yesterday"}, "start_from", "Expected model:ID, pretrained:ID or nothing, found “yesterday”."),
        ({"start_from": "model:999"}, "start_from", "This model does not exist, or was deleted meanwhile."),
        ({"start_from": "pretrained:999"}, "start_from", "This pretrained net does not exist"),
        ({"start_snapshot": "9"}, "start_snapshot", "Expected last, best or the epoch of a snapshot (up to 2)"),
        ({"topology": "squeezenet"}, "start_from", "None of the weights of “digits 手, epoch 2” fits a layer"),
    ],
)
def test_what_nothing_can_start_from_is_refused(
    api: TestClient, database: Database, trained: Trained, given: dict[str, Any], field: str, words: str
) -> None:
    big = factories.dataset(database, result=RESULT, width=64, height=64, channels="color")
    assert words in refused(api, big, **({"start_from": f"model:{trained.model.id}"} | given))[field]


def test_lost_weights_are_refused_at_the_form_and_by_the_run(
    api: TestClient, database: Database, storage: Storage, trained: Trained, dataset: Dataset
) -> None:
    made = launched(api, dataset, start_from=f"model:{trained.model.id}")
    with database.read() as session:
        model = session.get_one(Model, made["id"])
    assert start_of_run(storage, model) == trained.weights
    trained.weights.unlink()
    with pytest.raises(Refusal, match=r"start from the weights of “digits 手, epoch 2”, which are gone"):
        start_of_run(storage, model)
    assert "gone from the disk" in refused(api, dataset, start_from=f"model:{trained.model.id}")["start_from"]


def test_a_model_is_not_deleted_while_another_waits_for_its_weights(
    api: TestClient, trained: Trained, dataset: Dataset
) -> None:
    made = launched(api, dataset, start_from=f"model:{trained.model.id}")
    answer = api.delete(f"/api/v1/models/{trained.model.id}")
    assert answer.status_code == 409
    assert "“tuned” will start from its weights" in answer.json()["error"]["message"]
    assert api.post(f"/api/v1/models/{made['id']}/stop-request").status_code == 202
    assert api.delete(f"/api/v1/models/{trained.model.id}").status_code == 204
    assert api.get(f"/api/v1/models/{made['id']}").json()["started_from"] == "digits 手, epoch 2"


def test_the_preview_says_what_becomes_of_every_weight_and_where_the_input_differs(
    client: Browser, trained: Trained, dataset: Dataset
) -> None:
    form = {"csrf_token": client.csrf, "dataset_id": dataset.id, "topology": "lenet", "scale": "0.5", "crop_size": "",
            "start_from": f"model:{trained.model.id}", "start_snapshot": "last"}  # fmt: skip
    page = client.post("/models/new/_start", data=form).text
    words = " ".join(re.sub(r"<[^>]+>", " ", html.unescape(page)).split())
    assert "6 of 8 weights loaded , 2 new from digits 手, epoch 2" in words
    assert "ip2.weight new learns 2 × 500 expected 2×500, found 3×500" in words
    assert "Its pixels were multiplied by 1; here they are by 0.5." in words
    assert "are used to another input" not in client.post("/models/new/_start", data=form | {"scale": "1"}).text
    unreadable = client.post("/models/new/_start", data=form | {"scale": "x", "crop_size": "999", "mean": "?"})
    assert "weights loaded" in unreadable.text
    assert "has no snapshot" not in client.post("/models/new/_start", data=form | {"start_from": "nonsense"}).text


def test_fine_tuning_a_model_opens_the_form_with_its_net_and_its_input(
    client: Browser, database: Database, trained: Trained, dataset: Dataset
) -> None:
    page = client.get(f"/models/{trained.model.id}").text
    assert f'href="/models/new?start_from=model:{trained.model.id}"' in page
    fields = fields_of(client.get(f"/models/new?start_from=model:{trained.model.id}&snapshot=1").text)
    assert (fields["start_from"], fields["start_snapshot"]) == (f"model:{trained.model.id}", "1")
    assert (fields["scale"], fields["name"]) == ("1", "digits 手, fine-tuned")
    assert (fields["topology"], fields.get("prototxt", "")) == ("lenet", "")  # its last layer fits any dataset
    answer = client.post("/models", data=fields | {"dataset_id": str(dataset.id)})
    assert answer.status_code == 303, errors_in(answer.text)
    made = client.get(answer.headers["location"]).text
    assert f'<a href="/models/{trained.model.id}">digits 手, epoch 1</a>' in made
    clone = fields_of(client.get(f"/models/new?clone={answer.headers['location'].rpartition('/')[2]}").text)
    assert (clone["start_from"], clone["start_snapshot"]) == (f"model:{trained.model.id}", "1")


def test_a_refused_form_keeps_the_choice_even_when_it_is_gone(client: Browser, dataset: Dataset) -> None:
    fields = fields_of(client.get("/models/new").text) | {"start_from": "model:77"}
    answer = client.post("/models", data=fields)
    assert answer.status_code == 422
    assert "deleted meanwhile" in errors_in(answer.text)["start_from"]
    assert fields_of(answer.text)["start_from"] == "model:77"
    assert client.get("/models/new?start_from=model:77").status_code == 404
    assert client.get("/models/new?start_from=nonsense").status_code == 404


def test_a_model_whose_first_snapshot_is_not_there_yet_cannot_be_chosen(
    api: TestClient, database: Database, dataset: Dataset
) -> None:
    young = factories.model(database, status=Status.RUNNING, name="young")
    assert "“young” has no snapshot yet" in refused(api, dataset, start_from=f"model:{young.id}")["start_from"]
    with database.read() as session:
        assert Snapshot.last(session, young.id) is None


def row_of(database: Database, made: dict[str, Any]) -> Model:
    with database.read() as session:
        return session.get_one(Model, made["id"])


def test_training_only_what_is_new_freezes_the_rest_in_the_text(
    api: TestClient, client: Browser, database: Database, trained: Trained, dataset: Dataset
) -> None:
    key = f"model:{trained.model.id}"
    made = launched(api, dataset, start_from=key, freeze_loaded=True)
    assert made["freeze_loaded"] is True
    model = row_of(database, made)
    learned = learning(model.prototxt, (1, 28, 28), 2)
    assert {name for name, one in learned.items() if one is Learning.LEARNS} == {"ip2.weight", "ip2.bias"}
    assert model.unfrozen_prototxt == fit(zoo_entry("lenet").prototxt, 2)  # type: ignore[union-attr]
    assert row_of(database, launched(api, dataset, start_from=key)).prototxt == model.unfrozen_prototxt
    assert "only what was new" in client.get(f"/models/{model.id}").text
    clone = fields_of(client.get(f"/models/new?clone={model.id}").text)
    assert (clone["start_from"], clone["freeze_loaded"], clone["topology"]) == (key, "true", "lenet")
    assert clone.get("prototxt", "") == ""  # the same net, to be frozen anew


def test_going_on_from_a_frozen_model_trains_everything(
    api: TestClient, client: Browser, database: Database, storage: Storage, trained: Trained, dataset: Dataset
) -> None:
    made = row_of(database, launched(api, dataset, start_from=f"model:{trained.model.id}", freeze_loaded=True))
    folder = storage.snapshots_dir(made.id) / "epoch-0001"
    factories.snapshot(database, made, path=storage.relative(folder))
    fields = fields_of(client.get(f"/models/new?start_from=model:{made.id}").text)
    assert "freeze_loaded" not in fields
    assert (fields["topology"], fields.get("prototxt", "")) == ("lenet", "")
    kept = api.post("/api/v1/pretrained/from-snapshot", json={"model_id": made.id}).json()
    assert kept["prototxt"] == made.unfrozen_prototxt


def test_every_model_of_a_sweep_is_frozen_and_says_so_in_its_download(
    api: TestClient, database: Database, storage: Storage, trained: Trained, dataset: Dataset
) -> None:
    form = {"name": "tuned", "dataset_id": dataset.id, "topology": "lenet", "base_lr": [0.1, 0.01],
            "start_from": f"model:{trained.model.id}", "freeze_loaded": True}  # fmt: skip
    made = api.post("/api/v1/models", json=form).json()["models"]
    assert [model["freeze_loaded"] for model in made] == [True, True]
    folder = storage.snapshots_dir(made[0]["id"]) / "epoch-0001"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(trained.weights.read_bytes())
    factories.snapshot(database, row_of(database, made[0]), path=storage.relative(folder))
    with zipfile.ZipFile(io.BytesIO(api.get(f"/api/v1/models/{made[0]['id']}/download").content)) as archive:
        about, text = json.loads(archive.read("info.json")), archive.read("train_val.prototxt").decode()
    assert (about["started from"], about["freeze loaded"]) == ("digits 手, epoch 2", True)
    layers = {layer.name: layer.options for layer in read(text).net(Phase.TRAIN).layers}
    rates = {name: [(one.lr_mult, one.decay_mult) for one in options.param] for name, options in layers.items()}
    assert rates["conv1"] == rates["ip1"] == [(0, 0), (0, 0)]
    assert rates["ip2"] == [(1, 1), (2, 0)]


def test_freezing_everything_or_nothing_is_refused(
    api: TestClient, database: Database, trained: Trained, dataset: Dataset
) -> None:
    three = factories.dataset(database, result=RESULT | {"classes": ["a", "b", "c"]})
    given = {"start_from": f"model:{trained.model.id}", "freeze_loaded": True}
    assert "every layer of this net is loaded" in refused(api, three, **given)["freeze_loaded"]
    assert "Without a start everything is new" in refused(api, dataset, freeze_loaded=True)["freeze_loaded"]
    assert "freeze_loaded" in refused(api, dataset, freeze_loaded="perhaps")
    assert launched(api, three, **(given | {"freeze_loaded": False}))["freeze_loaded"] is False


def test_the_preview_says_what_will_learn(client: Browser, trained: Trained, dataset: Dataset) -> None:
    form = {"csrf_token": client.csrf, "dataset_id": dataset.id, "topology": "lenet", "scale": "1",
            "start_from": f"model:{trained.model.id}", "start_snapshot": "last"}  # fmt: skip

    def seen(**more: Any) -> str:
        page = client.post("/models/new/_start", data=form | more).text
        return " ".join(re.sub(r"<[^>]+>", " ", html.unescape(page)).split())

    assert "8 weights learn in training." in seen()
    assert "conv1.weight loaded learns" in seen()
    frozen = seen(freeze_loaded="true")
    assert "2 weights learn in training; loaded layers are frozen." in frozen
    assert "conv1.weight loaded frozen" in frozen
    assert "ip2.weight new learns" in frozen
    still = zoo_entry("lenet").prototxt.replace("lr_mult: 1", "lr_mult: 0")  # type: ignore[union-attr]
    assert "conv1.weight loaded frozen" in seen(prototxt=still)
    assert "No weight would learn" in seen(prototxt=still.replace("lr_mult: 2", "lr_mult: 0"))
    assert "No weight would learn" not in seen(prototxt="layer {", freeze_loaded="true")


def test_a_dataset_that_is_still_being_built_is_frozen_for_by_the_worker(
    api: TestClient, database: Database, storage: Storage, trained: Trained
) -> None:
    young = factories.dataset(database, status=Status.RUNNING, result={})
    key = f"model:{trained.model.id}"
    made = row_of(database, launched(api, young, start_from=key, freeze_loaded=True, batch_size=4))
    assert "lr_mult: 0" not in made.prototxt
    with database.write() as session:
        model = session.get_one(Model, made.id)
        session.get_one(Dataset, young.id).result = RESULT
        session.flush()
        model.prototxt = fit(model.prototxt, model.class_count)
        freeze_when_built(storage, model)
        learned = learning(model.prototxt, (1, 28, 28), 2)
        frozen = model.prototxt
        freeze_when_built(storage, model)  # the next attempt
        assert (model.prototxt, "lr_mult: 0" in model.unfrozen_prototxt) == (frozen, False)
    assert {name for name, one in learned.items() if one is Learning.LEARNS} == {"ip2.weight", "ip2.bias"}


def test_a_source_is_held_while_it_is_needed_on_either_database(any_settings: Settings, any_database: Database) -> None:
    app = create_app(any_settings)
    storage, user = app.state.storage, factories.user(any_database, is_admin=True)
    net = factories.pretrained_net(any_database, prototxt=LENET)
    storage.pretrained_dir(net.id).mkdir(parents=True)
    shapes = trained_weights(LENET, (1, 28, 28), 3)
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    save_file(weights, storage.pretrained_dir(net.id) / "weights.safetensors")
    dataset = factories.dataset(any_database, result=RESULT)
    form = NewModel.model_validate(
        {"name": "tuned", "dataset_id": dataset.id, "topology": "lenet", "start_from": f"pretrained:{net.id}"}
    )
    sweep_id = launch(any_database, storage, app.state.queue, user, form)
    with pytest.raises(PretrainedBusy, match="“tuned” will start from its weights"):
        delete_pretrained(any_database, storage, user, net.id)
    with any_database.read() as session:
        page = list_pretrained(session, Filter())
    assert (page.used_by, page.classes) == ({net.id: 1}, {net.id: 2})
    stop_sweep(any_database, user, sweep_id)
    delete_pretrained(any_database, storage, user, net.id)
    with pytest.raises(InvalidModel, match="does not exist, or was deleted meanwhile"):
        launch(any_database, storage, app.state.queue, user, form)
