"""Layers that join blobs or hand them on: Concat, Slice, Split, Eltwise, Silence."""

from __future__ import annotations

from itertools import pairwise

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, as_text, axis_of, layer


@layer("Concat", "concat_param", bottoms=(1, None))
def concat(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.concat_param
    first = bottoms[0]
    axis = axis_of(first, given.concat_dim if given.HasField("concat_dim") else given.axis)
    for blob, shape in zip(options.bottom, bottoms, strict=True):
        if len(shape) != len(first) or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            found = f"{options.bottom[0]} is {as_text(first)}, {blob} is {as_text(shape)}"
            raise LayerFault(f"its inputs differ in more than axis {axis}: {found}", "bottom")
    return Outcome(tops=((*first[:axis], sum(shape[axis] for shape in bottoms), *first[axis + 1 :]),))


@layer("Slice", "slice_param", tops=(1, None))
def slice_(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.slice_param
    shape = bottoms[0]
    axis = axis_of(shape, given.slice_dim if given.HasField("slice_dim") else given.axis)
    return Outcome(tops=tuple((*shape[:axis], size, *shape[axis + 1 :]) for size in _parts(options, shape, axis)))


def _parts(options: caffe_pb2.LayerParameter, shape: Shape, axis: int) -> list[int]:
    points, tops, size = list(options.slice_param.slice_point), len(options.top), shape[axis]
    if not points:
        if size % tops:
            raise LayerFault(f"axis {axis} of {as_text(shape)} cannot be cut into {tops} equal parts", "slice_param")
        return [size // tops] * tops
    if len(points) != tops - 1:
        raise LayerFault(f"has {tops} tops and {len(points)} values of slice_point; expected {tops - 1}", "slice_point")
    edges = [0, *points, size]
    parts = [end - start for start, end in pairwise(edges)]
    if min(parts) < 1:
        raise LayerFault(f"slice_point must rise from 1 to {size - 1}; found {points}", "slice_point")
    return parts


@layer("Split", tops=(1, None))
def split(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    return Outcome(tops=bottoms * len(options.top))


@layer("Eltwise", "eltwise_param", bottoms=(2, None), in_place=True)
def eltwise(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.eltwise_param
    for blob, shape in zip(options.bottom, bottoms, strict=True):
        if shape != bottoms[0]:
            found = f"{options.bottom[0]} is {as_text(bottoms[0])}, {blob} is {as_text(shape)}"
            raise LayerFault(f"its inputs differ: {found}", "bottom")
    if given.coeff and len(given.coeff) != len(bottoms):
        raise LayerFault(f"has {len(bottoms)} inputs and {len(given.coeff)} values of coeff", "coeff")
    if given.coeff and given.operation != caffe_pb2.EltwiseParameter.SUM:
        raise LayerFault("coeff is only for operation SUM", "coeff")
    return Outcome(tops=bottoms[:1])


@layer("Silence", bottoms=(1, None), tops=(0, 0))
def silence(_options: caffe_pb2.LayerParameter, _bottoms: tuple[Shape, ...]) -> Outcome:
    return Outcome(tops=())
