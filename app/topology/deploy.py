"""The net that predicts: image in, class probabilities out, nothing that only training needs."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import Issue, TopologyError
from app.topology.heads import is_loss, main_loss, needed_for
from app.topology.net import Layer, Net, Phase
from app.topology.text import Source
from app.topology.wiring import DEPLOY_STAGE, wire

# What turns a loss's first bottom into what is predicted; other losses take it as it is.
_ANSWERS = {"SoftmaxWithLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}


def deploy_net(source: Source) -> Net:
    """The layers that lead from the image to the answer of the main classifier, in phase TEST (DIGITS: stage "deploy").

    `inputs` is the image blob, `outputs` the blob of class probabilities. Raises TopologyError where the text has no
    such net: nothing that could be an answer, or one that hangs on the labels.
    """
    net = wire(source, Phase.TEST, (DEPLOY_STAGE,)).net
    layers = [layer for layer in net.layers if _predicts(layer, net.inputs[0])]
    loss = main_loss(net) or main_loss(wire(source, Phase.TRAIN).net)
    answer = _answer(layers, loss, net)
    if answer is None:
        raise TopologyError([Issue(1, 1, "no loss and no Softmax: what the net predicts cannot be told")])
    if answer not in layers:
        layers.append(answer)
    blob = answer.tops[0]
    kept, missing = needed_for(layers, [blob])
    for extra in sorted(missing - {net.inputs[0]}):
        reader = next(layer for layer in kept if extra in layer.bottoms)
        message = f'{reader.name}: prediction has only the image "{net.inputs[0]}", not "{extra}"'
        raise TopologyError([Issue(max(1, reader.line), 1, message)])
    return Net(net.name, Phase.TEST, tuple(kept), net.inputs[:1], (blob,))


def _predicts(layer: Layer, image: str) -> bool:
    """Whether a layer may be part of the answer.

    Losses and accuracies are not. Nor is a layer that makes the image blob itself: DIGITS scales images so in its stage
    "deploy", where it has no data layer to do it; here the same preprocessing comes before training and prediction.
    """
    if is_loss(layer) or layer.type in ("Accuracy", "Silence"):
        return False
    return image not in layer.tops or image in layer.bottoms


def _answer(layers: list[Layer], loss: Layer | None, net: Net) -> Layer | None:
    """The layer whose top is the answer; for a loss over scores, the Softmax or Sigmoid that replaces it."""
    softmaxes = [layer for layer in layers if layer.type == "Softmax"]
    if loss is None:
        ends = softmaxes or [layer for layer in layers if set(layer.tops) & set(net.outputs)]
        return ends[-1] if ends else None
    if not loss.bottoms:
        return None
    scores = loss.bottoms[0]
    if loss.type not in _ANSWERS:
        return next((layer for layer in reversed(layers) if scores in layer.tops), None)
    same = [layer for layer in softmaxes if layer.bottoms[:1] == (scores,)]
    if same and _ANSWERS[loss.type] == "Softmax":
        return same[-1]
    return _appended(layers, loss, scores)


def _appended(layers: list[Layer], loss: Layer, scores: str) -> Layer:
    taken = {layer.name for layer in layers} | {top for layer in layers for top in layer.tops}
    names = ("prob", *(f"prob_{number}" for number in range(2, len(taken) + 3)))
    name = next(name for name in names if name not in taken)
    options = caffe_pb2.LayerParameter(name=name, type=_ANSWERS[loss.type], bottom=[scores], top=[name])
    if options.type == "Softmax" and loss.options.softmax_param.HasField("axis"):
        options.softmax_param.axis = loss.options.softmax_param.axis
    return Layer(name, options.type, (scores,), (name,), options, loss.line)
