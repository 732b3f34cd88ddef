"""Layers as lines of plain PyTorch: one function per type, from a compiled layer to an expression.

Used for the downloaded `model.py` (`model_source.py`). Options are read from the compiled modules, so that there is one
reading of them; `w` is the dictionary of weights in the generated code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.engine.layers import LayerModule

Line = Callable[[Any, list[str]], str]

_LINES: dict[str, Line] = {}


def expression(module: LayerModule, bottoms: list[str]) -> str | None:
    """What computes the layer's tops from its bottoms (Python names); None for a type that is not known here."""
    line = _LINES.get(module.layer.type)
    return None if line is None else line(module, bottoms)


def supported_types() -> tuple[str, ...]:
    return tuple(sorted(_LINES))


def _line(*types: str) -> Callable[[Line], Line]:
    def register(function: Line) -> Line:
        _LINES.update(dict.fromkeys(types, function))
        return function

    return register


def _w(module: LayerModule, blob: str) -> str:
    """The weight in the generated code, or None where the layer has none of that name."""
    return f"w[{f'{module.layer.name}.{blob}'!r}]" if blob in module.blobs else "None"


@_line("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def _convolution(module: Any, bottoms: list[str]) -> str:
    window, tail = module.window, f"{_w(module, 'weight')}, {_w(module, 'bias')}"
    options = f"{window.stride}, {window.pad}, {window.dilation}, {module.group}"
    return _each(bottoms, lambda name: f"F.conv2d({name}, {tail}, {options})")


@_line("Deconvolution")
def _deconvolution(module: Any, bottoms: list[str]) -> str:
    window, tail = module.window, f"{_w(module, 'weight')}, {_w(module, 'bias')}"
    options = f"{window.stride}, {window.pad}, 0, {module.group}, {window.dilation}"
    return _each(bottoms, lambda name: f"F.conv_transpose2d({name}, {tail}, {options})")


def _each(bottoms: list[str], call: Callable[[str], str]) -> str:
    return ", ".join(call(name) for name in bottoms)


@_line("Pooling")
def _pooling(module: Any, bottoms: list[str]) -> str:
    image = bottoms[0]
    if module.is_global:
        return f"{image}.{'amax' if module.is_max else 'mean'}((2, 3), True)"
    function, pad, cut = ("max_pool2d" if module.is_max else "avg_pool2d"), module.window.pad, ""
    if module.lays_out_pad:
        value = 'float("-inf")' if module.is_max else "0"
        image = f"F.pad({image}, {(pad[1], pad[1], pad[0], pad[0])}, value={value})"
        pad, cut = (0, 0), f"[:, :, : {module.output[0]}, : {module.output[1]}]"
    options = f"{module.window.kernel}, {module.window.stride}, {pad}, ceil_mode={module.rounds_up}"
    return f"F.{function}({image}, {options}){cut}"


@_line("InnerProduct")
def _inner_product(module: Any, bottoms: list[str]) -> str:
    weight = _w(module, "weight") + (".t()" if module.transpose else "")
    return f"F.linear({bottoms[0]}.flatten({module.axis}), {weight}, {_w(module, 'bias')})"


@_line("ReLU")
def _relu(module: Any, bottoms: list[str]) -> str:
    slope = module.negative_slope
    return f"F.leaky_relu({bottoms[0]}, {slope!r})" if slope else f"F.relu({bottoms[0]})"


@_line("PReLU")
def _prelu(module: Any, bottoms: list[str]) -> str:
    return f"F.prelu({bottoms[0]}, {_w(module, 'weight')}.reshape(-1))"


@_line("ELU")
def _elu(module: Any, bottoms: list[str]) -> str:
    return f"F.elu({bottoms[0]}, {module.alpha!r})"


@_line("Sigmoid", "TanH", "AbsVal", "BNLL")
def _plain_function(module: Any, bottoms: list[str]) -> str:
    functions = {"Sigmoid": "torch.sigmoid", "TanH": "torch.tanh", "AbsVal": "torch.abs", "BNLL": "F.softplus"}
    return f"{functions[module.layer.type]}({bottoms[0]})"


@_line("Power")
def _power(module: Any, bottoms: list[str]) -> str:
    return f"({bottoms[0]} * {module.scale!r} + {module.shift!r}) ** {module.power!r}"


@_line("Exp")
def _exp(module: Any, bottoms: list[str]) -> str:
    return f"torch.exp({bottoms[0]} * {module.factor!r} + {module.summand!r})"


@_line("Log")
def _log(module: Any, bottoms: list[str]) -> str:
    return f"torch.log({bottoms[0]} * {module.scale!r} + {module.shift!r}) * {module.factor!r}"


@_line("Threshold")
def _threshold(module: Any, bottoms: list[str]) -> str:
    return f"({bottoms[0]} > {module.threshold!r}).float()"


@_line("Dropout")
def _dropout(module: Any, bottoms: list[str]) -> str:  # noqa: ARG001
    return bottoms[0]  # nothing is dropped in prediction


@_line("LRN")
def _lrn(module: Any, bottoms: list[str]) -> str:
    image, size, alpha, beta = bottoms[0], module.size, module.alpha, module.beta
    if module.is_across:
        return f"F.local_response_norm({image}, {size}, {alpha!r}, {beta!r}, {module.k!r})"
    mean = f"F.avg_pool2d({image} ** 2, {size}, 1, {size // 2})"
    return f"{image} * (1 + {alpha!r} * {mean}) ** -{beta!r}"


@_line("BatchNorm")
def _batch_norm(module: Any, bottoms: list[str]) -> str:
    factor = f"{_w(module, 'factor')}.clamp(min=1e-30)"
    statistics = f"{_w(module, 'mean')} / {factor}, {_w(module, 'variance')} / {factor}"
    return f"F.batch_norm({bottoms[0]}, {statistics}, eps={module.eps!r})"


@_line("MVN")
def _mvn(module: Any, bottoms: list[str]) -> str:
    axes = (1, 2, 3) if module.first_axis == 1 else (2, 3)
    centred = f"({bottoms[0]} - {bottoms[0]}.mean({axes}, True))"
    if not module.scales:
        return centred
    return f"{centred} / ({bottoms[0]}.std({axes}, correction=0, keepdim=True) + {module.eps!r})"


@_line("Scale")
def _scale(module: Any, bottoms: list[str]) -> str:
    factor = bottoms[1] if len(bottoms) > 1 else _w(module, "weight")
    summand = f" + {_w(module, 'bias')}.view({module.view})" if "bias" in module.blobs else ""
    return f"{bottoms[0]} * {factor}.view({module.view}){summand}"


@_line("Bias")
def _bias(module: Any, bottoms: list[str]) -> str:
    summand = bottoms[1] if len(bottoms) > 1 else _w(module, "bias")
    return f"{bottoms[0]} + {summand}.view({module.view})"


@_line("Concat")
def _concat(module: Any, bottoms: list[str]) -> str:
    return f"torch.cat([{', '.join(bottoms)}], {module.axis})"


@_line("Slice")
def _slice(module: Any, bottoms: list[str]) -> str:
    return f"torch.split({bottoms[0]}, {module.sizes}, {module.axis})"


@_line("Split")
def _split(module: Any, bottoms: list[str]) -> str:
    return ", ".join(bottoms[:1] * len(module.layer.tops))


@_line("Flatten")
def _flatten(module: Any, bottoms: list[str]) -> str:
    return f"{bottoms[0]}.flatten({module.axis}, {module.end_axis})"


@_line("Reshape")
def _reshape(module: Any, bottoms: list[str]) -> str:
    name = bottoms[0]
    sizes = [
        f"{name}.shape[{module.axis + place}]" if not size else str(size) for place, size in enumerate(module.sizes)
    ]
    before, after = f"*{name}.shape[: {module.axis}]", f"*{name}.shape[{module.end} :]"
    return f"{name}.reshape({', '.join([before, *sizes, after])})"


@_line("Tile")
def _tile(module: Any, bottoms: list[str]) -> str:
    return f"{bottoms[0]}.repeat({module.repeats})"


@_line("Crop")
def _crop(module: Any, bottoms: list[str]) -> str:
    cut = bottoms[0]
    for place, offset in enumerate(module.offsets):
        axis = module.axis + place
        cut += f".narrow({axis}, {offset}, {bottoms[1]}.shape[{axis}])"
    return cut


@_line("Eltwise")
def _eltwise(module: Any, bottoms: list[str]) -> str:
    if module.operation == "MAX":
        return f"functools.reduce(torch.maximum, [{', '.join(bottoms)}])"
    if module.operation == "PROD":
        return " * ".join(bottoms)
    if not module.coefficients:
        return " + ".join(bottoms)
    return " + ".join(f"{factor!r} * {name}" for factor, name in zip(module.coefficients, bottoms, strict=True))


@_line("Reduction")
def _reduction(module: Any, bottoms: list[str]) -> str:
    rows = f"{bottoms[0]}.flatten({module.axis})"
    inner = {"ASUM": f"{rows}.abs()", "SUMSQ": f"{rows} ** 2"}.get(module.operation, rows)
    return f"{module.coefficient!r} * ({inner}).{'mean' if module.operation == 'MEAN' else 'sum'}(-1)"


@_line("ArgMax")
def _argmax(module: Any, bottoms: list[str]) -> str:
    if module.axis is not None:
        part = "values" if module.gives_values else "indices.float()"
        return f"{bottoms[0]}.topk({module.top_k}, {module.axis}).{part}"
    largest = f"{bottoms[0]}.flatten(1).topk({module.top_k}, 1)"
    parts = [f"{largest}.indices.float()"] + ([f"{largest}.values"] if module.gives_values else [])
    return f"torch.stack([{', '.join(parts)}], 1)"


@_line("Softmax")
def _softmax(module: Any, bottoms: list[str]) -> str:
    return f"torch.softmax({bottoms[0]}, {module.axis})"
