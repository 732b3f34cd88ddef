from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from app.preprocessing import Channels, Preprocessing
from app.topology.fit import fit
from app.topology.zoo import zoo_entry
from tests.worker.engine.drawn import CLASSES, NET, PLAIN, Listener, draw_images, train_spec
from tests.worker.engine.oracle import DEVICE
from worker.engine.compile import compile_net
from worker.engine.errors import EngineError
from worker.engine.predict import Prediction, PredictSpec, predict
from worker.engine.snapshot import Meta, read_weights, write_snapshot
from worker.engine.train import train


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    listener = Listener()
    train(train_spec(tmp_path_factory.mktemp("trained")), listener)
    return listener.snapshots[-1].path


def spec(snapshot: Path, image: Path, out_dir: Path, **options: object) -> PredictSpec:
    dataset = snapshot.parents[2] / "dataset"
    return PredictSpec(NET, PLAIN, CLASSES, dataset, snapshot, image, out_dir, device=str(DEVICE), **options)  # type: ignore[arg-type]


def draw_picture(path: Path, number: int = 1) -> np.ndarray:
    drawn, _ = draw_images(5, seed=77)
    Image.fromarray(drawn[number, :, :, 0]).save(path)
    return drawn[number]


def test_a_picture_is_told_with_probabilities_that_add_up(snapshot: Path, tmp_path: Path) -> None:
    draw_picture(tmp_path / "picture.png")
    found = predict(spec(snapshot, tmp_path / "picture.png", tmp_path))
    assert found.top[0][0] == "middle"
    assert [label for label, _ in found.top] != sorted(label for label, _ in found.top) or len(found.top) == 3
    assert [value for _, value in found.top] == sorted((value for _, value in found.top), reverse=True)
    assert math.isclose(sum(found.probabilities), 1, rel_tol=1e-5)
    assert found.layers == []
    assert not (tmp_path / "activations").exists()


class PlainLeNet(nn.Module):
    """LeNet as anybody would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.ip1, self.ip2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = F.max_pool2d(self.conv1(images), 2)
        images = F.max_pool2d(self.conv2(images), 2)
        return torch.softmax(self.ip2(F.relu(self.ip1(images.flatten(1)))), 1)


def test_lenet_predicts_what_a_plain_pytorch_forward_of_its_weights_does(tmp_path: Path) -> None:
    topology = fit(zoo_entry("lenet").prototxt, 10)
    from app.topology.net import Phase
    from app.topology.text import read

    net = compile_net(read(topology).net(Phase.TRAIN), {"data": (1, 1, 28, 28), "label": (1,)})
    weights = {name: weight.value for name, weight in net.weights().items()}
    write_snapshot(tmp_path / "snapshot", weights, None, Meta(1, 1, 1, 1, 1, "SGD", 1))
    plain = PlainLeNet()
    plain.load_state_dict(read_weights(tmp_path / "snapshot"))
    preprocessing = Preprocessing(Channels.GRAY, 28, 28, scale=1 / 256)
    labels = tuple("0123456789")
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "picture.png")
        options = PredictSpec(
            topology, preprocessing, labels, tmp_path, tmp_path / "snapshot", tmp_path / "picture.png", tmp_path,
            device=str(DEVICE),
        )  # fmt: skip
        expected = plain(torch.from_numpy(pixels)[None, None].float() / 256)[0].tolist()
        assert predict(options).probabilities == pytest.approx(expected, abs=1e-5)


def with_layers(snapshot: Path, folder: Path) -> Prediction:
    draw_picture(folder / "picture.png")
    return predict(spec(snapshot, folder / "picture.png", folder, with_layers=True))


def test_every_layer_is_kept_with_its_values_and_statistics(snapshot: Path, tmp_path: Path) -> None:
    found = with_layers(snapshot, tmp_path)
    names = [(layer.name, layer.type, layer.shape) for layer in found.layers]
    assert names == [
        ("data", "Data", (1, 12, 12)),
        ("conv1", "Convolution", (6, 10, 10)),
        ("relu1", "ReLU", (6, 10, 10)),
        ("pool1", "Pooling", (6, 5, 5)),
        ("drop1", "Dropout", (6, 5, 5)),
        ("ip1", "InnerProduct", (3,)),
        ("prob", "Softmax", (3,)),
    ]
    for layer in found.layers:
        values = np.load(tmp_path / layer.file)
        assert values.dtype == np.float16
        assert values.shape == layer.shape
        assert layer.mean == pytest.approx(float(values.mean(dtype=np.float64)), abs=1e-2)
        assert layer.std == pytest.approx(float(values.std(dtype=np.float64)), abs=1e-2)
        assert (layer.min, layer.max) == pytest.approx((values.min(), values.max()), rel=1e-2, abs=1e-3)
        assert sum(layer.histogram.counts) == values.size
        assert len(layer.histogram.edges) == len(layer.histogram.counts) + 1 == 21


def test_layers_show_what_went_in_and_what_each_made_of_it(snapshot: Path, tmp_path: Path) -> None:
    found = with_layers(snapshot, tmp_path)
    pixels = draw_picture(tmp_path / "picture.png")
    arrays = {layer.name: np.load(tmp_path / layer.file).astype(np.float32) for layer in found.layers}
    assert np.allclose(arrays["data"][0], pixels[:, :, 0] / 256, atol=1e-3)
    assert arrays["conv1"].min() < 0
    assert np.allclose(arrays["relu1"], arrays["conv1"].clip(0))  # the ReLU wrote over its bottom afterwards
    assert arrays["prob"].tolist() == pytest.approx(found.probabilities, abs=1e-3)


def test_a_picture_of_another_size_and_kind_is_made_to_fit(snapshot: Path, tmp_path: Path) -> None:
    drawn, _ = draw_images(3, seed=5)
    large = Image.fromarray(drawn[2, :, :, 0]).resize((90, 60)).convert("RGB")
    large.save(tmp_path / "写真.jpg", quality=95)
    found = predict(spec(snapshot, tmp_path / "写真.jpg", tmp_path))
    assert found.top[0][0] == "right"


def test_outputs_without_a_label_are_left_out(snapshot: Path, tmp_path: Path) -> None:
    draw_picture(tmp_path / "picture.png")
    found = predict(replace(spec(snapshot, tmp_path / "picture.png", tmp_path), classes=("left", "middle")))
    assert {label for label, _ in found.top} == {"left", "middle"}
    assert len(found.probabilities) == 3


@pytest.mark.parametrize("content", [b"", b"<html>not a picture</html>"])
def test_what_is_no_picture_is_refused_with_the_reason(snapshot: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "picture.png").write_bytes(content)
    with pytest.raises(EngineError, match="the picture cannot be used"):
        predict(spec(snapshot, tmp_path / "picture.png", tmp_path))


def test_a_snapshot_of_another_net_is_refused(snapshot: Path, tmp_path: Path) -> None:
    draw_picture(tmp_path / "picture.png")
    wider = replace(
        spec(snapshot, tmp_path / "picture.png", tmp_path), topology=NET.replace("num_output: 6", "num_output: 7")
    )
    with pytest.raises(
        EngineError, match=r"conv1\.weight: expected weights of shape \(7, 1, 3, 3\), found \(6, 1, 3, 3\)"
    ):
        predict(wider)
    deeper = replace(wider, topology=NET.replace("conv1", "first"))
    with pytest.raises(EngineError, match=r"the snapshot has no weights first\.weight"):
        predict(deeper)
