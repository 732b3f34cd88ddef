"""The main job through the JSON API, on real MNIST: once on one machine, once as a team runs it (PostgreSQL, Redis)."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from safetensors.torch import load
from torch.nn import functional

from app.topology import caffe_pb2
from tests import databases, machine
from tests.server import Api, Server, serving, wait_until

EPOCHS = 3
SITES = ["one machine", "a team"]


@dataclass
class Walk:
    """What came of the path so far, for the tests that look at its parts."""

    server: Server
    api: Api
    upload: dict[str, Any]
    dataset: dict[str, Any]
    model: dict[str, Any]
    events: list[dict[str, Any]]
    archive: zipfile.ZipFile


@pytest.fixture(scope="module", params=SITES)
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Iterator[Walk]:
    home = tmp_path_factory.mktemp("walk") / "home"
    if request.param == "one machine":
        with serving(home) as server:
            yield walk_the_path(server, real_data / "mnist-test.zip", mean="none")
        return
    with databases.fresh_postgres() as url:
        environment = {"TRAINYARD_DATABASE_URL": url, "TRAINYARD_BROKER_URL": machine.redis_url()}
        with serving(home, ("web", "worker"), **environment) as server:
            yield walk_the_path(server, real_data / "mnist-test.zip", mean="image")


def walk_the_path(server: Server, archive: Path, mean: str) -> Walk:
    api = server.client()
    upload = api.upload(archive, "MNIST 手書き数字")
    dataset = api.dataset(upload["id"], name="MNIST 28 × 28")
    (model,) = api.models(dataset["id"], name="LeNet", epochs=EPOCHS, mean=mean)
    with Follower(api, model["id"]) as follower:
        model = api.ended(f"models/{model['id']}", patience_s=300)
        last = api.seen(f"models/{model['id']}/metrics")["points"][-1]["id"]
        wait_until(lambda: follower.events and follower.events[-1]["id"] == last, "the last point", 10, server)
    download = api.get(f"models/{model['id']}/download", params={"snapshot": "last"})
    assert download.status_code == 200
    return Walk(server, api, upload, dataset, model, follower.events, zipfile.ZipFile(io.BytesIO(download.content)))


class Follower(threading.Thread):
    """Reads a model's server-sent events as a page does."""

    def __init__(self, api: Api, model_id: int) -> None:
        super().__init__(daemon=True)
        self.url, self.headers = f"{api.base_url}models/{model_id}/events", dict(api.headers)
        self.events: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.is_enough = False

    def __enter__(self) -> Follower:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_enough = True
        self.join(timeout=30)

    def run(self) -> None:
        with httpx.stream("GET", self.url, headers=self.headers, timeout=60) as answer:
            name = ""
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data" and name == "points":
                    self.events.extend(json.loads(value)["points"])
                elif field == "data" and name == "state":
                    self.states.append(json.loads(value))
                if self.is_enough:
                    return


def test_the_upload_is_received_whole_and_its_classes_are_counted(walk: Walk, real_data: Path) -> None:
    archive = (real_data / "mnist-test.zip").read_bytes()
    assert walk.upload["sha256"] == hashlib.sha256(archive).hexdigest()
    assert (walk.upload["name"], walk.upload["status"]) == ("MNIST 手書き数字", "done")
    counts = {entry["name"]: entry["count"] for entry in walk.upload["classes"]}
    names = [Path(name) for name in zipfile.ZipFile(io.BytesIO(archive)).namelist() if name.endswith(".png")]
    assert counts == {str(digit): sum(path.parent.name == str(digit) for path in names) for digit in range(10)}
    assert walk.api.seen(f"uploads/{walk.upload['id']}")["size_bytes"] == len(archive)


def test_the_dataset_is_split_70_10_20_within_every_class(walk: Walk) -> None:
    dataset = walk.dataset
    assert dataset["classes"] == [str(digit) for digit in range(10)]
    assert dataset["skipped_count"] == 0
    counts = {entry["name"]: entry["count"] for entry in walk.upload["classes"]}
    for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        for name, count in zip(dataset["classes"], dataset["splits"][split]["per_class"], strict=True):
            assert abs(count - share * counts[name]) <= 1.5, (split, name)
    assert sum(split["count"] for split in dataset["splits"].values()) == 10_000
    assert dataset["mean"] == pytest.approx([33.8], abs=0.5)  # MNIST's mean pixel: 0.1325 × 255


