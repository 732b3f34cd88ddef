"""Caffe's arithmetic of windows, against OpenCV's importer."""

import random

import pytest

from app.topology.layers.windows import Window
from tests.topology.texts import opencv_net, opencv_shapes, randomly_weighted


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [
        # size: places of windows drawn on a line of pixels
        (Window(2, 2), 8, 4),  # [..][..][..][..]
        (Window(2, 2), 9, 5),  # a fifth begins on the last pixel
        (Window(3, 2), 8, 4),  # starts 0 2 4 6: the last one hangs over
        (Window(3, 2), 7, 3),
        (Window(3, 2, 1), 8, 5),  # starts -1 1 3 5 7
        (Window(3, 2, 1), 7, 4),
        (Window(2, 3, 1), 8, 3),  # starts -1 2 5; a fourth at 8 would begin beyond the image
        (Window(2, 2, 1), 3, 2),  # starts -1 1; a third at 3 would begin beyond the image
        (Window(2, 2), 1, 1),  # cut to the only pixel
        (Window(1, 3), 8, 3),  # starts 0 3 6; a fourth at 9 would hold nothing
        (Window(3, 2), 224, 112),
        (Window(3, 2), 55, 27),
    ],
)
def test_pooling_rounds_up_but_begins_within_the_image(window: Window, size: int, expected: int) -> None:
    assert window.pooled(size) == expected


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [(Window(5), 28, 24), (Window(11, 4), 227, 55), (Window(7, 2, 3), 224, 112), (Window(3, 1, 2, 2), 10, 10)],
)
def test_convolution_rounds_down(window: Window, size: int, expected: int) -> None:
    assert window.convolved(size) == expected


def test_deconvolution_undoes_a_convolution_without_remainder() -> None:
    for window in (Window(4, 2, 1), Window(3, 1, 1), Window(2, 2), Window(5, 3, 0, 2)):
        assert window.convolved(window.deconvolved(7)) == 7


def options_of(kernels: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int]) -> str:
    named = (("kernel", kernels), ("stride", strides), ("pad", pads))
    return " ".join(f"{name}_h: {values[0]} {name}_w: {values[1]}" for name, values in named)


def random_layer(seed: int) -> tuple[str, tuple[int, int, int]]:
    """A net of one convolution or pooling with random windows that fit a random image."""
    draw = random.Random(seed)
    height, width = draw.randint(6, 40), draw.randint(6, 40)
    kernels = draw.randint(1, 6), draw.randint(1, 6)
    strides = draw.randint(1, 4), draw.randint(1, 4)
    pads = draw.randint(0, kernels[0] - 1), draw.randint(0, kernels[1] - 1)
    options = options_of(kernels, strides, pads)
    if seed % 2:
        strides = min(strides[0], kernels[0]), min(strides[1], kernels[1])  # larger ones can end in an empty window
        options = options_of(kernels, strides, pads)
        kind = f'Pooling" pooling_param {{ pool: {draw.choice(["MAX", "AVE"])} {options} }}'
    else:
        kind = f'Convolution" convolution_param {{ num_output: {draw.randint(1, 4)} {options} }}'
    text = f"""
    layer {{ name: "x" bottom: "data" top: "x" type: "{kind} }}
    layer {{ name: "flat" type: "Flatten" bottom: "x" top: "flat" }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "flat" bottom: "label" top: "loss" }}"""
    return text, (2, height, width)


@pytest.mark.parametrize("seed", range(60))
def test_windows_of_any_form_agree_with_opencv(seed: int) -> None:
    from app.preprocessing import Channels
    from app.topology.writing import deploy_text
    from tests.topology.texts import preprocessing_of

    text, (_, height, width) = random_layer(seed)
    image = (3, height, width)
    weights, shapes = randomly_weighted(text, image, 10)
    preprocessing = preprocessing_of(*image)
    assert preprocessing.channels is Channels.COLOR
    theirs = opencv_shapes(opencv_net(deploy_text(text, preprocessing, 10), weights), (1, *image))

    assert {info.name: info.top_shapes[0] for info in shapes} == {name: theirs[name] for name in ("x", "flat", "prob")}
