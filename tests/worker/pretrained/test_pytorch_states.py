"""States that PyTorch saved, imported against a prototxt: the answers are those of PyTorch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save
from torch import Tensor, nn

from app.db import Database, PretrainedNet, Status
from app.settings import Settings
from app.storage import Storage
from app.topology.deploy import deploy_net
from app.topology.text import read
from app.topology.zoo import zoo_entry
from tests.app.pretrained_nets import do_import, form
from worker.engine.compile import compile_net

Import = Callable[..., PretrainedNet]
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's, times 255
PADDED = ("kernel_size: 3  stride: 2 }", "kernel_size: 3  stride: 2  pad: 1  round_mode: FLOOR }")

SMALL = """name: "Small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "any name" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "fc" type: "InnerProduct" bottom: "conv1" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(400, 3)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.fc(self.bn1(self.conv1(images)).relu().flatten(1))
        return answer


@pytest.fixture
def imported(api: TestClient, database: Database, settings: Settings, storage: Storage) -> Import:
    def send(net: nn.Module, **fields: Any) -> PretrainedNet:
        answer = api.post("/api/v1/pretrained", **form(save(net.state_dict()), "net.safetensors", **fields))
        assert answer.status_code == 201, answer.text
        return do_import(database, settings, storage, answer.json()["id"])

    return send


def settled(net: nn.Module, size: int) -> nn.Module:
    """With statistics and factors as after some training."""
    torch.manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(4, 3, size, size))
    return net.eval()


def scores_here(storage: Storage, net: PretrainedNet, pixels: Tensor) -> Tensor:
    """What our engine makes of pixels (N, 3, H, W), RGB, prepared as the import says; before the Softmax."""
    preprocessing = net.preprocessing_value
    means = torch.tensor(preprocessing.mean_values or (0.0,) * 3)[:, None, None]
    inputs = (pixels.flip(1) - means) * preprocessing.scale
    deployed = deploy_net(read(net.prototxt))
    compiled = compile_net(deployed, {deployed.inputs[0]: tuple(inputs.shape)}, seed=None, keep=["fc"])
    stored = load_file(storage.pretrained_dir(net.id) / "weights.safetensors")
    with torch.no_grad():
        for name, weight in compiled.weights().items():
            weight.value.copy_(stored[name])
        return compiled(inputs).blobs["fc"]


def normalised(pixels: Tensor) -> Tensor:
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def test_a_batch_norm_of_the_same_name_brings_its_scale_along(imported: Import, storage: Storage) -> None:
    theirs = settled(Small(), 12)
    net = imported(theirs, prototxt=SMALL, labels="", channel_order="rgb", mean_values=MEAN, std_values=DEVIATION)
    assert (net.status, net.job.error, net.is_complete) == (Status.DONE, None, True)
    stored = load_file(storage.pretrained_dir(net.id) / "weights.safetensors")
    assert torch.equal(stored["bn1.variance"], theirs.get_buffer("bn1.running_var"))
    assert torch.equal(stored["any name.bias"], theirs.get_parameter("bn1.bias"))
    assert stored["bn1.factor"].tolist() == [1.0]
    pixels = 255 * torch.rand(2, 3, 12, 12)
    assert torch.allclose(scores_here(storage, net, pixels), theirs(normalised(pixels)), atol=1e-5)
    sent_as = {weight["name"]: weight.get("sent_as") for layer in net.layers for weight in layer["weights"]}
    assert sent_as["bn1.mean"] == "bn1.running_mean"
    assert sent_as["any name.weight"] == "bn1.weight"
    assert sent_as["fc.weight"] is sent_as["bn1.factor"] is None
    assert len(net.remarks) == 2  # deviations and RGB: nothing left out, not even the count of batches


def test_resnet18_of_torchvision_answers_here_as_there(imported: Import, storage: Storage) -> None:
    theirs = settled(torchvision.models.resnet18(num_classes=10), 64)
    text = zoo_entry("resnet18").prototxt  # type: ignore[union-attr]
    fields: dict[str, Any] = {"labels": "\n".join("abcdefghij"), "channels": "color", "channel_order": "rgb",
              "width": 64, "height": 64, "crop_size": 64, "mean_values": MEAN, "std_values": DEVIATION}  # fmt: skip
    net = imported(theirs, prototxt=text.replace(*PADDED, 1), match="order", **fields)
    assert (net.status, net.job.error, net.is_complete) == (Status.DONE, None, True)
    pixels = 255 * torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(normalised(pixels))
    assert torch.allclose(scores_here(storage, net, pixels), expected, atol=1e-4)
    unpadded = imported(theirs, prototxt=text, match="order", **fields)
    assert not torch.allclose(scores_here(storage, unpadded, pixels), expected, atol=1e-2)  # as the documentation says
    by_name = imported(theirs, prototxt=text, **fields)
    assert by_name.is_complete is False


def test_deviations_of_a_net_for_bgr_keep_its_channels(imported: Import, storage: Storage) -> None:
    theirs = settled(Small(), 12)
    net = imported(theirs, prototxt=SMALL, labels="", std_values="50, 60, 70")
    assert net.preprocessing_value.scale == pytest.approx(1 / 60)
    stored = load_file(storage.pretrained_dir(net.id) / "weights.safetensors")["conv1.weight"].numpy()
    sent = theirs.get_parameter("conv1.weight").detach().numpy()
    assert np.allclose(stored, sent * np.array([60 / 50, 1, 60 / 70])[:, None, None], rtol=1e-6)


def test_deviations_need_a_first_layer_that_can_take_them_in(imported: Import) -> None:
    text = SMALL.replace('"Convolution" bottom: "data"', '"Convolution" bottom: "half"').replace(
        'layer { name: "conv1"',
        'layer { name: "half" type: "Power" bottom: "data" top: "half" }\nlayer { name: "conv1"',
    )
    net = imported(settled(Small(), 12), prototxt=text, labels="", std_values="50, 60, 70")
    assert "in which the standard deviations can be taken in" in str(net.job.error)
