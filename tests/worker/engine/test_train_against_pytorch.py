"""A whole run against a few lines of PyTorch that are given the same first weights and the same batches.

What a net learns here may then differ from a script only by what the prototxt and the form say: fillers, rates of
biases, the mean, rounding of poolings.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.preprocessing import Channels, MeanMode, Preprocessing
from app.topology.net import Phase
from app.topology.text import read
from tests.worker.engine.drawn import SIDE, SOLVER, Listener, draw_images, train_spec
from tests.worker.engine.fed import what_nets_are_fed
from tests.worker.engine.oracle import DEVICE
from worker.engine.compile import compile_net, input_shapes
from worker.engine.snapshot import read_weights
from worker.engine.train import train

BLOCK = """
layer { name: "NAME" type: "Convolution" bottom: "BOTTOM" top: "NAME" convolution_param {
  num_output: 6 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } } }
layer { name: "NAME_bn" type: "BatchNorm" bottom: "NAME" top: "NAME"
  batch_norm_param { moving_average_fraction: 0.9 } }
layer { name: "NAME_scale" type: "Scale" bottom: "NAME" top: "NAME" scale_param { bias_term: true } }
"""
RESIDUAL = f"""
layer {{ name: "data" type: "Data" top: "data" top: "label" }}
{BLOCK.replace("NAME", "a").replace("BOTTOM", "data")}
layer {{ name: "a_relu" type: "ReLU" bottom: "a" top: "a" }}
{BLOCK.replace("NAME", "b").replace("BOTTOM", "a")}
layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }}
layer {{ name: "sum_relu" type: "ReLU" bottom: "sum" top: "sum" }}
layer {{ name: "pool" type: "Pooling" bottom: "sum" top: "pool"
  pooling_param {{ pool: AVE kernel_size: 3 stride: 2 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" param {{ lr_mult: 1 }}
  param {{ lr_mult: 2 decay_mult: 0 }} inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
COLOUR = Preprocessing(Channels.COLOR, SIDE, SIDE, mean=MeanMode.IMAGE, scale=1 / 64)
FIXED = replace(SOLVER, epochs=2, base_lr=0.01, momentum=0.9, weight_decay=0.01, lr_policy="fixed", seed=3)


class Peer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.a_bn = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.b, self.b_bn = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.pool, self.ip = nn.AvgPool2d(3, 2, ceil_mode=True), nn.Linear(6 * 6 * 6, 3)

    def forward(self, images: Tensor) -> Tensor:
        first = F.relu(self.a_bn(self.a(images)))
        scores: Tensor = self.ip(self.pool(F.relu(first + self.b_bn(self.b(first)))).flatten(1))
        return scores

    def named(self) -> dict[str, Tensor]:
        """The parameters by the names that they have here."""
        pairs = [(f"{name}_scale.{part}", f"{name}_bn.{part}") for name in "ab" for part in ("weight", "bias")]
        mine = dict(self.named_parameters())
        return {ours: mine[theirs] for ours, theirs in pairs} | {
            name: mine[name] for name in ("a.weight", "b.weight", "ip.weight", "ip.bias")
        }


def test_a_run_ends_with_the_weights_and_the_validation_of_the_same_lines_of_pytorch(tmp_path: Path) -> None:
    spec = train_spec(tmp_path, topology=RESIDUAL, preprocessing=COLOUR, solver=FIXED)
    listener = Listener()
    with what_nets_are_fed() as fed:
        train(spec, listener)
    found = read_weights(listener.snapshots[-1].path)

    net = read(RESIDUAL).net(Phase.TRAIN)
    first = compile_net(net, input_shapes(net, COLOUR, FIXED.batch_size), seed=FIXED.seed).weights()
    peer = Peer().to(DEVICE)
    with torch.no_grad():
        for name, parameter in peer.named().items():
            parameter.copy_(first[name].value)
    bias = peer.ip.bias
    others = [parameter for parameter in peer.parameters() if parameter is not bias]
    groups = [{"params": others}, {"params": [bias], "lr": 2 * FIXED.base_lr, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, FIXED.base_lr, FIXED.momentum, weight_decay=FIXED.weight_decay)
    for images, labels in fed:
        optimizer.zero_grad()
        F.cross_entropy(peer(torch.from_numpy(images).to(DEVICE)), torch.from_numpy(labels).to(DEVICE)).backward()
        optimizer.step()

    assert len(fed) == 16
    for name, parameter in peer.named().items():
        assert torch.allclose(found[name], parameter.detach().cpu(), rtol=1e-3, atol=1e-4), name
    assert float((found["ip.bias"] - first["ip.bias"].value.detach().cpu()).abs().max()) > 1e-3  # it has moved
    loss = validation_loss(peer, spec.dataset_dir, steps=len(fed))
    assert listener.values_of("val/loss")[-1][1] == pytest.approx(loss, rel=1e-3)


def validation_loss(peer: Peer, dataset: Path, steps: int) -> float:
    """PyTorch's running statistics begin at 0 and 1, Caffe's with the first batch: they are put on one footing."""
    weight = 1 - 0.9**steps
    for norm in (peer.a_bn, peer.b_bn):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean /= weight
        norm.running_var.sub_(0.9**steps).div_(weight)
    mean = torch.from_numpy(draw_images(60, 3, 0)[0]).double().mean(0)
    pixels, labels = draw_images(30, 3, 1)
    images = ((torch.from_numpy(pixels) - mean) / 64).permute(0, 3, 1, 2).float()
    peer.eval()
    with torch.inference_mode():
        return float(F.cross_entropy(peer(images.to(DEVICE)), torch.from_numpy(labels).to(DEVICE)))
