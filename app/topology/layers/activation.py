"""Layers that work on every number by itself: activations, powers, Dropout."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, as_text, layer


@layer("ReLU", "relu_param", in_place=True)
@layer("ELU", "elu_param", in_place=True)
@layer("Sigmoid", "sigmoid_param", in_place=True)
@layer("TanH", "tanh_param", in_place=True)
@layer("AbsVal", in_place=True)
@layer("BNLL", in_place=True)
@layer("Power", "power_param", in_place=True)
@layer("Threshold", "threshold_param", in_place=True)
def elementwise(_options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    return Outcome(tops=bottoms)


@layer("Exp", "exp_param", in_place=True)
@layer("Log", "log_param", in_place=True)
def with_base(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    base = options.exp_param.base if options.type == "Exp" else options.log_param.base
    if base != -1 and not base > 0:
        raise LayerFault(f"base is {base:g}; expected more than 0, or -1 for e", "base")
    if options.type == "Log" and base == 1:
        raise LayerFault("base is 1, to which there is no logarithm", "base")
    return Outcome(tops=bottoms)


@layer("Dropout", "dropout_param", in_place=True)
def dropout(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    ratio = options.dropout_param.dropout_ratio
    if not 0 <= ratio < 1:
        raise LayerFault(f"dropout_ratio is {ratio:g}; expected 0 to less than 1", "dropout_ratio")
    return Outcome(tops=bottoms)


@layer("PReLU", "prelu_param", has_weights=True, in_place=True)
def prelu(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    if len(bottoms[0]) < 2:
        raise LayerFault(f"expects channels on axis 1, its input is {as_text(bottoms[0])}")
    return Outcome(tops=bottoms, weights=(() if options.prelu_param.channel_shared else bottoms[0][1:2],))
