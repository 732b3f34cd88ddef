from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.topology.net import Phase
from tests.worker.engine.oracle import DEVICE, close, forward, gradients_agree, module, random
from worker.engine.errors import EngineError


def caffe_pool(images: Tensor, method: str, kernel: int, stride: int, pad: int, rounds_up: bool = True) -> Tensor:
    """Written from Caffe's pooling_layer.cpp, window by window."""
    count, channels, height, width = images.shape

    def windows(size: int) -> int:
        room = (size + 2 * pad - kernel) / stride
        number = (math.ceil(room) if rounds_up else math.floor(room)) + 1
        return number - 1 if pad and (number - 1) * stride >= size + pad else number

    result = np.zeros((count, channels, windows(height), windows(width)))
    for y in range(result.shape[2]):
        for x in range(result.shape[3]):
            top, left = y * stride - pad, x * stride - pad
            bottom, right = min(top + kernel, height + pad), min(left + kernel, width + pad)
            area = (bottom - top) * (right - left)
            part = images[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)].numpy()
            result[:, :, y, x] = part.max(axis=(2, 3)) if method == "MAX" else part.sum(axis=(2, 3)) / area
    return torch.from_numpy(result)


def test_a_drawn_image_is_pooled_with_the_last_windows_cut() -> None:
    image = torch.arange(1.0, 26.0, dtype=torch.float64).reshape(1, 1, 5, 5)
    expected = torch.tensor([[[[7.0, 9.0, 10.0], [17.0, 19.0, 20.0], [22.0, 24.0, 25.0]]]])
    assert close(forward('type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 }', image), expected)
    mean = forward('type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 2 }', image)
    assert mean[0, 0].tolist() == [[4.0, 6.0, 7.5], [14.0, 16.0, 17.5], [21.5, 23.5, 25.0]]


def test_average_divides_by_the_padded_area() -> None:
    image = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    mean = forward('type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }', image)
    assert close(mean, torch.full((1, 1, 2, 2), 4 / 9, dtype=torch.float64))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("size", [(6, 6), (7, 9), (13, 8), (4, 5)])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 2, 1), (4, 3, 3)]
)
def test_it_agrees_with_caffes_loops(method: str, size: tuple[int, int], kernel: int, stride: int, pad: int) -> None:
    images = random(2, 3, *size)
    body = f'type: "Pooling" pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}'
    assert close(forward(body, images), caffe_pool(images, method, kernel, stride, pad))


def test_round_mode_floor_drops_the_cut_windows() -> None:
    images = random(1, 2, 7, 7)
    body = 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 round_mode: FLOOR }'
    assert close(forward(body, images), caffe_pool(images, "MAX", 2, 2, 0, rounds_up=False))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_rectangular_windows_move_each_side_by_its_own_stride(method: str) -> None:
    images = random(1, 1, 6, 6)
    options = "kernel_h: 2 kernel_w: 1 stride_h: 2 stride_w: 1"
    pooled = forward(f'type: "Pooling" pooling_param {{ pool: {method} {options} }}', images)
    pairs = images.reshape(1, 1, 3, 2, 6)
    assert close(pooled, pairs.amax(3) if method == "MAX" else pairs.mean(3))


@pytest.mark.parametrize(("method", "expected"), [("MAX", torch.amax), ("AVE", torch.mean)])
def test_global_pooling_covers_whatever_size_there_is(method: str, expected: object) -> None:
    images = random(2, 3, 5, 4)
    pooled = forward(f'type: "Pooling" pooling_param {{ pool: {method} global_pooling: true }}', images)
    assert callable(expected)
    assert close(pooled, expected(images, (2, 3), keepdim=True))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("options", ["kernel_size: 3 stride: 2", "kernel_size: 3 stride: 2 pad: 2"])
