"""The engine makes of every layer what the shapes say: one table, two readings of Caffe."""

import pytest
import torch
from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.layers import layer_types
from app.topology.net import Layer, Net, Phase
from tests.topology.test_layers import RULES, Shape
from worker.engine.compile import compile_net
from worker.engine.layers.registry import supported_types

LABELLED = ("SoftmaxWithLoss", "Accuracy", "HingeLoss", "MultinomialLogisticLoss", "InfogainLoss")


@pytest.mark.parametrize(("type", "options", "bottoms", "tops", "weights"), RULES)
def test_the_engine_computes_what_the_shapes_say(
    type: str, options: str, bottoms: list[Shape], tops: list[Shape], weights: list[Shape]
) -> None:
    message = text_format.Parse(options, caffe_pb2.LayerParameter(name="x", type=type))
    message.bottom.extend(f"b{index}" for index in range(len(bottoms)))
    message.top.extend(f"t{index}" for index in range(len(tops)))
    layer = Layer("x", type, tuple(message.bottom), tuple(message.top), message, 1)
    net = compile_net(
        Net("", Phase.TRAIN, (layer,), layer.bottoms, layer.tops), dict(zip(layer.bottoms, bottoms, strict=True))
    )
    inputs = [
        torch.zeros(shape, dtype=torch.long) if index == 1 and type in LABELLED else torch.rand(shape)
        for index, shape in enumerate(bottoms)
    ]
    blobs = net(*inputs).blobs

    assert [tuple(blobs[top].shape) for top in layer.tops] == tops
    assert [tuple(weight.value.shape) for weight in net.weights().values()] == weights


def test_the_engine_has_every_type_that_the_check_lets_through() -> None:
    assert {kind.name for kind in layer_types()} <= set(supported_types())
