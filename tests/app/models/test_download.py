"""The download of a model: what is in it, how it is sent, and what it is called."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from google.protobuf import text_format
from numpy.typing import NDArray
from safetensors.numpy import load, save_file

from app.augmentation import Augmentation
from app.db import Database, Model, Status
from app.download_forms import MEAN_FILES, attachment
from app.download_stream import Entry, stream_zip
from app.storage import Storage
from app.topology import caffe_pb2
from app.topology.zoo import zoo_entry
from tests import factories
from tests.conftest import Browser
from tests.memory import traced
from worker.pretrained.caffemodel import read_caffemodel

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]
ALWAYS = {"README.md", "info.json", "predict.py", "preprocess.py", "labels.txt"}
MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def weights_of(epoch: float) -> dict[str, NDArray[np.float32]]:
    """Of LeNet for two classes, the same number everywhere."""
    shapes = {"conv1.weight": (20, 1, 5, 5), "conv1.bias": (20,), "conv2.weight": (50, 20, 5, 5), "conv2.bias": (50,),
              "ip1.weight": (500, 800), "ip1.bias": (500,), "ip2.weight": (2, 500), "ip2.bias": (2,)}  # fmt: skip
    return {name: np.full(shape, epoch, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def model(database: Database, storage: Storage) -> Model:
    """A model with snapshots at epochs 1 (the better one), 2 and 2.5, and its dataset's mean files."""
    model = factories.model(database, name="手書き LeNet", prototxt=LENET, accuracy={"val": 0.9})
    for epoch, accuracy in ((1.0, 0.95), (2.0, 0.9), (2.5, 0.8)):
        path = f"models/{model.id}/snapshots/epoch-{epoch:g}"
        factories.snapshot(
            database, model, epoch=epoch, iteration=int(epoch * 100), path=path,
            metrics={"val/accuracy": accuracy, "val/loss": 0.3},
        )  # fmt: skip
        (storage.home / path).mkdir(parents=True)
        save_file(weights_of(epoch), storage.home / path / "weights.safetensors")
    dataset_dir = storage.dataset_dir(model.dataset_id)
    dataset_dir.mkdir(parents=True)
    for name in ("mean.npy", "mean.png", "mean.binaryproto"):
        (dataset_dir / name).write_bytes(name.encode())
    storage.model_log(model.id).write_text("Epoch 1\n")
    return model


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_holds_every_form_of_the_net_and_all_that_belongs_to_it(api: TestClient, model: Model) -> None:
    answer = api.get(f"/api/v1/models/{model.id}/download")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    files = unzipped(answer.content)
    assert set(files) == ALWAYS | {
        "train_val.prototxt", "deploy.prototxt", "solver.prototxt", "mean.npy", "mean.png", "mean.binaryproto",
        "weights.safetensors", "weights.caffemodel", "model.py", "model.onnx", "log.txt",
    }  # fmt: skip
    assert set(load(files["weights.safetensors"])["ip1.bias"].tolist()) == {2.5}
    assert files["labels.txt"] == b"cat\ndog\n"
    assert files["mean.binaryproto"] == b"mean.binaryproto"
    assert files["log.txt"] == b"Epoch 1\n"


@pytest.mark.parametrize(
    ("form", "own"),
    [
        ("caffe", {"deploy.prototxt", "train_val.prototxt", "solver.prototxt", "weights.caffemodel", *MEAN_FILES}),
        ("onnx", {"model.onnx"}),
        ("pytorch", {"model.py", "weights.safetensors", "mean.npy"}),
    ],
)
def test_a_form_by_itself_holds_what_it_needs_and_says_what_is_what(
    api: TestClient, model: Model, form: str, own: set[str]
) -> None:
    answer = api.get(f"/api/v1/models/{model.id}/download", params={"format": form})
    assert unquote(answer.headers["content-disposition"]).endswith(f"epoch 2.50 {form}.zip")
    files = unzipped(answer.content)
    assert set(files) == ALWAYS | own
    assert json.loads(files["info.json"])["files"] == sorted(files)
    described = set(re.findall(r"^- `([^`]+)`: .", files["README.md"].decode(), flags=re.MULTILINE))
    assert described == ALWAYS | own