def test_gradients_agree_with_differences(method: str, options: str) -> None:
    body = f'type: "Pooling" pooling_param {{ pool: {method} {options} }}'
    assert gradients_agree(module(body, (1, 2, 6, 6)), random(1, 2, 6, 6))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("pool: STOCHASTIC kernel_size: 2 pad: 1", "STOCHASTIC takes no pad"),
        ("kernel_size: 2 pad: 2", "expected pad smaller than kernel_size"),
        ("kernel_size: 9", "exceeds its input 6×6"),
        ("global_pooling: true kernel_size: 2", "covers the whole image"),
        ("", "kernel_size is missing"),
        ("kernel_size: 2 stride: 0", "expected kernel, stride and dilation of 1 or more"),
    ],
)
def test_an_impossible_option_is_named(options: str, expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "Pooling" pooling_param {{ {options} }}', (1, 1, 6, 6))
    assert expected in str(error.value)


STOCHASTIC = 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'


def test_stochastic_pooling_weighs_values_by_themselves_when_it_tests() -> None:
    image = torch.tensor([[[[1.0, 3.0, 5.0], [0.0, 4.0, 0.0], [0.0, 0.0, 7.0]]]], dtype=torch.float64)
    pooled = forward(STOCHASTIC, image, phase=Phase.TEST)
    assert close(pooled, torch.tensor([[[[26 / 8, 5.0], [0.0, 7.0]]]], dtype=torch.float64))
    everything = 'type: "Pooling" pooling_param { pool: STOCHASTIC global_pooling: true }'
    assert forward(everything, image, phase=Phase.TEST).item() == pytest.approx(100 / 20)


@pytest.mark.parametrize("size", [(4, 4), (5, 7)])
def test_stochastic_pooling_draws_values_as_often_as_they_are_large(size: tuple[int, int]) -> None:
    """Every window by itself: the share of draws that gave a value is the value's share of the window's sum."""
    torch.manual_seed(3)
    image = random(1, 1, *size).abs() + 0.1
    pool, count = module(STOCHASTIC, (1, 1, *size)), 4000
    drawn = torch.stack([pool(image.to(DEVICE)).cpu()[0, 0] for _ in range(count)])
    for y in range(drawn.shape[1]):
        for x in range(drawn.shape[2]):
            window = image[0, 0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].flatten()
            found = torch.stack([(drawn[:, y, x] == value).double().mean() for value in window])
            assert found.sum() == 1
            assert torch.allclose(found, window / window.sum(), atol=0.04)


def test_stochastic_pooling_of_zeros_gives_zeros_and_never_what_lies_beyond() -> None:
    zeros, ones = torch.zeros(1, 2, 5, 5, dtype=torch.float64), torch.ones(1, 2, 5, 5, dtype=torch.float64)
    for phase in Phase:
        assert close(forward(STOCHASTIC, zeros, phase=phase), zeros[:, :, :3, :3])
        assert close(forward(STOCHASTIC, ones, phase=phase), ones[:, :, :3, :3])


def test_stochastic_pooling_sends_the_gradient_to_what_was_drawn() -> None:
    torch.manual_seed(1)
    image = (random(2, 3, 6, 6).abs() + 0.1).to(DEVICE).requires_grad_()
    pooled = module(STOCHASTIC, (2, 3, 6, 6))(image)
    pooled.sum().backward()
    assert image.grad is not None
    assert set(image.grad.unique().tolist()) == {0.0, 1.0}
    assert close(F.max_pool2d(image.grad * image, 2, 2), pooled.detach().cpu())
    tested = module(STOCHASTIC, (1, 2, 6, 6), phase=Phase.TEST)
    assert gradients_agree(tested, random(1, 2, 6, 6).abs() + 0.1)


def test_stochastic_pooling_is_the_same_again_from_the_same_state() -> None:
    image, pool = random(1, 1, 8, 8).abs(), module(STOCHASTIC, (1, 1, 8, 8))
    results = []
    for _ in range(2):
        torch.manual_seed(9)
        results.append(pool(image.to(DEVICE)))
    assert torch.equal(*results)


def test_a_second_top_for_the_mask_is_refused() -> None:
    with pytest.raises(EngineError, match="mask of maxima is not supported"):
        module('type: "Pooling" top: "a" top: "b" pooling_param { kernel_size: 2 }', (1, 1, 6, 6))
