"""The download of a model: what is in it, how it is sent, and what it is called."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient
from google.protobuf import text_format

from app.augmentation import Augmentation
from app.db import Database, Model, Status
from app.downloads import Entry, attachment, stream_zip
from app.storage import Storage
from app.topology import caffe_pb2
from app.topology.zoo import zoo_entry
from tests import factories
from tests.conftest import Browser

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]
WEIGHTS = bytes(range(256)) * 40
MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


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
        (storage.home / path / "weights.safetensors").write_bytes(f"{epoch:g}".encode() + WEIGHTS)
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


def test_the_zip_holds_nets_weights_labels_means_and_log(api: TestClient, model: Model) -> None:
    answer = api.get(f"/api/v1/models/{model.id}/download")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    files = unzipped(answer.content)
    assert set(files) == {
        "info.json", "train_val.prototxt", "deploy.prototxt", "solver.prototxt", "preprocess.py", "labels.txt",
        "mean.npy", "mean.png",
        "mean.binaryproto", "weights.safetensors", "log.txt",
    }  # fmt: skip
    assert files["weights.safetensors"] == b"2.5" + WEIGHTS
    assert files["labels.txt"] == b"cat\ndog\n"
    assert files["mean.binaryproto"] == b"mean.binaryproto"
    assert files["log.txt"] == b"Epoch 1\n"


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
    assert unzipped(answer.content)["weights.safetensors"] == epoch.encode() + WEIGHTS


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
    tracemalloc.start()
    tracemalloc.reset_peak()  # of what another test may have left tracing
    before_bytes = tracemalloc.get_traced_memory()[0]
    size = sum(len(piece) for piece in stream_zip([Entry("weights", large, is_compressed=False)], MOMENT))
    peak_bytes = tracemalloc.get_traced_memory()[1] - before_bytes
    tracemalloc.stop()
    assert size > 64 << 20
    assert peak_bytes < 16 << 20


def test_the_same_content_gives_the_same_archive() -> None:
    entries = [Entry("labels.txt", "cat\ndog\n")]
    assert b"".join(stream_zip(entries, MOMENT)) == b"".join(stream_zip(entries, MOMENT))
