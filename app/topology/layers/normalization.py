"""LRN, BatchNorm, MVN, and the Scale and Bias layers that usually follow them."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, as_text, axis_of, images, layer


@layer("LRN", "lrn_param")
def lrn(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.lrn_param
    images(bottoms[0])
    if given.local_size % 2 == 0:
        raise LayerFault(f"local_size is {given.local_size}; expected an odd number", "local_size")
    if given.local_size > 100_000:
        raise LayerFault(f"local_size {given.local_size} is too large; at most 100,000", "local_size")
    return Outcome(tops=bottoms)


@layer("BatchNorm", "batch_norm_param", has_weights=True, weights=("mean", "variance", "factor"), learns=False,
       in_place=True)  # fmt: skip
def batch_norm(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    """Keeps the sums of means and variances and the factor that they are to be divided by."""
    given = options.batch_norm_param
    if not given.eps > 0:
        raise LayerFault(f"eps is {given.eps:g}; expected more than 0", "eps")
    if not 0 <= given.moving_average_fraction <= 1:
        fraction = given.moving_average_fraction
        raise LayerFault(f"moving_average_fraction is {fraction:g}; expected 0 to 1", "moving_average_fraction")
    channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
    return Outcome(tops=bottoms, weights=((channels,), (channels,), (1,)))


@layer("MVN", "mvn_param")
def mvn(_options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    images(bottoms[0])
    return Outcome(tops=bottoms)


@layer("Scale", "scale_param", bottoms=(1, 2), has_weights=True, in_place=True)
def scale(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.scale_param
    covered = _covered(bottoms, given.axis, given.num_axes)
    weights = () if len(bottoms) == 2 else (covered,)
    return Outcome(tops=bottoms[:1], weights=(*weights, covered) if given.bias_term else weights)


@layer("Bias", "bias_param", bottoms=(1, 2), has_weights=True, weights=("bias",), in_place=True)
def bias(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    covered = _covered(bottoms, options.bias_param.axis, options.bias_param.num_axes)
    return Outcome(tops=bottoms[:1], weights=() if len(bottoms) == 2 else (covered,))


def _covered(bottoms: tuple[Shape, ...], given_axis: int, num_axes: int) -> Shape:
    """The axes of the first bottom that factors or offsets stand for (Caffe, scale_layer.cpp)."""
    shape = bottoms[0]
    if len(bottoms) == 2 and not bottoms[1]:
        return ()
    axis = axis_of(shape, given_axis)
    if len(bottoms) == 2:
        if bottoms[1] != shape[axis : axis + len(bottoms[1])]:
            found = f"{as_text(bottoms[1])} and {as_text(shape)}"
            raise LayerFault(f"its second input does not fit the first from axis {axis} on: {found}", "axis")
        return bottoms[1]
    if num_axes < -1 or axis + num_axes > len(shape):
        raise LayerFault(f"num_axes {num_axes} from axis {axis} do not exist in {as_text(shape)}", "num_axes")
    return shape[axis:] if num_axes == -1 else shape[axis : axis + num_axes]
