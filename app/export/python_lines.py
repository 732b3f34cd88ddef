"""Layers as lines of plain PyTorch: one function per type, from a layer in its place to an expression.

Used for the downloaded `model.py` (`model_source.py`); `w` is the dictionary of weights in the generated code.
"""

from __future__ import annotations

from collections.abc import Callable

from app.export import options
from app.export.trained_net import Site

Line = Callable[[Site, list[str]], str]

_LINES: dict[str, Line] = {}


def expression(site: Site, bottoms: list[str]) -> str:
    """What computes the layer's tops from its bottoms (Python names); raises ExportError for an unknown type."""
    line = _LINES.get(site.layer.type)
    if line is None:
        raise site.fail(f"{site.layer.type} cannot be written as plain PyTorch")
    return line(site, bottoms)


def supported_types() -> frozenset[str]:
    return frozenset(_LINES)


def _line(*types: str) -> Callable[[Line], Line]:
    def register(function: Line) -> Line:
        _LINES.update(dict.fromkeys(types, function))
        return function

    return register


def _w(site: Site, blob: str) -> str:
    """The weight in the generated code, or None where the layer has none of that name."""
    return f"w[{f'{site.layer.name}.{blob}'!r}]" if blob in site.weights else "None"


@_line("Convolution")
def _convolution(site: Site, bottoms: list[str]) -> str:
    given, tail = options.convolution(site), f"{_w(site, 'weight')}, {_w(site, 'bias')}"
    numbers = f"{given.stride}, {given.pad}, {given.dilation}, {given.group}"
    return ", ".join(f"F.conv2d({name}, {tail}, {numbers})" for name in bottoms)


@_line("Deconvolution")
def _deconvolution(site: Site, bottoms: list[str]) -> str:
    given, tail = options.convolution(site), f"{_w(site, 'weight')}, {_w(site, 'bias')}"
    numbers = f"{given.stride}, {given.pad}, 0, {given.group}, {given.dilation}"
    return ", ".join(f"F.conv_transpose2d({name}, {tail}, {numbers})" for name in bottoms)


@_line("Pooling")
def _pooling(site: Site, bottoms: list[str]) -> str:
    given, image = options.pooling(site), bottoms[0]
    if given.is_stochastic:
        weights = f"F.relu({image})"
        means = _pooled(given, f"({weights} * {image})"), _pooled(given, weights)
        return f"{means[0]} / {means[1]}.clamp(min={options.LEAST_SUM!r})"
    return _pooled(given, image)


def _pooled(given: options.Pooling, image: str) -> str:
    cut = ""
    if given.is_global:
        return f"{image}.{'amax' if given.is_max else 'mean'}((2, 3), True)"
    function, pad = ("max_pool2d" if given.is_max else "avg_pool2d"), given.pad
    if any(2 * side > kernel for side, kernel in zip(pad, given.kernel, strict=True)):  # more than PyTorch takes
        value = 'float("-inf")' if given.is_max else "0"
        image = f"F.pad({image}, {(pad[1], pad[1], pad[0], pad[0])}, value={value})"
        pad, cut = (0, 0), f"[:, :, : {given.output[0]}, : {given.output[1]}]"
    return f"F.{function}({image}, {given.kernel}, {given.stride}, {pad}, ceil_mode={given.rounds_up}){cut}"


@_line("InnerProduct")
def _inner_product(site: Site, bottoms: list[str]) -> str:
    given = site.options.inner_product_param
    weight = _w(site, "weight") + (".t()" if given.transpose else "")
    return f"F.linear({bottoms[0]}.flatten({site.axis(given.axis)}), {weight}, {_w(site, 'bias')})"


@_line("ReLU")
def _relu(site: Site, bottoms: list[str]) -> str:
    slope = site.options.relu_param.negative_slope
    return f"F.leaky_relu({bottoms[0]}, {slope!r})" if slope else f"F.relu({bottoms[0]})"


@_line("PReLU")
def _prelu(site: Site, bottoms: list[str]) -> str:
    return f"F.prelu({bottoms[0]}, {_w(site, 'weight')}.reshape(-1))"


@_line("ELU")
def _elu(site: Site, bottoms: list[str]) -> str:
    return f"F.elu({bottoms[0]}, {site.options.elu_param.alpha!r})"


@_line("Sigmoid", "TanH", "AbsVal", "BNLL")
def _plain_function(site: Site, bottoms: list[str]) -> str:
    functions = {"Sigmoid": "torch.sigmoid", "TanH": "torch.tanh", "AbsVal": "torch.abs", "BNLL": "F.softplus"}
    return f"{functions[site.layer.type]}({bottoms[0]})"


@_line("Power")
def _power(site: Site, bottoms: list[str]) -> str:
    given = site.options.power_param
    return f"({bottoms[0]} * {given.scale!r} + {given.shift!r}) ** {given.power!r}"


@_line("Exp")
def _exp(site: Site, bottoms: list[str]) -> str:
    given = site.options.exp_param
    factor = options.log_of_base(given.base)
    return f"torch.exp({bottoms[0]} * {given.scale * factor!r} + {given.shift * factor!r})"


@_line("Log")
def _log(site: Site, bottoms: list[str]) -> str:
    given = site.options.log_param
    factor = 1 / options.log_of_base(given.base)
    return f"torch.log({bottoms[0]} * {given.scale!r} + {given.shift!r}) * {factor!r}"


@_line("Threshold")
def _threshold(site: Site, bottoms: list[str]) -> str:
    return f"({bottoms[0]} > {site.options.threshold_param.threshold!r}).float()"


