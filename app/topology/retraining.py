"""A trained net's text made ready for another dataset: its classifiers left blank, a loss where it has none."""

from __future__ import annotations

import re

from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.blocks import TOKEN
from app.topology.deploy import deploy_net
from app.topology.fit import PARAMS, classifiers, opening_of
from app.topology.heads import losses
from app.topology.net import Phase
from app.topology.text import Source, SourceLayer, read
from app.topology.wiring import wire


def retrainable(text: str) -> str:
    """The text with every classifier's num_output left to the dataset (`fit`), and something to learn from.

    Raises TopologyError for a text that cannot be read, or has no net that predicts.
    """
    source = read(text)
    if not losses(wire(source, Phase.TRAIN).net):
        text = _with_objective(source)
        source = read(text)
    spans = [span for layer in classifiers(source) if (span := _num_output(source, layer))]
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def _with_objective(source: Source) -> str:
    """The net that predicts, fed with labels too, its last Softmax replaced by loss and accuracy."""
    net = deploy_net(source)
    layers = list(net.layers)
    scores = net.outputs[0]
    if layers and layers[-1].type == "Softmax":
        scores = layers.pop().bottoms[0]
    message = caffe_pb2.NetParameter(name=source.name or "net")
    message.layer.add(name="data", type="Data", top=[net.inputs[0], "label"])
    for layer in layers:
        written = message.layer.add()
        written.CopyFrom(layer.options)
        written.name = layer.name
        del written.include[:], written.exclude[:]
    accuracy = message.layer.add(name="accuracy", type="Accuracy", bottom=[scores, "label"], top=["accuracy"])
    accuracy.include.add(phase=caffe_pb2.TEST)
    message.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[scores, "label"], top=["loss"])
    return str(text_format.MessageToString(message, as_utf8=True))


def _num_output(source: Source, layer: SourceLayer) -> tuple[int, int] | None:
    """Where `num_output: 10` stands in a layer's text, with the space before it: what `fit` would put there."""
    if layer.block is None:
        return None
    at = opening_of(PARAMS[layer.options.type], source.text, layer.block.body, layer.block.end)
    if at is None:
        return None
    name_at, depth = -1, 0
    for match in TOKEN.finditer(source.text, at, layer.block.end):
        token = match.group()
        if token in "{<[":
            depth += 1
        elif token in "}>]":
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0 and token == "num_output":
            name_at = match.start()
        elif name_at >= 0 and token[0] not in "#:":
            before = source.text[:name_at]
            separator = re.compile(r"\s*[,;]").match(source.text, match.end())
            return len(before.rstrip()), separator.end() if separator else match.end()
    return None
