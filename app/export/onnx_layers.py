"""Layers as ONNX nodes (operator set 17): one function per type, from a layer in its place to the names of its tops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.export import options
from app.export.onnx_graph import Graph
from app.export.trained_net import Site

OPERATOR_SET = 17
Nodes = Callable[[Graph, Site, list[str]], list[str]]

_NODES: dict[str, Nodes] = {}


def add_layer(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    """The names of the layer's tops in the graph; raises ExportError for what cannot be written."""
    nodes = _NODES.get(site.layer.type)
    if nodes is None:
        raise site.fail(f"{site.layer.type} cannot be written as ONNX")
    return nodes(graph, site, bottoms)


def supported_types() -> frozenset[str]:
    return frozenset(_NODES)


def _nodes(*types: str) -> Callable[[Nodes], Nodes]:
    def register(function: Nodes) -> Nodes:
        _NODES.update(dict.fromkeys(types, function))
        return function

    return register


def _top(site: Site) -> str:
    return site.layer.tops[0]


def _weight(graph: Graph, site: Site, blob: str, shape: tuple[int, ...] | None = None) -> str:
    return graph.weight(f"{site.layer.name}.{blob}", site.weights[blob], shape)


@_nodes("Convolution", "Deconvolution")
def _convolution(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given = options.convolution(site)
    operator = "Conv" if site.layer.type == "Convolution" else "ConvTranspose"
    weights = [_weight(graph, site, blob) for blob in site.weights]
    return [
        graph.add(operator, [bottom, *weights], top, kernel_shape=given.kernel, strides=given.stride,
                  pads=given.pad * 2, dilations=given.dilation, group=given.group)
        for bottom, top in zip(bottoms, site.layer.tops, strict=True)
    ]  # fmt: skip


@_nodes("Pooling")
def _pooling(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given, top = options.pooling(site), _top(site)
    if not given.is_stochastic:
        return [_pooled(graph, given, bottoms[0], top)]
    weights = graph.add("Relu", bottoms, f"{top}.weights")
    weighed = graph.add("Mul", [weights, bottoms[0]], f"{top}.weighed")
    sums = _pooled(graph, given, weights, f"{top}.sum")
    least = graph.add("Max", [sums, graph.number(options.LEAST_SUM)], f"{top}.least")
    return [graph.add("Div", [_pooled(graph, given, weighed, f"{top}.mean"), least], top)]


def _pooled(graph: Graph, given: options.Pooling, image: str, top: str) -> str:
    if given.is_global:
        return graph.add("GlobalMaxPool" if given.is_max else "GlobalAveragePool", [image], top)
    window = {"kernel_shape": given.kernel, "strides": given.stride, "pads": given.pad + given.pad_after}
    if given.is_max:
        return graph.add("MaxPool", [image], top, **window)
    mean = graph.add("AveragePool", [image], top, count_include_pad=1, **window)
    factors = given.area_factors()
    return mean if factors is None else graph.add("Mul", [mean, graph.constant(factors)], top)


@_nodes("InnerProduct")
def _inner_product(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given = site.options.inner_product_param
    axis, weights = site.axis(given.axis), [_weight(graph, site, blob) for blob in site.weights]
    if axis == 0:
        raise site.fail("axis 0 makes one row of the whole batch, which cannot be written as ONNX")
    if axis == 1:
        rows = graph.add("Flatten", bottoms, f"{_top(site)}.rows", axis=1)
        return [graph.add("Gemm", [rows, *weights], _top(site), transB=int(not given.transpose))]
    rows = graph.add("Reshape", [bottoms[0], graph.numbers(*[0] * axis, -1)], f"{_top(site)}.rows")
    matrix = weights[0] if given.transpose else graph.add("Transpose", weights[:1], f"{weights[0]}.t", perm=[1, 0])
    product = graph.add("MatMul", [rows, matrix], _top(site))
    return [graph.add("Add", [product, weights[1]], _top(site)) if len(weights) > 1 else product]


@_nodes("ReLU")
def _relu(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    slope = site.options.relu_param.negative_slope
    return [
        graph.add("LeakyRelu", bottoms, _top(site), alpha=slope) if slope else graph.add("Relu", bottoms, _top(site))
    ]


@_nodes("PReLU")
def _prelu(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    slopes = site.weights["weight"]
    shape = (*(slopes.shape or (1,)), *(1,) * (len(site.shape) - 2))
    return [graph.add("PRelu", [bottoms[0], _weight(graph, site, "weight", shape)], _top(site))]


@_nodes("ELU")
def _elu(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [graph.add("Elu", bottoms, _top(site), alpha=site.options.elu_param.alpha)]


@_nodes("Sigmoid", "TanH", "AbsVal", "BNLL", "Dropout")
def _plain_function(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    operators = {"Sigmoid": "Sigmoid", "TanH": "Tanh", "AbsVal": "Abs", "BNLL": "Softplus", "Dropout": "Identity"}
    return [graph.add(operators[site.layer.type], bottoms, _top(site))]


@_nodes("Power")
def _power(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given = site.options.power_param
    line = _line(graph, site, bottoms[0], given.scale, given.shift)
    return [graph.add("Pow", [line, graph.number(given.power)], _top(site)) if given.power != 1 else line]


@_nodes("Exp")
def _exp(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given = site.options.exp_param
    factor = options.log_of_base(given.base)
    line = _line(graph, site, bottoms[0], given.scale * factor, given.shift * factor)
    return [graph.add("Exp", [line], _top(site))]


@_nodes("Log")
def _log(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given = site.options.log_param
    natural = graph.add("Log", [_line(graph, site, bottoms[0], given.scale, given.shift)], _top(site))
    return [graph.add("Mul", [natural, graph.number(1 / options.log_of_base(given.base))], _top(site))]


def _line(graph: Graph, site: Site, value: str, scale: float, shift: float) -> str:
    scaled = graph.add("Mul", [value, graph.number(scale)], f"{_top(site)}.scaled")
    return graph.add("Add", [scaled, graph.number(shift)], f"{_top(site)}.shifted")


@_nodes("Threshold")
def _threshold(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    limit = graph.number(site.options.threshold_param.threshold)
    return [_as_float(graph, site, graph.add("Greater", [bottoms[0], limit], f"{_top(site)}.above"))]


def _as_float(graph: Graph, site: Site, value: str) -> str:
    return graph.add("Cast", [value], _top(site), to=1)  # TensorProto.FLOAT


@_nodes("LRN")
def _lrn(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given, size = site.options.lrn_param, site.options.lrn_param.local_size
    if given.norm_region == given.ACROSS_CHANNELS:
        return [graph.add("LRN", bottoms, _top(site), size=size, alpha=given.alpha, beta=given.beta, bias=given.k)]
    squares = graph.add("Mul", bottoms * 2, f"{_top(site)}.squares")
    mean = graph.add("AveragePool", [squares], f"{_top(site)}.mean", kernel_shape=[size] * 2, strides=[1, 1],
                     pads=[size // 2] * 4, count_include_pad=1)  # fmt: skip
    base = _line(graph, site, mean, given.alpha, 1.0)
    power = graph.add("Pow", [base, graph.number(-given.beta)], f"{_top(site)}.power")
    return [graph.add("Mul", [bottoms[0], power], _top(site))]


@_nodes("BatchNorm")
def _batch_norm(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    if len(site.shape) < 2:
        raise site.fail("a BatchNorm without an axis of channels cannot be written as ONNX")
    mean, variance, factor = (site.weights[blob].array() for blob in ("mean", "variance", "factor"))
    share = np.float32(0 if factor[0] == 0 else 1 / factor[0])
    channels = site.shape[1]
    parameters = (np.ones(channels, np.float32), np.zeros(channels, np.float32), mean * share, variance * share)
    named = [graph.constant(array, f"{site.layer.name}.{blob}")
             for array, blob in zip(parameters, ("weight", "bias", "mean", "variance"), strict=True)]  # fmt: skip
    epsilon = site.options.batch_norm_param.eps
    return [graph.add("BatchNormalization", [bottoms[0], *named], _top(site), epsilon=epsilon)]


@_nodes("MVN")
def _mvn(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given, top = site.options.mvn_param, _top(site)
    axes = list(range(1 if given.across_channels else 2, len(site.shape)))
    mean = graph.add("ReduceMean", bottoms, f"{top}.mean", axes=axes, keepdims=1)
    centred = graph.add("Sub", [bottoms[0], mean], top)
    if not given.normalize_variance:
        return [centred]
    squares = graph.add("Mul", [centred, centred], f"{top}.squares")
    variance = graph.add("ReduceMean", [squares], f"{top}.variance", axes=axes, keepdims=1)
    deviation = graph.add("Sqrt", [variance], f"{top}.deviation")
    divisor = graph.add("Add", [deviation, graph.number(given.eps)], f"{top}.divisor")
    return [graph.add("Div", [centred, divisor], top)]


@_nodes("Scale")
def _scale(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    factor = _operand(graph, site, bottoms, site.options.scale_param.axis, "weight")
    scaled = graph.add("Mul", [bottoms[0], factor], _top(site))
    if "bias" not in site.weights:
        return [scaled]
    return [graph.add("Add", [scaled, _operand(graph, site, [], site.options.scale_param.axis, "bias")], _top(site))]


@_nodes("Bias")
def _bias(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [
        graph.add("Add", [bottoms[0], _operand(graph, site, bottoms, site.options.bias_param.axis, "bias")], _top(site))
    ]


def _operand(graph: Graph, site: Site, bottoms: list[str], axis: int, blob: str) -> str:
    """The second bottom, or else the layer's own weight, so shaped that it lies along the first bottom."""
    shape = options.operand_shape(site, axis)
    if len(bottoms) > 1:
        return graph.add("Reshape", [bottoms[1], graph.numbers(*shape)], f"{_top(site)}.operand")
    own = site.weights[blob].shape
    return _weight(graph, site, blob, tuple(own[0] if size == -1 else size for size in shape))


@_nodes("Concat")
def _concat(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [graph.add("Concat", bottoms, _top(site), axis=options.concat_axis(site))]


@_nodes("Slice")
def _slice(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    sizes = graph.numbers(*options.slice_sizes(site))
    return graph.add_several("Split", [bottoms[0], sizes], site.layer.tops, axis=options.slice_axis(site))


@_nodes("Split")
def _split(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [graph.add("Identity", bottoms[:1], top) for top in site.layer.tops]


@_nodes("Flatten")
def _flatten(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [graph.add("Reshape", [bottoms[0], graph.numbers(-1, *site.info.top_shapes[0][1:])], _top(site))]


@_nodes("Reshape")
def _reshape(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [graph.add("Reshape", [bottoms[0], graph.numbers(*options.reshape_sizes(site))], _top(site))]


@_nodes("Tile")
def _tile(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    repeats = [1] * len(site.shape)
    repeats[site.axis(site.options.tile_param.axis)] = site.options.tile_param.tiles
    return [graph.add("Tile", [bottoms[0], graph.numbers(*repeats)], _top(site))]


@_nodes("Crop")
def _crop(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    cuts = [(axis, offset, offset + size) for axis, offset, size in options.crop_offsets(site) if axis]
    axes, starts, ends = (graph.numbers(*values) for values in zip(*cuts, strict=True))
    return [graph.add("Slice", [bottoms[0], starts, ends, axes], _top(site))]


@_nodes("Eltwise")
def _eltwise(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given, top = site.options.eltwise_param, _top(site)
    if given.operation == given.PROD:
        product = bottoms[0]
        for bottom in bottoms[1:]:
            product = graph.add("Mul", [product, bottom], top)
        return [product]
    if given.coeff:
        pairs = zip(bottoms, given.coeff, strict=True)
        bottoms = [graph.add("Mul", [bottom, graph.number(factor)], f"{top}.part") for bottom, factor in pairs]
    return [graph.add("Max" if given.operation == given.MAX else "Sum", bottoms, top)]


@_nodes("Reduction")
def _reduction(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given, value, top = site.options.reduction_param, bottoms[0], _top(site)
    axes = list(range(site.axis(given.axis), len(site.shape)))
    if given.operation == given.ASUM:
        value = graph.add("Abs", [value], f"{top}.magnitudes")
    if given.operation == given.SUMSQ:
        value = graph.add("Mul", [value, value], f"{top}.squares")
    if given.operation == given.MEAN:
        total = graph.add("ReduceMean", [value], top, axes=axes, keepdims=0)
    else:
        total = graph.add("ReduceSum", [value, graph.numbers(*axes)], top, keepdims=0)
    return [graph.add("Mul", [total, graph.number(given.coeff)], top)]


@_nodes("ArgMax")
def _argmax(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    given, top, count = site.options.argmax_param, _top(site), graph.numbers(site.options.argmax_param.top_k)
    outputs = [f"{top}.values", f"{top}.places"]
    if given.HasField("axis"):
        values, places = graph.add_several("TopK", [bottoms[0], count], outputs, axis=site.axis(given.axis))
        return [values if given.out_max_val else _as_float(graph, site, places)]
    rows = graph.add("Flatten", bottoms, f"{top}.rows", axis=1)
    values, places = graph.add_several("TopK", [rows, count], outputs, axis=1)
    parts = [_as_float(graph, site, places), *([values] if given.out_max_val else [])]
    joined = graph.add("Concat", parts, top, axis=1) if len(parts) > 1 else parts[0]
    return [graph.add("Reshape", [joined, graph.numbers(-1, *site.info.top_shapes[0][1:])], top)]


@_nodes("Softmax")
def _softmax(graph: Graph, site: Site, bottoms: list[str]) -> list[str]:
    return [graph.add("Softmax", bottoms, _top(site), axis=site.axis(site.options.softmax_param.axis))]
