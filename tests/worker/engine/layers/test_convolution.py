from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from tests.worker.engine.oracle import DEVICE, close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError
from worker.engine.layers.geometry import Taps, taps

FILLED = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" }'


def test_a_drawn_image_and_kernel_give_the_drawn_output() -> None:
    tested = module('type: "Convolution" convolution_param { num_output: 1 kernel_size: 2 }', (1, 1, 3, 3))
    with torch.no_grad():
        tested.blob("weight").copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
        tested.blob("bias").fill_(10)
    image = torch.tensor([[[[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]]]], dtype=torch.float64)
    # Not flipped: 1·1 + 2·0 + 3·0 + 4·1 + 10 in the first corner.
    expected = torch.tensor([[[[15.0, 17.0], [21.0, 15.0]]]], dtype=torch.float64)
    assert close(tested(put(image)), expected)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("kernel_size: 3", {}),
        ("kernel_size: 3 stride: 2 pad: 1", {"stride": 2, "padding": 1}),
        ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1", {"stride": (2, 1), "padding": (0, 1)}),
        ("kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 pad: 1 pad: 0", {"stride": (2, 1), "padding": (1, 0)}),
        ("kernel_size: 3 dilation: 2", {"dilation": 2}),
        ("kernel_size: 3 group: 2 pad: 1", {"groups": 2, "padding": 1}),
        ("kernel_size: 1 bias_term: false", {}),
    ],
)
def test_it_agrees_with_pytorch(options: str, arguments: dict[str, object]) -> None:
    images = random(2, 4, 7, 8)
    tested = module(
        f'type: "Convolution" convolution_param {{ num_output: 6 {options} {FILLED} }}', tuple(images.shape)
    )
    bias = tested.bias.cpu() if tested.bias is not None else None
    expected = F.conv2d(images, tested.blob("weight").cpu(), bias, **arguments)
    assert close(tested(put(images)), expected)
    assert gradients_agree(tested, images[:1])


WINDOWS = [
    (size, kernel, pad, stride, dilation)
    for size, kernel, pad in product([(1, 1), (2, 2), (1, 5), (3, 2)], [2, 3, 5, 7], [1, 2, 3])
    for stride, dilation in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)]
    if min(size) + 2 * pad > dilation * (kernel - 1)
]


@pytest.mark.parametrize(("size", "kernel", "pad", "stride", "dilation"), WINDOWS)
def test_a_kernel_larger_than_its_image_loses_only_what_lies_in_the_padding(
    size: tuple[int, int], kernel: int, pad: int, stride: int, dilation: int
) -> None:
    images = random(2, 3, *size)
    tested = module(
        f'type: "Convolution" convolution_param {{ num_output: 2 kernel_size: {kernel} pad: {pad} stride: {stride} '
        f"dilation: {dilation} {FILLED} }}",
        tuple(images.shape),
    ).to(memory_format=torch.channels_last)
    weight, bias = (tested.blob(name).detach().cpu().clone().requires_grad_() for name in ("weight", "bias"))
    expected = F.conv2d(images, weight, bias, stride, pad, dilation)
    found = tested(put(images))
    assert close(found.detach(), expected.detach())
    (found * random(*found.shape).to(DEVICE)).sum().backward()
    (expected * random(*expected.shape)).sum().backward()
    for name, value in (("weight", weight), ("bias", bias)):
        gradient = tested.blob(name).grad
        assert gradient is not None
        assert value.grad is not None
        assert close(gradient, value.grad)


def test_a_kernel_on_one_pixel_is_a_single_weight() -> None:
    assert taps(size=1, kernel=3, pad=1, stride=1, dilation=1) == Taps(1, 2, 0)
    assert taps(size=2, kernel=3, pad=1, stride=2, dilation=1) == Taps(1, 3, 0)
    assert taps(size=2, kernel=5, pad=2, stride=1, dilation=1) == Taps(1, 4, 1)
    assert taps(size=2, kernel=3, pad=1, stride=1, dilation=1) == Taps(0, 3, 1)  # all of it is needed
    assert taps(size=32, kernel=7, pad=3, stride=2, dilation=1) == Taps(0, 7, 3)


def test_deconvolution_agrees_with_pytorch_and_undoes_the_shape_of_a_convolution() -> None:
    images = random(2, 4, 3, 4)
    options = f"num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 2 {FILLED}"
    tested = module(f'type: "Deconvolution" convolution_param {{ {options} }}', tuple(images.shape))
    weight, bias = tested.blob("weight").cpu(), tested.blob("bias").cpu()
    assert weight.shape == (4, 3, 4, 4)
    assert close(tested(put(images)), F.conv_transpose2d(images, weight, bias, stride=2, padding=1, groups=2))
    assert tuple(tested(put(images)).shape[2:]) == (6, 8)
    assert gradients_agree(tested, images[:1])


def test_a_deconvolution_is_the_gradient_of_the_convolution_with_its_weights() -> None:
    body = 'type: "{}" convolution_param {{ num_output: {} kernel_size: 3 stride: 2 bias_term: false }}'
    tested = module(body.format("Deconvolution", 2), (1, 5, 4, 4))
    with torch.no_grad():
        tested.blob("weight").copy_(random(5, 2, 3, 3, seed=2))
    image = random(1, 2, 9, 9).to(DEVICE).requires_grad_()
    above = random(1, 5, 4, 4, seed=8).to(DEVICE)
    F.conv2d(image, tested.blob("weight"), stride=2).backward(above)
    assert image.grad is not None
    assert close(tested(above), image.grad.cpu())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("num_output: 5 kernel_size: 3 group: 2", "group 2 does not divide 4 inputs and 5 outputs"),
        ("num_output: 4 kernel_size: 11", "kernel_size 11 exceeds its input 8×8"),
        ("num_output: 4", "kernel_size is missing"),
        ("num_output: 4 kernel_h: 3", "expected both kernel_h and kernel_w"),
        ("num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3", "found both"),
        ("num_output: 4 kernel_size: 3 axis: 2", "axis: only 1"),
        ("kernel_size: 3", "num_output: expected 1 or more, found 0"),
    ],
)
def test_an_impossible_option_is_named_with_its_layer_and_line(options: str, expected: str) -> None:
    with pytest.raises(EngineError, match=r"^tested \(line 7\): ") as error:
        module(f'type: "Convolution" convolution_param {{ {options} }}', (1, 4, 8, 8))
    assert expected in str(error.value)


def test_the_output_follows_the_bottom_not_the_batch_it_was_built_for() -> None:
    tested = module('type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 }', (64, 1, 8, 8))
    assert tested(put(random(5, 1, 8, 8))).shape == (5, 3, 6, 6)


def test_several_bottoms_share_the_weights() -> None:
    body = f'type: "Convolution" top: "a" top: "b" convolution_param {{ num_output: 2 kernel_size: 3 {FILLED} }}'
    tested = module(body, (1, 2, 5, 5), (1, 2, 5, 5))
    left, right = random(1, 2, 5, 5), random(1, 2, 5, 5, seed=9)
    tops = tested(put(left), put(right))
    for top, images in zip(tops, (left, right), strict=True):
        assert close(top, F.conv2d(images, tested.blob("weight").cpu(), tested.blob("bias").cpu()))


def test_a_layer_built_twice_from_one_seed_is_the_same() -> None:
    body = f'type: "Convolution" convolution_param {{ num_output: 2 kernel_size: 3 {FILLED} }}'
    images = random(1, 2, 5, 5)
    assert close(forward(body, images), forward(body, images))