def test_the_model_has_learnt(walk: Walk) -> None:
    model = walk.model
    assert (model["status"], model["epoch"], model["progress_percent"]) == ("done", EPOCHS, 100)
    assert model["parameters"] == 431_080  # 520 + 25,050 + 400,500 + 5,010, as published
    for split in ("train", "val", "test"):
        assert 0.95 < model["accuracy"][split] <= 1, model["accuracy"]
    assert [snapshot["epoch"] for snapshot in model["snapshots"]] == [3, 2, 1]


def test_the_metrics_are_complete_and_in_order(walk: Walk) -> None:
    points = walk.api.seen(f"models/{walk.model['id']}/metrics")["points"]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        by_name.setdefault(point["name"], []).append(point)
    assert [point["epoch"] for point in by_name["val/accuracy"]] == [0, 1, 2, 3]
    assert len(by_name["train/loss"]) > 10
    assert by_name["train/loss"][0]["value"] == pytest.approx(np.log(10), abs=0.5)
    assert by_name["train/loss"][-1]["value"] < 0.3
    assert [point["iteration"] for point in by_name["train/loss"]] == sorted(
        {point["iteration"] for point in by_name["train/loss"]}
    )
    first = by_name["learning_rate"][0]
    assert first["value"] == pytest.approx(0.01 * (1 + 1e-4 * (first["iteration"] - 1)) ** -0.75, rel=1e-6)
    middle = points[len(points) // 2]["id"]
    rest = walk.api.seen(f"models/{walk.model['id']}/metrics", since=middle)["points"]
    assert rest == [point for point in points if point["id"] > middle]


def test_the_events_brought_every_point_once(walk: Walk) -> None:
    points = walk.api.seen(f"models/{walk.model['id']}/metrics")["points"]
    assert walk.events == points


def test_the_download_holds_what_it_takes_to_use_the_model_elsewhere(walk: Walk) -> None:
    archive, info = walk.archive, json.loads(walk.archive.read("info.json"))
    assert archive.testzip() is None
    assert set(archive.namelist()) >= {
        "train_val.prototxt",
        "deploy.prototxt",
        "solver.prototxt",
        "labels.txt",
        "mean.npy",
        "mean.binaryproto",
        "weights.safetensors",
        "weights.caffemodel",
        "model.onnx",
        "model.py",
        "predict.py",
        "info.json",
    }
    assert archive.read("labels.txt").decode().split() == walk.dataset["classes"]
    assert info["dataset content hash"] == walk.dataset["content_hash"]
    assert info["snapshot epoch"] == EPOCHS
    for name, kind in (("train_val", caffe_pb2.NetParameter()), ("deploy", caffe_pb2.NetParameter())):
        net = text_format.Parse(archive.read(f"{name}.prototxt").decode(), kind)
        layers = {layer.name: layer for layer in net.layer}
        assert layers["ip2"].inner_product_param.num_output == 10
    weights = load(archive.read("weights.safetensors"))
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {
        "conv1.weight": (20, 1, 5, 5),
        "conv1.bias": (20,),
        "conv2.weight": (50, 20, 5, 5),
        "conv2.bias": (50,),
        "ip1.weight": (500, 800),
        "ip1.bias": (500,),
        "ip2.weight": (10, 500),
        "ip2.bias": (10,),
    }
    mean = np.load(io.BytesIO(archive.read("mean.npy")))
    assert (mean.shape, mean.dtype) == ((1, 28, 28), np.float32)
    assert mean.mean() == pytest.approx(walk.dataset["mean"][0], abs=0.01)


def lenet(weights: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """LeNet written by hand: images (N, 1, 28, 28) float32 → probabilities (N, 10)."""
    blob = functional.max_pool2d(functional.conv2d(images, weights["conv1.weight"], weights["conv1.bias"]), 2)
    blob = functional.max_pool2d(functional.conv2d(blob, weights["conv2.weight"], weights["conv2.bias"]), 2)
    blob = functional.relu(functional.linear(blob.flatten(1), weights["ip1.weight"], weights["ip1.bias"]))
    return functional.linear(blob, weights["ip2.weight"], weights["ip2.bias"]).softmax(dim=1)


def as_input(picture: bytes, info: dict[str, Any], archive: zipfile.ZipFile) -> torch.Tensor:
    """A picture as `info.json` says the net wants it: (1, H, W) float32."""
    told = info["preprocessing"]
    assert (told["channels"], told["crop_size"]) == ("gray", None)
    image = Image.open(io.BytesIO(picture)).convert("L").resize((told["width"], told["height"]))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32))[None]
    if told["mean"] == "image":
        pixels = pixels - torch.from_numpy(np.load(io.BytesIO(archive.read("mean.npy"))))
    else:
        assert told["mean"] == "none"
    return pixels * told["scale"]