def test_the_weights_are_the_snapshots_in_every_form(api: TestClient, model: Model) -> None:
    files = unzipped(api.get(f"/api/v1/models/{model.id}/download?snapshot=1").content)
    for blobs in read_caffemodel(files["weights.caffemodel"]).values():
        assert {float(value) for blob in blobs for value in blob.flat} == {1.0}
    graph = onnx.load_from_string(files["model.onnx"]).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert np.array_equal(weights["ip1.weight"], weights_of(1)["ip1.weight"])


def test_a_form_that_the_net_cannot_take_is_refused_with_the_layer_and_left_out_of_the_zip(
    api: TestClient, database: Database, model: Model
) -> None:
    with database.write() as session:
        kept = session.get_one(Model, model.id)
        kept.preprocessing = kept.preprocessing | {"mean": "image"}  # whose file is damaged
    answer = api.get(f"/api/v1/models/{model.id}/download", params={"format": "onnx"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_exportable")
    assert "ONNX: the mean image of the dataset cannot be read" in answer.json()["error"]["message"]
    files = unzipped(api.get(f"/api/v1/models/{model.id}/download").content)
    assert "model.onnx" not in files
    assert {"weights.caffemodel", "model.py"} <= set(files)
    assert "- `model.onnx`: the mean image of the dataset cannot be read" in files["README.md"].decode()


def test_a_net_that_cannot_predict_is_sent_as_far_as_it_goes(api: TestClient, database: Database, model: Model) -> None:
    with database.write() as session:
        kept = session.get_one(Model, model.id)
        kept.prototxt = LENET.replace('bottom: "pool2"', 'bottom: "label"')
    files = unzipped(api.get(f"/api/v1/models/{model.id}/download").content)
    assert not {"deploy.prototxt", "weights.caffemodel", "model.py", "model.onnx"} & set(files)
    assert {"train_val.prototxt", "weights.safetensors", "labels.txt"} <= set(files)
    assert '- `deploy.prototxt`: ip1: prediction has only the image "data"' in files["README.md"].decode()
    answer = api.get(f"/api/v1/models/{model.id}/download", params={"format": "caffe"})
    assert answer.status_code == 409


def test_layers_that_opencv_takes_otherwise_than_caffe_are_named(
    api: TestClient, database: Database, model: Model
) -> None:
    log = 'layer { name: "log" type: "Log" bottom: "pool2" top: "pool2" log_param { shift: 1 } }\n'
    normalized = LENET.replace('layer {\n  name: "ip1"', log + 'layer {\n  name: "ip1"')
    with database.write() as session:
        session.get_one(Model, model.id).prototxt = normalized
    notes = unzipped(api.get(f"/api/v1/models/{model.id}/download").content)["README.md"].decode()
    assert "- log (Log): its numbers are others\n" in notes


@pytest.mark.parametrize("form", ["caffe", "onnx", "pytorch"])
def test_weights_of_another_net_are_told(api: TestClient, database: Database, model: Model, form: str) -> None:
    with database.write() as session:
        kept = session.get_one(Model, model.id)
        kept.prototxt = LENET.replace("num_output: 50 ", "num_output: 60 ")
    answer = api.get(f"/api/v1/models/{model.id}/download", params={"format": form})
    assert answer.status_code == 409
    assert "conv2" in answer.json()["error"]["message"]
    assert "expected 60×20×5×5 in conv2.weight, found 50×20×5×5 in the snapshot" in answer.json()["error"]["message"]


def test_a_format_that_nobody_knows_is_refused(api: TestClient, client: Browser, model: Model) -> None:
    assert api.get(f"/api/v1/models/{model.id}/download", params={"format": "keras"}).status_code == 422
    page = client.get(f"/models/{model.id}/download", params={"format": "keras"})
    assert page.status_code == 404
    assert "expected zip, caffe, onnx, pytorch" in page.text


def test_the_prototxts_are_caffes_and_fitted_to_the_classes(api: TestClient, model: Model) -> None:
    files = unzipped(api.get(f"/api/v1/models/{model.id}/download").content)
    deploy = text_format.Parse(files["deploy.prototxt"].decode(), caffe_pb2.NetParameter())
    assert list(deploy.layer[0].input_param.shape[0].dim) == [1, 1, 28, 28]
    assert [layer.inner_product_param.num_output for layer in deploy.layer if layer.type == "InnerProduct"] == [500, 2]
    train = text_format.Parse(files["train_val.prototxt"].decode(), caffe_pb2.NetParameter())
    assert [layer.data_param.batch_size for layer in train.layer if layer.type == "Data"] == [64, 100]
    solver = text_format.Parse(files["solver.prototxt"].decode(), caffe_pb2.SolverParameter())
    assert (solver.type, solver.lr_policy, round(solver.base_lr, 6)) == ("SGD", "inv", 0.01)


def test_info_json_says_what_digits_wrote_and_what_making_it_again_takes(api: TestClient, model: Model) -> None:
    info = json.loads(unzipped(api.get(f"/api/v1/models/{model.id}/download").content)["info.json"])
    assert (info["name"], info["id"], info["dataset_id"]) == ("手書き LeNet", model.id, model.dataset_id)
    assert info["image dimensions"] == [28, 28, 1]
    assert info["snapshot file"] == "weights.safetensors"
    assert (info["deploy file"], info["labels file"]) == ("deploy.prototxt", "labels.txt")
    assert info["dataset content hash"] == "a" * 64
    assert info["preprocessing"]["channel_order"] == "gray"
    assert info["augmentation"] == Augmentation().to_dict()
    assert (info["snapshot epoch"], info["snapshot iteration"]) == (2.5, 250)
    assert info["solver"]["base_lr"] == 0.01


@pytest.mark.parametrize(
    ("wanted", "epoch"), [("last", "2.5"), ("best", "1"), ("1", "1"), ("2", "2"), ("2.50", "2.5"), ("2.5", "2.5")]
)
def test_the_wanted_snapshot_is_sent(client: Browser, model: Model, wanted: str, epoch: str) -> None:
    answer = client.get(f"/models/{model.id}/download", params={"snapshot": wanted})
    weights = load(unzipped(answer.content)["weights.safetensors"])
    assert set(weights["ip1.bias"].tolist()) == {float(epoch)}


@pytest.mark.parametrize("wanted", ["7", "worst", "../../etc", "1e9"])
def test_a_snapshot_that_does_not_exist_is_not_found(api: TestClient, model: Model, wanted: str) -> None:
    answer = api.get(f"/api/v1/models/{model.id}/download", params={"snapshot": wanted})
    assert answer.status_code == 404
    assert "last, best" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("status", "words"), [(Status.RUNNING, "nothing to download yet"), (Status.FAILED, "failed")])
def test_a_model_without_a_snapshot_says_why_there_is_nothing(
    api: TestClient, database: Database, status: Status, words: str
) -> None:
    model = factories.model(database, status=status)
    answer = api.get(f"/api/v1/models/{model.id}/download")
    assert answer.status_code == 409
    assert words in answer.json()["error"]["message"]


def test_weights_that_are_gone_from_the_disk_are_told(api: TestClient, model: Model, storage: Storage) -> None:
    storage.delete(storage.snapshots_dir(model.id))
    answer = api.get(f"/api/v1/models/{model.id}/download")
    assert answer.status_code == 409
    assert "gone from the disk" in answer.json()["error"]["message"]


def test_a_japanese_name_reaches_the_browser(api: TestClient, model: Model) -> None:
    header = api.get(f"/api/v1/models/{model.id}/download").headers["content-disposition"]
    assert unquote(header.partition("filename*=UTF-8''")[2]) == "手書き LeNet epoch 2.50.zip"


@pytest.mark.parametrize("name", ['a"b\r\nSet-Cookie: x=1.zip', "../../x.zip", "手" * 400 + ".zip", ".zip", "\x00.zip"])
def test_no_name_breaks_the_header(name: str) -> None:
    header = attachment(name)
    header.encode("ascii")
    assert not set(header) & set("\r\n\x00/\\")
    assert header.count('"') == 2
    assert header.endswith(".zip")
    assert len(unquote(header.partition("UTF-8''")[2])) <= 124


def test_a_large_file_is_never_held_as_a_whole(tmp_path: Path) -> None:
    large = tmp_path / "weights"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    with traced() as memory:
        size = sum(len(piece) for piece in stream_zip([Entry("weights", large, is_compressed=False)], MOMENT))
    assert size > 64 << 20
    assert memory.peak_bytes < 16 << 20


def test_the_same_content_gives_the_same_archive() -> None:
    entries = [Entry("labels.txt", "cat\ndog\n")]
    assert b"".join(stream_zip(entries, MOMENT)) == b"".join(stream_zip(entries, MOMENT))
