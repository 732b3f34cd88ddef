"""Layers that change the form of a blob: Flatten, Reshape, Tile, Crop, Reduction, ArgMax."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import MOST_AXES, Outcome, Shape, as_text, axis_of, count, layer, positive


@layer("Flatten", "flatten_param")
def flatten(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    shape = bottoms[0]
    start = axis_of(shape, options.flatten_param.axis)
    end = axis_of(shape, options.flatten_param.end_axis, "end_axis")
    if end < start:
        raise LayerFault(f"end_axis {end} lies before axis {start}", "end_axis")
    return Outcome(tops=((*shape[:start], count(shape[start : end + 1]), *shape[end + 1 :]),))


@layer("Reshape", "reshape_param")
def reshape(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    """Caffe, reshape_layer.cpp."""
    given, shape = options.reshape_param, bottoms[0]
    start = given.axis if given.axis >= 0 else len(shape) + given.axis + 1
    if not 0 <= start <= len(shape):
        raise LayerFault(f"axis {given.axis} does not exist in its input {as_text(shape)}", "axis")
    end = len(shape) if given.num_axes == -1 else start + given.num_axes
    if not start <= end <= len(shape):
        raise LayerFault(f"num_axes {given.num_axes} from axis {start} do not exist in {as_text(shape)}", "num_axes")
    return Outcome(tops=((*shape[:start], *_dimensions(list(given.shape.dim), shape, start, end), *shape[end:]),))


def _dimensions(wanted: list[int], shape: Shape, start: int, end: int) -> Shape:
    if len(wanted) > MOST_AXES:
        raise LayerFault(f"has {len(wanted)} values of dim; at most {MOST_AXES}", "dim")
    if min(wanted, default=0) < -1 or wanted.count(-1) > 1:
        raise LayerFault(f"dim {wanted}: expected sizes, 0 for the input's and at most one -1", "dim")
    for place, dim in enumerate(wanted):
        if dim == 0 and start + place >= len(shape):
            raise LayerFault(f"dim {place} is 0, but its input {as_text(shape)} has no such axis", "dim")
    sizes = [shape[start + place] if dim == 0 else dim for place, dim in enumerate(wanted)]
    elements, known = count(shape[start:end]), count(tuple(size for size in sizes if size != -1))
    if -1 in sizes:
        if not known or elements % known:
            raise LayerFault(f"{elements} numbers do not divide into {as_text(tuple(wanted))}", "dim")
        sizes[sizes.index(-1)] = elements // known
    elif known != elements:
        raise LayerFault(f"{elements} numbers do not fit into {as_text(tuple(sizes))}", "dim")
    return tuple(sizes)


@layer("Tile", "tile_param")
def tile(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    shape, tiles = bottoms[0], positive(options.tile_param.tiles, "tiles")
    axis = axis_of(shape, options.tile_param.axis)
    return Outcome(tops=((*shape[:axis], shape[axis] * tiles, *shape[axis + 1 :]),))


@layer("Crop", "crop_param", bottoms=(2, 2))
def crop(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given, (shape, reference) = options.crop_param, bottoms
    if len(shape) != len(reference):
        raise LayerFault(f"its inputs differ in their axes: {as_text(shape)} and {as_text(reference)}", "bottom")
    axis = axis_of(shape, given.axis)
    offsets = list(given.offset) or [0]
    if len(offsets) not in (1, len(shape) - axis):
        raise LayerFault(f"has {len(offsets)} values of offset; expected 1 or {len(shape) - axis}", "offset")
    if len(offsets) == 1:
        offsets *= len(shape) - axis
    for at, offset in enumerate(offsets, start=axis):
        if offset + reference[at] > shape[at]:
            found = f"axis {at} has {shape[at]}"
            raise LayerFault(f"{found}; {reference[at]} from offset {offset} on do not fit", "offset")
    return Outcome(tops=((*shape[:axis], *reference[axis:]),))


@layer("Reduction", "reduction_param")
def reduction(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    axis = axis_of(bottoms[0], options.reduction_param.axis)
    return Outcome(tops=(bottoms[0][:axis],))


@layer("ArgMax", "argmax_param")
def argmax(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    """Caffe, argmax_layer.cpp: with an axis, that axis holds the best; else N × (index, or index and value) × best."""
    given, shape = options.argmax_param, bottoms[0]
    axis_of(shape, 0)
    axis = axis_of(shape, given.axis) if given.HasField("axis") else None
    choices = shape[axis] if axis is not None else count(shape[1:])
    if not 1 <= given.top_k <= choices:
        raise LayerFault(f"top_k is {given.top_k}; expected 1 to {choices}", "top_k")
    if axis is not None:
        return Outcome(tops=((*shape[:axis], given.top_k, *shape[axis + 1 :]),))
    ones = (1,) * (max(3, len(shape)) - 3)
    return Outcome(tops=((shape[0], 2 if given.out_max_val else 1, given.top_k, *ones),))
