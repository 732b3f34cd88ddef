"""PyTorch's names of weights, paired with ours by name or by the order that the names tell."""

from __future__ import annotations

import random

import pytest
import torch
import torchvision

from app.topology.layers import Shape
from app.topology.pytorch_names import OrderError, by_name, by_order, their_modules
from app.topology.zoo import zoo_entry

NORMED = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
STATE: dict[str, Shape] = {
    "0.weight": (4, 1, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "1.running_mean": (4,),
    "1.running_var": (4,), "1.num_batches_tracked": (), "10.weight": (2, 144), "10.bias": (2,),
}  # fmt: skip
SHAPE = (1, 8, 8)


def state_of(name: str) -> dict[str, Shape]:
    with torch.device("meta"):
        net = getattr(torchvision.models, name)()
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet152", "vgg16", "vgg16_bn", "alexnet", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"],
)
def test_names_tell_the_order_in_which_torchvision_defines_its_modules(name: str) -> None:
    """A .safetensors has forgotten it: its tensors lie in the order of the alphabet."""
    state = state_of(name)
    defined = list(dict.fromkeys(key.rpartition(".")[0] for key in state))
    shuffled = random.Random(5).sample(sorted(state), len(state))
    assert [module.name for module in their_modules({key: state[key] for key in shuffled})] == defined


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_a_net_of_the_zoo_takes_the_weights_of_torchvision(name: str) -> None:
    state = state_of(name)
    paired = by_order(zoo_entry(name).prototxt, state, (3, 224, 224), 1_000)  # type: ignore[union-attr]
    assert sorted(paired.names.values()) == sorted(key for key in state if not key.endswith("num_batches_tracked"))
    if name == "resnet18":
        assert paired.names["res3a_branch1.weight"] == "layer2.0.downsample.0.weight"
        assert paired.names["scale3a_branch1.bias"] == "layer2.0.downsample.1.bias"
        assert paired.names["res2b_branch2a.weight"] == "layer1.1.conv1.weight"
        assert paired.names["bn5b_branch2b.variance"] == "layer4.1.bn2.running_var"
    if name == "resnet50":
        assert paired.names["res2a_branch1.weight"] == "layer1.0.downsample.0.weight"
        assert paired.names["res2a_branch2c.weight"] == "layer1.0.conv3.weight"  # of the same shape


def test_modules_that_are_numbered_are_paired_in_the_order_of_numbers() -> None:
    paired = by_order(NORMED, STATE, SHAPE, 2)
    assert paired.names == {
        "conv.weight": "0.weight", "conv.bias": "0.bias", "bn.mean": "1.running_mean", "bn.variance": "1.running_var",
        "scale.weight": "1.weight", "scale.bias": "1.bias", "ip.weight": "10.weight", "ip.bias": "10.bias",
    }  # fmt: skip
    assert paired.ones == {"bn.factor"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"10.weight": (3, 144)}, "number 3 of the prototxt is ip (weight 2×144), of the file 10 (weight 3×144)"),
        ({"10.bias": None}, "number 3 of the prototxt is ip (weight 2×144), of the file 10 (weight 2×144)"),
        ({"1.bias": None}, "number 2 of the prototxt is bn (batch normalisation 4), of the file 1 (batch"),
        ({"1.running_mean": None}, "number 2 of the prototxt is bn (batch normalisation 4), of the file 1 (weight 4)"),
        ({"11.weight": (2, 2)}, "the prototxt has 3 layers with weights (a BatchNorm and its Scale count as one)"),
        ({"10.weight": None, "10.bias": None}, "count as one), the file 2."),
    ],
)
def test_where_the_orders_part_is_said(change: dict[str, Shape | None], words: str) -> None:
    state = {name: shape for name, shape in (STATE | change).items() if shape is not None}
    with pytest.raises(OrderError) as refused:
        by_order(NORMED, state, SHAPE, 2)
    assert words in str(refused.value)


def test_a_batch_norm_is_found_under_its_own_name_only() -> None:
    state = ["bn.running_mean", "bn.running_var", "bn.weight", "bn.bias", "bn.num_batches_tracked"]
    assert by_name(NORMED, state, SHAPE, 2).names == {
        "bn.mean": "bn.running_mean", "bn.variance": "bn.running_var", "scale.weight": "bn.weight",
        "scale.bias": "bn.bias",
    }  # fmt: skip
    ours = [*state, "scale.weight", "scale.bias", "bn.factor"]
    paired = by_name(NORMED, ours, SHAPE, 2)
    assert (set(paired.names), paired.ones) == ({"bn.mean", "bn.variance"}, frozenset())
    assert by_name(NORMED, ["norm.running_mean", "bn.mean"], SHAPE, 2).names == {}