def test_predictions_equal_a_plain_forward_of_the_downloaded_weights(walk: Walk, real_data: Path) -> None:
    """The first 100 pictures of the test split, those that the model has never seen."""
    source = zipfile.ZipFile(real_data / "mnist-test.zip")
    paths = {name.split("/", name.count("/") - 1)[-1]: name for name in source.namelist()}
    listed = (walk.server.home / "datasets" / str(walk.dataset["id"]) / "test.txt").read_text().splitlines()
    pictures = [source.read(paths[line.rpartition(" ")[0]]) for line in listed[:100]]

    place = f"models/{walk.model['id']}/predictions"
    made = [
        walk.api.made(place, files={"image": (f"{number}.png", picture)}, data={"layers": "false"})
        for number, picture in enumerate(pictures)
    ]
    found = [walk.api.ended(f"{place}/{prediction['id']}") for prediction in made]

    info = json.loads(walk.archive.read("info.json"))
    images = torch.stack([as_input(picture, info, walk.archive) for picture in pictures])
    expected = lenet(load(walk.archive.read("weights.safetensors")), images)
    right = 0
    for prediction, probabilities, line in zip(found, expected, listed, strict=False):
        best = probabilities.argsort(descending=True)
        top = prediction["top"]
        assert top[0]["label"] == walk.dataset["classes"][int(best[0])]
        assert len(top) == 5
        for entry in top:
            mine = float(probabilities[walk.dataset["classes"].index(entry["label"])])
            assert entry["probability"] == pytest.approx(mine, abs=1e-5)
        right += top[0]["label"] == line.rpartition(" ")[2]
    assert right >= 90


@pytest.mark.parametrize("form", ["onnx", "caffe"])
def test_the_downloaded_script_says_what_the_test_page_says(
    walk: Walk, real_data: Path, tmp_path: Path, form: str
) -> None:
    walk.archive.extractall(tmp_path)
    with zipfile.ZipFile(real_data / "mnist-test.zip") as source:
        (tmp_path / "数字.png").write_bytes(
            source.read(next(name for name in source.namelist() if name[-4:] == ".png"))
        )
    with (tmp_path / "数字.png").open("rb") as picture:
        place = f"models/{walk.model['id']}/predictions"
        made = walk.api.made(place, files={"image": ("数字.png", picture)}, data={"layers": "false"})
    top = walk.api.ended(f"{place}/{made['id']}")["top"]
    command = [sys.executable, "predict.py", "--with", form, "数字.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "数字.png"
    for line, entry in zip(done.stdout.splitlines()[1:], top, strict=True):
        percent, label = line.split(" %  ")
        assert float(percent) == pytest.approx(100 * entry["probability"], abs=0.01)
        assert label == entry["label"] or entry["probability"] < 1e-3  # places that are all but equal may change


def test_a_prediction_shows_every_layer(walk: Walk, real_data: Path) -> None:
    with zipfile.ZipFile(real_data / "mnist-test.zip") as source:
        picture = source.read(next(name for name in source.namelist() if name.endswith(".png")))
    place = f"models/{walk.model['id']}/predictions"
    made = walk.api.made(place, files={"image": ("数字.png", picture)})
    prediction = walk.api.ended(f"{place}/{made['id']}")
    assert prediction["has_activations"] is True
    assert prediction["filename"] == "数字.png"
    shapes = {layer["name"]: layer["shape"] for layer in prediction["layers"]}
    assert shapes["conv1"][-3:] == [20, 24, 24]
    assert shapes["pool2"][-3:] == [50, 4, 4]
    assert shapes["ip2"][-1] == 10
    for layer in prediction["layers"]:
        array = walk.api.get(f"{walk.server.url}{layer['activation']}")
        assert array.status_code == 200
        values = np.load(io.BytesIO(array.content)).astype(np.float64)
        assert values.mean() == pytest.approx(layer["mean"], abs=2e-3 + 2e-3 * abs(layer["mean"]))
        assert sum(layer["histogram"]["counts"]) == values.size
