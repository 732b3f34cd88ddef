"""Generated and mutated texts thrown at everything that reads them: never an exception, always a line, never slow."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.topology.check import Report, check
from app.topology.diagram import diagram_svg
from app.topology.difference import compare
from app.topology.errors import TopologyError
from app.topology.fit import fit
from app.topology.layers import DATA_TYPES, layer_types
from app.topology.text import read, read_leniently
from app.topology.writing import deploy_text, train_val_text
from app.topology.zoo import zoo
from tests.pace import a_million_squares_s
from tests.topology.texts import preprocessing_of

LONGEST = 20.0  # times as long as this machine takes to add up a million squares: about a second on a common one
Result = TypeVar("Result")
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def soon(verb: Callable[..., Result], *given: Any, **named: Any) -> Result:
    """What the verb gives, in time. What is slow only once was kept waiting by the machine; a slow reader always is."""
    for _ in range(3):
        started = time.process_time()
        result = verb(*given, **named)
        took_s = time.process_time() - started
        if took_s < 0.2 or took_s < LONGEST * a_million_squares_s():
            return result
    raise AssertionError(f"took more than {LONGEST} times as long as adding up a million squares, three times")


def thrown(text: str, channels: int = 3, size: int = 32, classes: int = 10) -> Report:
    """Everything done to a text that the pages and the API do; the report, if it kept what it promises."""
    report = soon(check, text, channels, size, size, classes, batch_size=64)
    soon(diagram_svg, text, channels, size, size, classes)
    lines = text.count("\n") + 1
    for issue in (*report.errors, *report.warnings):
        assert 1 <= issue.line <= lines
        assert issue.column >= 1
        assert issue.message
        assert "\n" not in issue.message
        assert len(issue.message) <= 400
    if not report.errors:
        written(text, channels, size, classes, report)
    return report


def written(text: str, channels: int, size: int, classes: int, report: Report) -> None:
    """What passes the check can be fitted, written and read again with the same numbers."""
    preprocessing = preprocessing_of(channels, size, size)
    again = check(train_val_text(text, preprocessing, classes), channels, size, size, classes)
    assert again.errors == []
    assert again.parameters == report.parameters
    assert check(fit(text, classes), channels, size, size, classes).parameters == report.parameters
    if any("prediction is not possible" in issue.message for issue in report.warnings):
        with pytest.raises(TopologyError):
            deploy_text(text, preprocessing, classes)
    else:
        read(deploy_text(text, preprocessing, classes))


@FUZZ
@given(st.text(max_size=300))
def test_any_text_is_answered(text: str) -> None:
    thrown(text)


@FUZZ
@given(st.text("layer{}<>[]:,;#\"'\\ \n\t0123456789.-_aetypnmbopconvlu", max_size=400))
def test_any_text_of_the_letters_of_prototxt_is_answered(text: str) -> None:
    thrown(text)


TYPES = [*sorted({kind.name for kind in layer_types()} | DATA_TYPES), "Python", "relu", ""]
BLOBS = ["data", "label", *"abcd"]
NUMBERS = ["0", "1", "2", "3", "5", "7", "-1", "64", "1000000000", "4294967295", "99999999999", "0.5", "nan", "1e99"]
OPTIONS = [
    *("num_output", "kernel_size", "stride", "pad", "group", "dilation", "axis", "kernel_h", "kernel_w", "local_size"),
    *(
        "dropout_ratio",
        "top_k",
        "tiles",
        "slice_point",
        "num_axes",
        "end_axis",
        "offset",
        "coeff",
        "base",
        "negative_slope",
    ),
]
PARAMS = sorted({kind.options for kind in layer_types()} - {""})


def random_layer(draw: random.Random, index: int) -> str:
    kind = draw.choice(TYPES)
    known = next((layer for layer in layer_types() if layer.name == kind), None)
    blobs = [f'bottom: "{draw.choice(BLOBS)}"' for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3]))]
    tops = [f'top: "{draw.choice(BLOBS)}"' for _ in range(draw.choice([0, 1, 1, 1, 1, 2]))]
    param = known.options if known and known.options and draw.random() < 0.8 else draw.choice(PARAMS)
    options = [f"{draw.choice(OPTIONS)}: {draw.choice(NUMBERS)}" for _ in range(draw.choice([0, 1, 1, 2, 3]))]
    if param == "convolution_param" and draw.random() < 0.8:
        options = [f"num_output: {draw.randint(1, 9)}", f"kernel_size: {draw.randint(1, 9)}", *options[:1]]
    if param == "reshape_param":
        options = [
            f"shape {{ {' '.join(f'dim: {draw.choice([0, -1, 1, 2, 64])}' for _ in range(draw.randint(0, 4)))} }}"
        ]
    rule = draw.choice(["", "", "", "include { phase: TRAIN }", "exclude { phase: TRAIN }", 'include { stage: "val" }'])
    more = draw.choice(
        ["", "", "", f"loss_weight: {draw.choice(NUMBERS)}", 'param { name: "w" }', "propagate_down: true"]
    )
    body = " ".join(
        [f'name: "n{index}" type: "{kind}"', *blobs, *tops, f"{param} {{ {' '.join(options)} }}", rule, more]
    )
    return f"layer {{ {body} }}"


@FUZZ
@given(st.integers(0, 2**32))
def test_any_net_of_random_layers_is_answered(seed: int) -> None:
    draw = random.Random(seed)
    thrown("\n".join(random_layer(draw, index) for index in range(draw.randint(1, 12))), size=draw.choice([1, 8, 33]))


FILLERS = [
    *("", "value: 0.5", 'type: "gaussian" std: 0.1 sparse: 2', 'type: "xavier" variance_norm: AVERAGE'),
    *(f'type: "{name}"' for name in ("gaussian", "uniform", "xavier", "msra", "positive_unitball", "bilinear")),
]
STEPS = [
    'type: "Convolution" convolution_param { num_output: @a kernel_size: @b pad: @c stride: @d weight_filler { @f } }',
    'type: "Convolution" convolution_param { num_output: 4 kernel_size: @b } param { name: "shared@b" }',
    'type: "Convolution" convolution_param { num_output: @a kernel_h: @b kernel_w: @c dilation: @d }',
    'type: "Deconvolution" convolution_param { num_output: @a kernel_size: @b bias_filler { @f } }',
    'type: "Pooling" pooling_param { pool: AVE kernel_size: @b stride: @d pad: @c }',
    'type: "Pooling" pooling_param { kernel_size: @b stride: @d round_mode: FLOOR }',
    'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
    'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: @b stride: @d }',
    'type: "InnerProduct" inner_product_param { num_output: @a weight_filler { @f } }',
    'type: "InnerProduct" inner_product_param { num_output: @a axis: @b transpose: true bias_filler { @f } }',
    'type: "LRN" lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }',
    'type: "LRN"',
    'type: "BatchNorm"',
    'type: "BatchNorm" batch_norm_param { use_global_stats: true }',
    'type: "Scale" scale_param { bias_term: true filler { @f } bias_filler { @f } }',
    'type: "Scale" scale_param { axis: 1 num_axes: @b }',
    'type: "Scale" scale_param { num_axes: 0 filler { @f } }',
    'type: "Bias" bias_param { filler { @f } }',
    'type: "PReLU" prelu_param { filler { @f } }',
    'type: "PReLU" prelu_param { channel_shared: true }',
    'type: "MVN" mvn_param { across_channels: true }',
    'type: "Dropout" dropout_param { dropout_ratio: 0.@a }',
    'type: "Sigmoid"',
    'type: "BNLL"',
    'type: "AbsVal"',
    'type: "ELU"',
    'type: "Exp" exp_param { scale: 0.01 }',
    'type: "Threshold" threshold_param { threshold: 0.@a }',
    'type: "Tile" tile_param { axis: @b tiles: @d }',
    'type: "Split"',
    'type: "Flatten" flatten_param { axis: @b }',
    'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }',
    'type: "Reduction" reduction_param { axis: @b operation: MEAN }',
    'type: "Slice" slice_param { slice_point: @a } top: "rest@a"',
    'type: "Power" power_param { power: 2 shift: 0.1 }',
    'type: "Softmax" softmax_param { axis: @b }',
    'type: "Eltwise" bottom: "@o"',
    'type: "Eltwise" bottom: "@o" eltwise_param { operation: MAX }',
    'type: "Concat" bottom: "@o"',
    'type: "Concat" bottom: "@o" concat_param { axis: -1 }',
]


def random_net(draw: random.Random) -> str:
    """A net that is right more often than not: layers on the blobs of earlier ones, then a classifier."""
    blobs, lines = ["data"], []
    for index in range(draw.randint(1, 10)):
        step = draw.choice(STEPS).replace("@o", blobs[-1])
        for name in "abcd":
            step = step.replace(f"@{name}", str(draw.randint(1, 4)))
        while "@f" in step:
            step = step.replace("@f", draw.choice(FILLERS), 1)
        in_place = draw.random() < 0.2 and blobs[-1] != "data"
        bottom = draw.choice(blobs[-2:])
        top = bottom if in_place else f"b{index}"
        rule = "include { phase: TRAIN }" if draw.random() < 0.05 else ""
        lines.append(f'layer {{ name: "n{index}" bottom: "{bottom}" top: "{top}" {step} {rule} }}')
        blobs.append(top)
    lines.append(f'layer {{ name: "ip" type: "InnerProduct" bottom: "{blobs[-1]}" top: "ip" }}')
    loss = draw.choice(["SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss"])
    lines.append(f'layer {{ name: "loss" type: "{loss}" bottom: "ip" bottom: "label" top: "loss" }}')
    return "\n".join(lines)


@FUZZ
@given(st.integers(0, 2**32))
def test_any_net_that_grows_layer_by_layer_is_answered(seed: int) -> None:
    draw = random.Random(seed)
    thrown(random_net(draw), draw.choice([1, 3]), draw.choice([8, 17, 32]))


def mutated(text: str, draw: random.Random) -> str:
    """The text with a few letters, words or lines taken out, doubled, exchanged or replaced."""
    for _ in range(draw.randint(1, 6)):
        pieces = draw.choice([list, str.split, str.splitlines])(text) or [""]
        glue = "" if len(pieces) == len(text) else " " if "\n" not in text else "\n"
        place, other = draw.randrange(len(pieces)), draw.randrange(len(pieces))
        match draw.randrange(5):
            case 0:
                del pieces[place]
            case 1:
                pieces.insert(place, pieces[other])
            case 2:
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 3:
                pieces[place] = draw.choice([*NUMBERS, *"{}<>[]:\"'#", "layer", "\x00", "日本", "\ud7ff", '"data"'])
            case 4:
                pieces[place] = pieces[place] * 3
        text = glue.join(pieces)
    return text


@FUZZ
@given(st.integers(0, 2**32))
def test_any_mutation_of_the_zoo_is_answered(seed: int) -> None:
    draw = random.Random(seed)
    entry = draw.choice([entry for entry in zoo() if len(entry.prototxt) < 20_000])
    text = mutated(entry.prototxt, draw)
    thrown(text, draw.choice([1, 3]), draw.choice([1, 28, entry.image_size]), draw.choice([1, 2, 1000]))
    source, _ = read_leniently(text)
    if source is not None:
        compare(source, read(entry.prototxt))
        assert compare(source, source) == []


def relus(count: int, name: str = "r{}", top: str = "b{}") -> str:
    lines = []
    for index in range(count):
        bottom = "data" if index == 0 else top.format(index - 1)
        lines.append(f'layer{{name:"{name.format(index)}"type:"ReLU"bottom:"{bottom}"top:"{top.format(index)}"}}')
    return "\n".join(lines)


SPLIT = 'layer{name:"s"type:"Split"bottom:"data"' + "".join(f'top:"t{index}"' for index in range(26_000)) + "}"
TILES = relus(1_400).replace("ReLU", "Tile").replace("}", "tile_param{tiles:9}}")


@pytest.mark.parametrize(
    "text",
    [
        relus(1_499),
        relus(1_499, top="data"),
        relus(1_499, name="r"),
        relus(1_499).replace("bottom", "bottom: 'nowhere' bottom"),
        "\n".join(f'layer{{name:"x{index}"type:"X{index}"}}' for index in range(1_499)),
        SPLIT,
        TILES,
        "{" * 59_999,
        "layer{" * 20_000,
        '"' * 999_999,
        "\n" * 999_999,
        " " * 999_999,
        "\\" * 999_999,
        "a" * 999_999,
        'name: "' + "\\" * 999_000,
        "input_dim: " + "9" * 900_000,
        'input: "x" ' * 20_000,
        'layer{type:"Reshape"bottom:"data"top:"r"reshape_param{shape{' + "dim:2147483647 " * 20_000 + "}}}",
        'layer{type:"Slice"bottom:"data"top:"r"slice_param{' + "slice_point:3 " * 20_000 + "}}",
    ],
    ids=lambda text: f"{text[:12].strip()}… {len(text)}",
)
def test_huge_and_hostile_texts_are_answered_in_time(text: str) -> None:
    assert thrown(text).errors
