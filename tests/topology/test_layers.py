# ruff: noqa: E501 - one rule on a line reads as a table
"""Every layer type: the shapes it makes, the weights it keeps, what it refuses."""

import math

import pytest
from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.layers import layer_types
from app.topology.net import Layer, Net, Phase
from app.topology.shapes import LayerInfo, trace

Shape = tuple[int, ...]
I = (2, 3, 8, 9)  # noqa: E741 - images: two of them, three channels, 8 high, 9 wide


def run(type: str, options: str, *bottoms: Shape, tops: int = 1) -> LayerInfo | str:
    """What a layer makes of these inputs, or its complaint."""
    message = text_format.Parse(options, caffe_pb2.LayerParameter(type=type))
    message.bottom.extend(f"b{index}" for index in range(len(bottoms)))
    message.top.extend(f"t{index}" for index in range(tops))
    layer = Layer("x", type, tuple(message.bottom), tuple(message.top), message, 1)
    shapes, faults = trace(Net("", Phase.TRAIN, (layer,), (), ()), dict(zip(message.bottom, bottoms, strict=True)))
    return faults[0].message if faults else shapes.layers[0]


CONV, POOL, IP = "convolution_param", "pooling_param", "inner_product_param"
LABELS = (2,)

# type, options, inputs, outputs, arrays of weights. Worked out by hand from Caffe's definitions.
RULES: list[tuple[str, str, list[Shape], list[Shape], list[Shape]]] = [
    ("Convolution", f"{CONV} {{ num_output: 4 kernel_size: 3 }}", [I], [(2, 4, 6, 7)], [(4, 3, 3, 3), (4,)]),
    ("Convolution", f"{CONV} {{ num_output: 4 kernel_size: 3 bias_term: false }}", [I], [(2, 4, 6, 7)], [(4, 3, 3, 3)]),
    (
        "Convolution",
        f"{CONV} {{ num_output: 6 kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2 group: 3 }}",
        [I],
        [(2, 6, 4, 9)],  # (8 + 2 - 3) // 2 + 1, (9 + 4 - 5) // 1 + 1
        [(6, 1, 3, 5), (6,)],
    ),
    ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 3 dilation: 2 }}", [I], [(2, 1, 4, 5)], [(1, 3, 3, 3), (1,)]),
    ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 2 kernel_size: 3 }}", [I], [(2, 1, 7, 7)], [(1, 3, 2, 3), (1,)]),
    ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 }}", [I, I], [(2, 1, 8, 9)] * 2, [(1, 3, 1, 1), (1,)]),
    ("Deconvolution", f"{CONV} {{ num_output: 4 kernel_size: 4 stride: 2 pad: 1 }}", [I], [(2, 4, 16, 18)], [(3, 4, 4, 4), (4,)]),
    ("Deconvolution", f"{CONV} {{ num_output: 6 kernel_size: 3 group: 3 }}", [I], [(2, 6, 10, 11)], [(3, 2, 3, 3), (6,)]),
    ("Pooling", f"{POOL} {{ kernel_size: 2 stride: 2 }}", [I], [(2, 3, 4, 5)], []),  # 9 → 5: rounded up
    ("Pooling", f"{POOL} {{ kernel_size: 2 stride: 2 round_mode: FLOOR }}", [I], [(2, 3, 4, 4)], []),
    ("Pooling", f"{POOL} {{ kernel_size: 2 stride: 2 ceil_mode: false }}", [I], [(2, 3, 4, 4)], []),
    ("Pooling", f"{POOL} {{ kernel_size: 3 stride: 2 pad: 1 }}", [I], [(2, 3, 5, 5)], []),
    ("Pooling", f"{POOL} {{ kernel_size: 2 stride: 3 pad: 1 }}", [I], [(2, 3, 3, 4)], []),  # 8: a 4th begins beyond
    ("Pooling", f"{POOL} {{ pool: AVE global_pooling: true }}", [I], [(2, 3, 1, 1)], []),
    ("Pooling", f"{POOL} {{ pool: STOCHASTIC kernel_size: 2 stride: 2 }}", [I], [(2, 3, 4, 5)], []),
    ("Pooling", f"{POOL} {{ kernel_h: 8 kernel_w: 1 }}", [I], [(2, 3, 1, 9)], []),
    ("InnerProduct", f"{IP} {{ num_output: 7 }}", [I], [(2, 7)], [(7, 216), (7,)]),
    ("InnerProduct", f"{IP} {{ num_output: 7 axis: 2 bias_term: false }}", [I], [(2, 3, 7)], [(7, 72)]),
    ("InnerProduct", f"{IP} {{ num_output: 7 axis: -1 transpose: true }}", [I], [(2, 3, 8, 7)], [(9, 7), (7,)]),
    ("LRN", "lrn_param { local_size: 3 }", [I], [I], []),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }", [I], [I], []),
    ("BatchNorm", "", [I], [I], [(3,), (3,), (1,)]),
    ("BatchNorm", "", [(2, 5)], [(2, 5)], [(5,), (5,), (1,)]),
    ("Scale", "", [I], [I], [(3,)]),
    ("Scale", "scale_param { bias_term: true }", [I], [I], [(3,), (3,)]),
    ("Scale", "scale_param { axis: 2 num_axes: -1 }", [I], [I], [(8, 9)]),
    ("Scale", "scale_param { num_axes: 0 }", [I], [I], [()]),
    ("Scale", "scale_param { axis: 0 }", [I, (2,)], [I], []),
    ("Scale", "scale_param { axis: 0 bias_term: true }", [I, (2, 3)], [I], [(2, 3)]),
    ("Bias", "", [I], [I], [(3,)]),
    ("Bias", "", [I, (3, 8)], [I], []),
    ("MVN", "mvn_param { across_channels: true }", [I], [I], []),
    ("ReLU", "relu_param { negative_slope: 0.1 }", [I], [I], []),
    ("PReLU", "", [I], [I], [(3,)]),
    ("PReLU", "prelu_param { channel_shared: true }", [I], [I], [()]),
    ("ELU", "elu_param { alpha: 2 }", [I], [I], []),
    ("Sigmoid", "", [I], [I], []),
    ("TanH", "", [I], [I], []),
    ("AbsVal", "", [I], [I], []),
    ("BNLL", "", [I], [I], []),
    ("Power", "power_param { power: 2 }", [I], [I], []),
    ("Exp", "exp_param { base: 2 }", [I], [I], []),
    ("Log", "", [I], [I], []),
    ("Threshold", "threshold_param { threshold: 1 }", [I], [I], []),
    ("Dropout", "dropout_param { dropout_ratio: 0.4 }", [I], [I], []),
    ("Concat", "", [I, (2, 1, 8, 9), I], [(2, 7, 8, 9)], []),
    ("Concat", "concat_param { axis: -1 }", [I, (2, 3, 8, 1)], [(2, 3, 8, 10)], []),
    ("Concat", "concat_param { concat_dim: 0 }", [I, I], [(4, 3, 8, 9)], []),
    ("Slice", "", [I], [(2, 1, 8, 9)] * 3, []),
    ("Slice", "slice_param { axis: 2 slice_point: 1 slice_point: 4 }", [I], [(2, 3, 1, 9), (2, 3, 3, 9), (2, 3, 4, 9)], []),
    ("Slice", "slice_param { slice_dim: 0 }", [I], [(1, 3, 8, 9)] * 2, []),
    ("Split", "", [I], [I, I, I], []),
    ("Eltwise", "eltwise_param { operation: MAX }", [I, I, I], [I], []),
    ("Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", [I, I], [I], []),
    ("Silence", "", [I, I], [], []),
    ("Flatten", "", [I], [(2, 216)], []),
    ("Flatten", "flatten_param { axis: 0 end_axis: -2 }", [I], [(48, 9)], []),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 9 } }", [I], [(2, 24, 9)], []),
    ("Reshape", "reshape_param { shape { dim: -1 } axis: 1 num_axes: 2 }", [I], [(2, 24, 9)], []),
    ("Reshape", "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }", [I], [(2, 3, 8, 9, 1)], []),
    ("Tile", "tile_param { axis: 2 tiles: 3 }", [I], [(2, 3, 24, 9)], []),
    ("Crop", "", [I, (1, 1, 4, 5)], [(2, 3, 4, 5)], []),
    ("Crop", "crop_param { axis: 1 offset: 2 offset: 1 offset: 0 }", [I, (1, 1, 7, 9)], [(2, 1, 7, 9)], []),
    ("Reduction", "", [I], [()], []),
    ("Reduction", "reduction_param { axis: 1 operation: MEAN }", [I], [(2,)], []),
    ("ArgMax", "", [I], [(2, 1, 1, 1)], []),
    ("ArgMax", "argmax_param { out_max_val: true top_k: 5 }", [I], [(2, 2, 5, 1)], []),
    ("ArgMax", "argmax_param { axis: 1 top_k: 2 }", [I], [(2, 2, 8, 9)], []),
    ("ArgMax", "", [(2, 10)], [(2, 1, 1)], []),
    ("Softmax", "softmax_param { axis: 2 }", [I], [I], []),
    ("Accuracy", "accuracy_param { top_k: 3 }", [(2, 10), LABELS], [()], []),
    ("Accuracy", "", [(2, 10), LABELS], [(), (10,)], []),
    ("Accuracy", "", [I, (2, 8, 9)], [()], []),
    ("SoftmaxWithLoss", "loss_weight: 0.3", [(2, 10), LABELS], [()], []),
    ("SoftmaxWithLoss", "loss_param { ignore_label: 3 }", [(2, 10), (2, 1, 1, 1)], [(), (2, 10)], []),
    ("SoftmaxWithLoss", "", [I, (2, 1, 8, 9)], [()], []),
    ("SigmoidCrossEntropyLoss", "", [(2, 10), (2, 10)], [()], []),
    ("EuclideanLoss", "", [(2, 10), (2, 10, 1, 1)], [()], []),
    ("HingeLoss", "hinge_loss_param { norm: L2 }", [(2, 10), LABELS], [()], []),
    ("MultinomialLogisticLoss", "", [(2, 10), LABELS], [()], []),
    ("InfogainLoss", "", [(2, 3), LABELS, (1, 1, 3, 3)], [(), (2, 3)], []),
    ("ContrastiveLoss", "contrastive_loss_param { margin: 2 }", [(2, 4), (2, 4), LABELS], [()], []),
]  # fmt: skip


