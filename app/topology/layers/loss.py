"""Softmax, the losses, and Accuracy."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, as_text, axis_of, count, layer


@layer("Softmax", "softmax_param", in_place=True)
def softmax(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    axis_of(bottoms[0], options.softmax_param.axis)
    return Outcome(tops=bottoms)


@layer("Accuracy", "accuracy_param", bottoms=(2, 2), tops=(1, 2))
def accuracy(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    scores, labels = bottoms
    given = options.accuracy_param
    axis = axis_of(scores, given.axis)
    if not 1 <= given.top_k <= scores[axis]:
        raise LayerFault(f"top_k is {given.top_k}; expected 1 to {scores[axis]}, the number of scores", "top_k")
    _one_label_per_place(scores, labels, axis)
    return Outcome(tops=((), (scores[axis],))[: max(1, len(options.top))])


@layer("SoftmaxWithLoss", "softmax_param", bottoms=(2, 2), tops=(1, 2), is_loss=True, also_reads=("loss_param",))
def softmax_with_loss(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    scores, labels = bottoms
    _one_label_per_place(scores, labels, axis_of(scores, options.softmax_param.axis))
    return Outcome(tops=((), scores)[: max(1, len(options.top))])


@layer("SigmoidCrossEntropyLoss", "sigmoid_param", bottoms=(2, 2), is_loss=True, also_reads=("loss_param",))
def sigmoid_cross_entropy_loss(_options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    scores, targets = bottoms
    if count(scores) != count(targets):
        raise LayerFault(f"expects as many targets as scores, found {as_text(targets)} for {as_text(scores)}", "bottom")
    return Outcome(tops=((),))


@layer("EuclideanLoss", bottoms=(2, 2), is_loss=True)
def euclidean_loss(_options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    first, second = bottoms
    if first[:1] != second[:1] or count(first[1:]) != count(second[1:]):
        raise LayerFault(f"its inputs differ: {as_text(first)} and {as_text(second)}", "bottom")
    return Outcome(tops=((),))


@layer("HingeLoss", "hinge_loss_param", bottoms=(2, 2), is_loss=True)
@layer("MultinomialLogisticLoss", bottoms=(2, 2), is_loss=True)
def labelled_loss(_options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    scores, labels = bottoms
    if count(labels) != (scores[0] if scores else 1):
        raise LayerFault(f"expects one label per image, found {as_text(labels)} for {as_text(scores)}", "bottom")
    return Outcome(tops=((),))


_INLINE = "write it into the layer, row by row: blobs { data: 1 data: 0 … }, or make it the third bottom"


@layer("InfogainLoss", "infogain_loss_param", bottoms=(2, 3), tops=(1, 2), is_loss=True, also_reads=("loss_param",))
def infogain_loss(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    """Scores, labels and the matrix H; Caffe reads H from a file if there is no third bottom, here the text has it."""
    scores, labels = bottoms[:2]
    axis = axis_of(scores, options.infogain_loss_param.axis)
    _one_label_per_place(scores, labels, axis)
    if options.infogain_loss_param.HasField("source"):
        raise LayerFault(f"source names a file, which is not read here; {_INLINE}", "source")
    if len(bottoms) < 3 and not options.blobs:
        raise LayerFault(f"the matrix of gains is missing; {_INLINE}", "bottom")
    if len(bottoms) > 2 and options.blobs:
        raise LayerFault("has blobs and a third bottom; the matrix of gains can be given once", "blobs")
    matrix, field = (bottoms[2], "bottom") if len(bottoms) > 2 else ((len(options.blobs[0].data),), "blobs")
    classes = scores[axis]
    if count(matrix) != classes**2:
        raise LayerFault(f"the matrix is {as_text(matrix)}; expected {classes}×{classes}", field)
    return Outcome(tops=((), scores)[: max(1, len(options.top))])


@layer("ContrastiveLoss", "contrastive_loss_param", bottoms=(3, 3), is_loss=True)
def contrastive_loss(_options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    first, second, similar = bottoms
    if first != second or len(first) < 2 or count(first[2:]) != 1:
        found = f"{as_text(first)} and {as_text(second)}"
        raise LayerFault(f"expects two blobs N×C of the same size, found {found}", "bottom")
    if count(similar) != first[0]:
        raise LayerFault(f"expects one label per pair, found {as_text(similar)} for {as_text(first)}", "bottom")
    return Outcome(tops=((),))


def _one_label_per_place(scores: Shape, labels: Shape, axis: int) -> None:
    places = (*scores[:axis], *scores[axis + 1 :])
    if count(labels) == count(places):
        return
    expected = f"{count(places)} labels ({as_text(places)})"
    raise LayerFault(f"expects {expected} for scores {as_text(scores)}, found {as_text(labels)}", "bottom")
