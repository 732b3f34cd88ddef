"""What was sent becomes a pretrained net: its weights under our names, its mean, its remarks; or a reason why not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load_file
from safetensors.numpy import save as safetensors_bytes

from app.db import Database, Job, JobKind, Prediction, PretrainedNet, Snapshot, Status
from app.settings import Settings
from app.storage import Storage
from app.topology import caffe_pb2
from tests import factories
from tests.app.predicted import png_of
from tests.app.pretrained_nets import COLOR, DEPLOY, LABELS, arrays, do_import, form, named, safetensors
from tests.worker.pretrained.caffemodels import new_caffemodel, old_caffemodel
from worker.lease import Lease
from worker.run import do

Import = Callable[..., PretrainedNet]


@pytest.fixture
def imported(api: TestClient, database: Database, settings: Settings, storage: Storage) -> Import:
    """Sends weights, and imports them."""

    def send(weights: bytes, **fields: Any) -> PretrainedNet:
        answer = api.post("/api/v1/pretrained", **form(weights, **fields))
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "queued"
        return do_import(database, settings, storage, answer.json()["id"])

    return send


def weights_of(storage: Storage, net: PretrainedNet) -> dict[str, Any]:
    return load_file(storage.pretrained_dir(net.id) / "weights.safetensors")


@pytest.mark.parametrize(
    "weights", [new_caffemodel(arrays()), old_caffemodel(arrays()), safetensors()], ids=["new", "old", "safetensors"]
)
def test_every_form_gives_the_same_weights_bit_for_bit(imported: Import, storage: Storage, weights: bytes) -> None:
    net = imported(weights)
    assert (net.status, net.job.error, net.is_complete, net.remarks) == (Status.DONE, None, True, [])
    found, wanted = weights_of(storage, net), named(arrays())
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in wanted.items()}
    assert {name: array.shape for name, array in found.items()} == {n: a.shape for n, a in wanted.items()}
    assert net.parameters == sum(array.size for array in wanted.values())
    assert [layer["name"] for layer in net.layers] == ["conv1", "ip1"]
    folder = storage.pretrained_dir(net.id)
    assert {path.name for path in folder.iterdir()} == {
        "weights.safetensors",
        "net.prototxt",
        "labels.txt",
        "info.json",
    }
    assert (folder / "labels.txt").read_text() == LABELS


def test_layers_that_either_side_lacks_are_named(imported: Import, storage: Storage) -> None:
    layers = arrays()
    layers["fc8"] = layers.pop("ip1")
    net = imported(new_caffemodel(layers))
    assert (net.status, net.is_complete) == (Status.DONE, False)
    assert set(weights_of(storage, net)) == {"conv1.weight", "conv1.bias"}
    assert net.remarks == [
        "The file has no weights for ip1.weight, ip1.bias; a model that starts from this gets new ones.",
        "The prototxt has no layer for fc8.0, fc8.1; they were left out.",
    ]


def bad(change: Callable[[dict[str, Any]], Any]) -> bytes:
    layers = arrays()
    change(layers)
    return new_caffemodel(layers)


INFINITE = safetensors_bytes(named(arrays()) | {"conv1.weight": np.full((6, 1, 3, 3), np.inf, np.float32)})
HALF = safetensors_bytes({"conv1.weight": arrays()["conv1"][0]})


def with_nan(layers: dict[str, Any]) -> None:
    layers["ip1"][0][1, 7] = np.nan


@pytest.mark.parametrize(
    ("weights", "fields", "words"),
    [
        (bad(with_nan), {}, "ip1.weight: 1 of its numbers are infinite or no numbers at all"),
        (new_caffemodel(arrays())[:-9], {}, "this is no .caffemodel, or a damaged one: at byte"),
        (
            new_caffemodel(arrays()),
            {"prototxt": DEPLOY.replace("dim: 12 dim: 12", "dim: 14 dim: 14")},
            "The prototxt does not fit the weights: ip1.weight: expected 3×216, found 3×150. Is it the net's own",
        ),
        (
            new_caffemodel({"a": arrays()["ip1"]}),
            {},
            "No layer of the prototxt finds all of its weights in the file: it needs conv1.weight",
        ),
        (HALF, {}, "it needs conv1.weight, conv1.bias, ip1.weight, ip1.bias; the file has conv1.weight."),
        (b"\x0a\x03net", {}, "this .caffemodel has no weights in any layer"),
        (new_caffemodel(arrays()), {"mean": b"not a mean"}, "no mean.binaryproto"),
        (new_caffemodel(arrays()), {"channel_order": "rgb"}, "Expected a Convolution over three channels"),
        (INFINITE, {}, "conv1.weight: 54 of its"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_fails_with_the_reason(
    imported: Import, storage: Storage, weights: bytes, fields: dict[str, Any], words: str
) -> None:
    net = imported(weights, **fields)
    assert net.status == Status.FAILED
    assert words in str(net.job.error)
    assert not (storage.pretrained_dir(net.id) / "weights.safetensors").exists()


def mean_file(channels: int, side: int) -> bytes:
    values = np.arange(channels * side * side, dtype=np.float32)
    return caffe_pb2.BlobProto(num=1, channels=channels, height=side, width=side, data=values).SerializeToString()


def test_a_mean_image_larger_than_the_input_says_how_large_images_were(imported: Import, storage: Storage) -> None:
    net = imported(new_caffemodel(arrays()), mean=mean_file(1, 16))
    preprocessing = net.preprocessing_value
    assert (preprocessing.width, preprocessing.height, preprocessing.crop_size) == (16, 16, 12)
    assert preprocessing.mean == "image"
    assert np.load(storage.pretrained_dir(net.id) / "mean.npy").shape == (1, 16, 16)


def test_a_mean_image_of_another_size_gives_its_mean_per_channel(imported: Import) -> None:
    net = imported(new_caffemodel(arrays()), mean=mean_file(1, 3), width=20, height=20)
    assert net.preprocessing_value.mean_values == (4.0,)
    assert net.remarks == ["The mean image is 3 × 3, images are 20 × 20: its mean per channel is subtracted."]


def test_a_net_for_rgb_is_turned_round(imported: Import, storage: Storage) -> None:
    net = imported(
        safetensors(3),
        prototxt=COLOR,
        channel_order="rgb",
        mean_values="123.68, 116.78, 103.94",
        filename="s.safetensors",
    )
    assert net.status == Status.DONE, net.job.error
    assert net.preprocessing_value.mean_values == (103.94, 116.78, 123.68)
    found = weights_of(storage, net)
    assert np.array_equal(found["conv1.weight"], arrays(3)["conv1"][0][:, ::-1])
    assert np.array_equal(found["ip1.weight"], arrays(3)["ip1"][0])
    assert "trained on RGB" in net.remarks[0]


@pytest.mark.parametrize(
    ("mean", "values", "expected"),
    [("none", [], ()), ("pixel", [33.0], (33.0,)), ("pixel", [], (4.0,)), ("image", [], ())],
)
def test_a_kept_snapshot_subtracts_what_its_model_did(
    api: TestClient,
    database: Database,
    settings: Settings,
    storage: Storage,
    mean: str,
    values: list[float],
    expected: Any,
) -> None:
    preprocessing = {"channels": "gray", "width": 12, "height": 12, "mean": mean, "mean_values": values}
    model = factories.model(database, prototxt=DEPLOY, preprocessing=preprocessing)
    folder = storage.snapshots_dir(model.id) / "epoch-0001"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(safetensors())
    factories.snapshot(database, model, path=storage.relative(folder))
    storage.dataset_dir(model.dataset_id).mkdir(parents=True)
    np.save(storage.dataset_dir(model.dataset_id) / "mean.npy", np.full((1, 12, 12), 4, np.float32))
    answer = api.post("/api/v1/pretrained/from-snapshot", json={"model_id": model.id})
    net = do_import(database, settings, storage, answer.json()["id"])
    assert net.status == Status.DONE, net.job.error
    assert (net.preprocessing_value.mean, net.preprocessing_value.mean_values) == (mean, expected)
    assert (storage.pretrained_dir(net.id) / "mean.npy").exists() == (mean == "image")


def test_a_snapshot_is_kept_whatever_becomes_of_its_model(
    api: TestClient, database: Database, settings: Settings, storage: Storage
) -> None:
    text = DEPLOY + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }'
    model = factories.model(
        database, prototxt=text.replace('type: "Softmax" ', 'type: "Softmax" include { phase: TEST } ')
    )
    with database.write() as session:
        session.get_one(type(model), model.id).preprocessing = {"channels": "gray", "width": 12, "height": 12}
    folder = storage.snapshots_dir(model.id) / "epoch-0001"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(safetensors())
    factories.snapshot(database, model, path=storage.relative(folder))
    answer = api.post("/api/v1/pretrained/from-snapshot", json={"model_id": model.id})
    assert answer.status_code == 201, answer.text
    net = do_import(database, settings, storage, answer.json()["id"])
    assert (net.status, net.job.error) == (Status.DONE, None)
    assert (net.name, net.labels) == ("LeNet on pets, epoch 1", ["cat", "dog"])
    assert api.delete(f"/api/v1/models/{model.id}").status_code == 204
    assert weights_of(storage, net).keys() == named(arrays()).keys()
    with database.read() as session:
        assert Snapshot.last(session, model.id) is None


def test_a_picture_is_tested_on_it_as_on_a_model(
    api: TestClient, database: Database, settings: Settings, storage: Storage, imported: Import
) -> None:
    """Against NumPy: the weights that were sent, by the layers that the prototxt names."""
    net = imported(new_caffemodel(arrays()), mean_values="33", scale="0.01")
    picture = png_of(12, 12)
    answer = api.post(f"/api/v1/pretrained/{net.id}/predictions", files={"image": ("a.png", picture)})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["model_id"], made["pretrained_id"], made["snapshot"]) == (None, net.id, "")
    run_job(database, settings, storage, made["id"])
    found = api.get(f"/api/v1/pretrained/{net.id}/predictions/{made['id']}").json()
    assert (found["status"], found["error"]) == ("done", None)
    pixels = (np.asarray(Image.open(io.BytesIO(picture)), np.float64) - 33) * 0.01
    expected = probabilities(pixels)
    assert {entry["label"]: entry["probability"] for entry in found["top"]} == pytest.approx(
        dict(zip(("left", "middle", "right"), expected, strict=True)), abs=1e-5
    )
    assert [layer["name"] for layer in found["layers"]] == ["data", "conv1", "relu1", "pool1", "ip1", "prob"]
    assert api.get(found["layers"][1]["activation"]).status_code == 200
    assert api.get(f"/api/v1/models/{net.id}/predictions/{made['id']}").status_code == 404
    assert api.delete(f"/api/v1/pretrained/{net.id}").status_code == 204
    assert api.get(f"/api/v1/pretrained/{net.id}/predictions").status_code == 404


def test_one_without_all_of_its_weights_cannot_be_tested(api: TestClient, imported: Import) -> None:
    net = imported(new_caffemodel({"conv1": arrays()["conv1"]}))
    answer = api.post(f"/api/v1/pretrained/{net.id}/predictions", files={"image": ("a.png", png_of(12, 12))})
    assert answer.status_code == 422
    assert "lacks weights that prediction needs" in answer.json()["error"]["fields"]["image"]


def run_job(database: Database, settings: Settings, storage: Storage, prediction_id: int) -> None:
    with database.write() as session:
        job = Job.claim(session, session.get_one(Prediction, prediction_id).job_id, "tests", 30)
    assert job is not None
    do(settings, database, storage, Lease(database, job.id, job.attempt, lease_s=30, heartbeat_s=5), JobKind(job.kind))


def probabilities(pixels: Any) -> Any:
    """conv 3×3 → ReLU → max-pool 2/2 → inner product → softmax, in float64."""
    (kernels, offsets), (weight, bias) = arrays()["conv1"], arrays()["ip1"]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3))
    maps = np.maximum(np.einsum("hwij,oij->ohw", windows, kernels[:, 0]) + offsets[:, None, None], 0)
    pooled = maps.reshape(6, 5, 2, 5, 2).max((2, 4))
    scores = weight.astype(np.float64) @ pooled.reshape(-1) + bias
    exps = np.exp(scores - scores.max())
    return exps / exps.sum()