@_line("Dropout")
def _dropout(_site: Site, bottoms: list[str]) -> str:
    return bottoms[0]  # nothing is dropped in prediction


@_line("LRN")
def _lrn(site: Site, bottoms: list[str]) -> str:
    given, image = site.options.lrn_param, bottoms[0]
    if given.norm_region == given.ACROSS_CHANNELS:
        return f"F.local_response_norm({image}, {given.local_size}, {given.alpha!r}, {given.beta!r}, {given.k!r})"
    mean = f"F.avg_pool2d({image} ** 2, {given.local_size}, 1, {given.local_size // 2})"
    return f"{image} * (1 + {given.alpha!r} * {mean}) ** -{given.beta!r}"


@_line("BatchNorm")
def _batch_norm(site: Site, bottoms: list[str]) -> str:
    factor = f"{_w(site, 'factor')}.clamp(min=1e-30)"
    statistics = f"{_w(site, 'mean')} / {factor}, {_w(site, 'variance')} / {factor}"
    return f"F.batch_norm({bottoms[0]}, {statistics}, eps={site.options.batch_norm_param.eps!r})"


@_line("MVN")
def _mvn(site: Site, bottoms: list[str]) -> str:
    given = site.options.mvn_param
    axes = (1, 2, 3) if given.across_channels else (2, 3)
    centred = f"({bottoms[0]} - {bottoms[0]}.mean({axes}, True))"
    if not given.normalize_variance:
        return centred
    return f"{centred} / ({bottoms[0]}.std({axes}, correction=0, keepdim=True) + {given.eps!r})"


@_line("Scale")
def _scale(site: Site, bottoms: list[str]) -> str:
    view = options.operand_shape(site, site.options.scale_param.axis)
    factor = bottoms[1] if len(bottoms) > 1 else _w(site, "weight")
    summand = f" + {_w(site, 'bias')}.view({view})" if "bias" in site.weights else ""
    return f"{bottoms[0]} * {factor}.view({view}){summand}"


@_line("Bias")
def _bias(site: Site, bottoms: list[str]) -> str:
    view = options.operand_shape(site, site.options.bias_param.axis)
    return f"{bottoms[0]} + {bottoms[1] if len(bottoms) > 1 else _w(site, 'bias')}.view({view})"


@_line("Concat")
def _concat(site: Site, bottoms: list[str]) -> str:
    return f"torch.cat([{', '.join(bottoms)}], {options.concat_axis(site)})"


@_line("Slice")
def _slice(site: Site, bottoms: list[str]) -> str:
    return f"torch.split({bottoms[0]}, {options.slice_sizes(site)}, {options.slice_axis(site)})"


@_line("Split")
def _split(site: Site, bottoms: list[str]) -> str:
    return ", ".join(bottoms[:1] * len(site.layer.tops))


@_line("Flatten")
def _flatten(site: Site, bottoms: list[str]) -> str:
    given = site.options.flatten_param
    return f"{bottoms[0]}.flatten({site.axis(given.axis)}, {site.axis(given.end_axis)})"


@_line("Reshape")
def _reshape(site: Site, bottoms: list[str]) -> str:
    return f"{bottoms[0]}.reshape({', '.join(map(str, options.reshape_sizes(site)))})"


@_line("Tile")
def _tile(site: Site, bottoms: list[str]) -> str:
    repeats = [1] * len(site.shape)
    repeats[site.axis(site.options.tile_param.axis)] = site.options.tile_param.tiles
    return f"{bottoms[0]}.repeat({repeats})"


@_line("Crop")
def _crop(site: Site, bottoms: list[str]) -> str:
    cuts = (f".narrow({axis}, {offset}, {size})" for axis, offset, size in options.crop_offsets(site) if axis)
    return bottoms[0] + "".join(cuts)


@_line("Eltwise")
def _eltwise(site: Site, bottoms: list[str]) -> str:
    given = site.options.eltwise_param
    if given.operation == given.MAX:
        return f"functools.reduce(torch.maximum, [{', '.join(bottoms)}])"
    if given.operation == given.PROD:
        return " * ".join(bottoms)
    if not given.coeff:
        return " + ".join(bottoms)
    return " + ".join(f"{factor!r} * {name}" for factor, name in zip(given.coeff, bottoms, strict=True))


@_line("Reduction")
def _reduction(site: Site, bottoms: list[str]) -> str:
    given = site.options.reduction_param
    rows = f"{bottoms[0]}.flatten({site.axis(given.axis)})"
    inner = {given.ASUM: f"{rows}.abs()", given.SUMSQ: f"{rows} ** 2"}.get(given.operation, rows)
    return f"{given.coeff!r} * ({inner}).{'mean' if given.operation == given.MEAN else 'sum'}(-1)"


@_line("ArgMax")
def _argmax(site: Site, bottoms: list[str]) -> str:
    given = site.options.argmax_param
    if given.HasField("axis"):
        part = "values" if given.out_max_val else "indices.float()"
        return f"{bottoms[0]}.topk({given.top_k}, {site.axis(given.axis)}).{part}"
    largest = f"{bottoms[0]}.flatten(1).topk({given.top_k}, 1)"
    parts = [f"{largest}.indices.float()"] + ([f"{largest}.values"] if given.out_max_val else [])
    shape = ", ".join(map(str, (-1, *site.info.top_shapes[0][1:])))
    return f"torch.stack([{', '.join(parts)}], 1).reshape({shape})"


@_line("Softmax")
def _softmax(site: Site, bottoms: list[str]) -> str:
    return f"torch.softmax({bottoms[0]}, {site.axis(site.options.softmax_param.axis)})"