@pytest.mark.parametrize(("type", "options", "bottoms", "tops", "weights"), RULES)
def test_shapes_follow_the_rule_of_the_type(
    type: str, options: str, bottoms: list[Shape], tops: list[Shape], weights: list[Shape]
) -> None:
    info = run(type, options, *bottoms, tops=len(tops))

    assert not isinstance(info, str), info
    assert list(info.top_shapes) == tops
    assert list(info.parameter_shapes) == weights
    learnable = 0 if type == "BatchNorm" else sum(map(math.prod, weights))
    assert info.parameters == learnable


def test_every_type_has_its_rule_tested() -> None:
    assert {kind.name for kind in layer_types()} == {rule[0] for rule in RULES}


@pytest.mark.parametrize(
    ("type", "options", "bottoms", "message"),
    [
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 11 }}", [I], "kernel_size 11 exceeds its input 8×9"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 12 pad: 1 }}", [I], "exceeds its input 8×9 with pad 1"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 5 dilation: 2 }}", [I], "kernel_size 5 with dilation 2"),
        ("Convolution", f"{CONV} {{ kernel_size: 3 }}", [I], "num_output is missing"),
        ("Convolution", f"{CONV} {{ num_output: 1 }}", [I], "kernel_size is missing"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 0 }}", [I], "kernel_size is 0; expected 1 or more"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 stride: 0 }}", [I], "stride is 0; expected 1 or more"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 dilation: 0 }}", [I], "dilation is 0"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 kernel_h: 1 }}", [I], "kernel_size and kernel_h or"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_h: 1 }}", [I], "only one of kernel_h and kernel_w"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: [1, 1, 1] }}", [I], "has 3 values of kernel_size"),
        ("Convolution", f"{CONV} {{ num_output: 4 kernel_size: 1 group: 2 }}", [I], "group 2 does not divide 3 channels"),
        ("Convolution", f"{CONV} {{ num_output: 4 kernel_size: 1 group: 0 }}", [I], "group is 0"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 pad: 4000000000 }}", [I], "pad 4000000000 is too large"),
        ("Convolution", f"{CONV} {{ num_output: 1000000000 kernel_size: 3 }}", [I], "would be"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 }}", [(2, 3)], "expects images (N×C×H×W), its input is 2×3"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 axis: 2 }}", [I], "axis 2 is not supported"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 weight_filler {{ type: 'xavir' }} }}", [I], 'unknown filler "xavir"'),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: [1, 2] weight_filler {{ type: 'bilinear' }} }}", [I], "expected a square kernel, found 1×3×1×2"),
        ("Convolution", f"{CONV} {{ num_output: 1 kernel_size: 1 bias_filler {{ type: 'gaussian' std: -1 }} }}", [I], "std -1 is negative"),
        ("Scale", "scale_param { filler { type: 'uniform' min: 2 max: 1 } }", [I], "min 2 is larger than max 1"),
        ("Scale", "scale_param { num_axes: 0 filler { type: 'xavier' } }", [I], "xavier filler: expected an array, found one number"),
        ("Deconvolution", f"{CONV} {{ num_output: 1 kernel_size: 1 pad: 9 }}", [I], "pad leaves nothing"),
        ("Pooling", f"{POOL} {{ kernel_size: 20 }}", [I], "kernel_size 20 exceeds its input 8×9"),
        ("Pooling", f"{POOL} {{ kernel_h: 8 kernel_w: 10 }}", [I], "kernel_size 8×10 exceeds its input 8×9"),
        ("Pooling", f"{POOL} {{ kernel_size: 1 stride: 3 }}", [I], "kernel_size 1 with stride 3 ends in an empty window"),
        ("Pooling", f"{POOL} {{ kernel_size: 2 pad: 2 }}", [I], "pad 2 is not smaller than kernel_size 2"),
        ("Pooling", f"{POOL} {{ pool: STOCHASTIC kernel_size: 3 pad: 1 }}", [I], "pool STOCHASTIC takes no pad"),
        ("Pooling", f"{POOL} {{ kernel_size: 2 global_pooling: true }}", [I], "has global_pooling and a kernel size"),
        ("Pooling", "", [I], "kernel_size is missing"),
        ("InnerProduct", "", [I], "num_output is missing"),
        ("InnerProduct", f"{IP} {{ num_output: 1 axis: 4 }}", [I], "axis 4 does not exist in its input 2×3×8×9"),
        ("InnerProduct", f"{IP} {{ num_output: 4294967295 }}", [I], "at most 2,147,483,647"),
        ("LRN", "lrn_param { local_size: 4 }", [I], "local_size is 4; expected an odd number"),
        ("BatchNorm", "batch_norm_param { eps: 0 }", [I], "eps is 0; expected more than 0"),
        ("Scale", "", [I, (2,)], "its second input does not fit the first from axis 1 on: 2 and 2×3×8×9"),
        ("Scale", "scale_param { num_axes: 4 }", [I], "num_axes 4 from axis 1 do not exist"),
        ("Dropout", "dropout_param { dropout_ratio: 1 }", [I], "dropout_ratio is 1; expected 0 to less than 1"),
        ("Dropout", "dropout_param { dropout_ratio: nan }", [I], "dropout_ratio is nan; expected a number"),
        ("Power", "power_param { scale: inf }", [I], "scale is inf"),
        ("Exp", "exp_param { base: 0 }", [I], "base is 0"),
        ("Log", "log_param { base: 1 }", [I], "base is 1"),
        ("Concat", "", [I, (2, 3, 8, 8)], "its inputs differ in more than axis 1: b0 is 2×3×8×9, b1 is 2×3×8×8"),
        ("Slice", "slice_param { slice_point: 1 }", [I], "has 1 tops and 1 values of slice_point; expected 0"),
        ("Eltwise", "", [I, (2, 3)], "its inputs differ"),
        ("Eltwise", "eltwise_param { coeff: 1 }", [I, I], "has 2 inputs and 1 values of coeff"),
        ("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 1 }", [I, I], "coeff is only for operation SUM"),
        ("Eltwise", "", [I], "expects 2 or more bottoms, found 1"),
        ("Flatten", "flatten_param { axis: 2 end_axis: 1 }", [I], "end_axis 1 lies before axis 2"),
        ("Reshape", "reshape_param { shape { dim: 5 } }", [I], "432 numbers do not fit into 5"),
        ("Reshape", "reshape_param { shape { dim: -1 dim: 5 } }", [I], "432 numbers do not divide"),
        ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", [I], "at most one -1"),
        ("Reshape", "reshape_param { shape { dim: [0, 0, 0, 0, 0] } }", [I], "dim 4 is 0"),
        ("Reshape", "reshape_param { axis: 9 }", [I], "axis 9 does not exist"),
        ("Tile", "", [I], "tiles is 0; expected 1 or more"),
        ("Tile", "tile_param { tiles: 2000000000 }", [I], "at most 2,147,483,647"),
        ("Crop", "crop_param { offset: 5 }", [I, (1, 1, 4, 5)], "4 from offset 5 on do not fit"),
        ("ArgMax", "", [()], "axis 0 does not exist in its input one number"),
        ("ArgMax", "argmax_param { top_k: 999 }", [I], "top_k is 999; expected 1 to 216"),
        ("Accuracy", "accuracy_param { top_k: 11 }", [(2, 10), LABELS], "top_k is 11; expected 1 to 10"),
        ("Accuracy", "accuracy_param { top_k: 0 }", [(2, 10), LABELS], "top_k is 0"),
        ("SoftmaxWithLoss", "", [I, LABELS], "expects 144 labels (2×8×9) for scores 2×3×8×9, found 2"),
        ("SoftmaxWithLoss", "loss_weight: 1 loss_weight: 2", [(2, 10), LABELS], "has 2 values of loss_weight; expected 1"),
        ("EuclideanLoss", "", [(2, 10), LABELS], "its inputs differ: 2×10 and 2"),
        ("InfogainLoss", 'infogain_loss_param { source: "/etc/passwd" }', [(2, 3), LABELS], "source names a file"),
        ("InfogainLoss", "", [(2, 3), LABELS], "the matrix of gains is missing; write it into the layer, row by row"),
        ("InfogainLoss", "blobs { data: 1 data: 0 }", [(2, 3), LABELS], "the matrix is 2; expected 3×3"),
        ("InfogainLoss", "blobs { data: 1 }", [(2, 1), LABELS, (1, 1)], "the matrix of gains can be given once"),
        ("ContrastiveLoss", "", [(2, 4), (2, 5), LABELS], "expects two blobs N×C of the same size"),
        ("ReLU", "", [I, I], "expects 1 bottom, found 2"),
        ("ReLU", "param { }", [I], "has 1 param { }; it keeps 0 arrays"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(type: str, options: str, bottoms: list[Shape], message: str) -> None:
    found = run(type, options, *bottoms)

    assert isinstance(found, str)
    assert message in found


def test_multiply_adds_are_those_of_convolutions_and_inner_products() -> None:
    conv = run("Convolution", f"{CONV} {{ num_output: 6 kernel_size: 3 group: 3 }}", I)
    deconv = run("Deconvolution", f"{CONV} {{ num_output: 4 kernel_size: 2 stride: 2 }}", I)
    product = run("InnerProduct", f"{IP} {{ num_output: 7 }}", I)

    assert (conv.multiply_adds, deconv.multiply_adds, product.multiply_adds) == (
        2 * 6 * (6 * 7) * (1 * 9),
        2 * (8 * 9) * 3 * 4 * 4,
        2 * 216 * 7,
    )


def test_options_of_another_type_are_said_to_have_no_effect() -> None:
    info = run("ReLU", "pooling_param { kernel_size: 2 }", I)

    assert info.remarks == ("pooling_param has no effect on a ReLU",)


@pytest.mark.parametrize(
    ("options", "remarks"),
    [
        (f"{CONV} {{ num_output: 1 kernel_size: 3 stride: 2 }}", ("stride 2 leaves 1 of 8 rows unread",)),
        (f"{CONV} {{ num_output: 1 kernel_size: 3 stride: 2 pad: 1 }}", ()),  # only padding is left over
        (f"{CONV} {{ num_output: 1 kernel_size: 5 stride: 3 }}", ("stride 3 leaves 1 of 9 columns unread",)),
        (f"{CONV} {{ num_output: 1 kernel_size: 1 stride: 2 }}", ()),
    ],
)
def test_a_division_with_a_remainder_is_remarked(options: str, remarks: tuple[str, ...]) -> None:
    assert run("Convolution", options, I).remarks == remarks
