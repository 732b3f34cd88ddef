"""The engine makes of every layer what the shapes say: one table, two readings of Caffe."""

import random

import pytest
import torch
from google.protobuf import text_format
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.topology import caffe_pb2
from app.topology.check import check, input_shapes
from app.topology.fit import fit_source
from app.topology.layers import layer_types
from app.topology.net import Layer, Net, Phase
from app.topology.shapes import infer
from app.topology.text import read
from tests.topology.test_fuzz import random_net
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
    (info,) = infer(net.net, dict(zip(layer.bottoms, bottoms, strict=True)))
    assert list(info.weights) == list(net.weights())


def test_the_engine_has_every_type_that_the_check_lets_through() -> None:
    assert {kind.name for kind in layer_types()} <= set(supported_types())


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
@example(250_838)  # a pooling with an empty last window
def test_what_passes_the_check_runs_in_the_engine(seed: int) -> None:
    draw = random.Random(seed)
    text, channels, size = random_net(draw), draw.choice([1, 3]), draw.choice([8, 17])
    report = check(text, channels, size, size, classes=5, batch_size=2)
    if report.errors:
        return
    image, labels = torch.rand(2, channels, size, size), torch.zeros(2, dtype=torch.long)
    source = fit_source(read(text), 5)
    training = None
    for phase in Phase:
        net = source.net(phase)
        compiled = compile_net(net, input_shapes(source, net, tuple(image.shape)), weights_of=training)
        training = training or compiled
        result = compiled(image, labels)
        assert result.loss is not None
        assert compiled.parameter_count() == (report.parameters if phase is Phase.TRAIN else compiled.parameter_count())
