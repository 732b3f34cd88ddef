"""The ends of a net: its losses and their weights, the class scores, and the layers that only need to run for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.topology.layers import layer_type
from app.topology.net import Layer, Net

# Losses over one label per image, whose first bottom has one number per class.
LABEL_LOSSES = frozenset({"SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss", "InfogainLoss"})


def is_loss(layer: Layer) -> bool:
    kind = layer_type(layer.type)
    return kind is not None and kind.is_loss


def loss_weights(layer: Layer) -> tuple[float, ...]:
    """What each top counts in the objective: as given, else 1 for the first top of a loss and 0 for any other."""
    if layer.options.loss_weight:
        return tuple(layer.options.loss_weight)
    return tuple(float(index == 0 and is_loss(layer)) for index in range(len(layer.tops)))


def losses(net: Net) -> list[Layer]:
    """The layers that count in the objective, in order."""
    return [layer for layer in net.layers if any(loss_weights(layer))]


def main_loss(net: Net) -> Layer | None:
    """The loss of the main classifier: the weightiest, the last of equals."""
    weighty = [layer for layer in losses(net) if is_loss(layer)]
    return max(reversed(weighty), key=lambda layer: max(loss_weights(layer)), default=None)


def main_accuracy(net: Net) -> Layer | None:
    """The last Accuracy with top_k 1: the one that a model is known by."""
    accuracies = [layer for layer in net.layers if layer.type == "Accuracy"]
    top_1 = [layer for layer in accuracies if layer.options.accuracy_param.top_k == 1]
    chosen = top_1 or accuracies
    return chosen[-1] if chosen else None


def needed_for(layers: Sequence[Layer], blobs: Iterable[str]) -> tuple[list[Layer], set[str]]:
    """The layers that these blobs hang on, in order, and the blobs that must come from outside."""
    wanted = set(blobs)
    kept = []
    for layer in reversed(layers):
        if wanted.intersection(layer.tops):
            kept.append(layer)
            wanted.difference_update(layer.tops)
            wanted.update(layer.bottoms)
    return kept[::-1], wanted
