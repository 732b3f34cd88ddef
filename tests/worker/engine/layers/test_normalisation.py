from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from app.topology.net import Phase
from tests.worker.engine.oracle import DEVICE, close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError

SHAPE = (2, 7, 4, 5)


@pytest.mark.parametrize("size", [1, 3, 5, 15])
@pytest.mark.parametrize(("beta", "k"), [(0.75, 1.0), (0.5, 2.0)])
def test_lrn_across_channels_agrees_with_pytorch(size: int, beta: float, k: float) -> None:
    images = random(*SHAPE) * 3
    options = f"local_size: {size} alpha: 0.1 beta: {beta} k: {k}"
    expected = F.local_response_norm(images, size, alpha=0.1, beta=beta, k=k)
    assert close(forward(f'type: "LRN" lrn_param {{ {options} }}', images), expected, 1e-7)


def test_lrn_of_a_drawn_pixel() -> None:
    pixel = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    normalised = forward('type: "LRN" lrn_param { local_size: 3 alpha: 3 beta: 1 }', pixel)
    # Each divided by 1 + 3/3 · (its own square and its neighbours').
    assert normalised.flatten().tolist() == pytest.approx([1 / 6, 2 / 15, 3 / 14])


def test_lrn_within_channel_averages_over_a_padded_window() -> None:
    images = random(*SHAPE)
    body = 'type: "LRN" lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL }'
    mean = F.conv2d((images**2).reshape(-1, 1, 4, 5), torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64), padding=1)
    assert close(forward(body, images), images / (1 + 0.5 * mean.reshape(SHAPE)) ** 0.75, 1e-7)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_lrn_gradients_agree_with_differences(region: str, beta: float) -> None:
    options = f"local_size: 3 alpha: 0.8 beta: {beta} norm_region: {region}"
    assert gradients_agree(module(f'type: "LRN" lrn_param {{ {options} }}', (1, 4, 3, 3)), random(1, 4, 3, 3))


def test_lrn_computes_wide_and_answers_narrow_in_bfloat16() -> None:
    images = (random(2, 8, 4, 4) * 50).to(torch.bfloat16)
    tested = module('type: "LRN" lrn_param { alpha: 0.0001 }', (2, 8, 4, 4))
    found = tested(images.to(DEVICE))
    assert found.dtype is torch.bfloat16
    expected = F.local_response_norm(images.double(), 5, 0.0001)
    assert close(found, expected, 1e-2)


@pytest.mark.parametrize("size", [0, 4])
def test_lrn_takes_odd_sizes_only(size: int) -> None:
    with pytest.raises(EngineError, match="local_size: expected an odd number"):
        module(f'type: "LRN" lrn_param {{ local_size: {size} }}', SHAPE)


def test_batch_norm_normalises_by_the_batch_and_keeps_caffes_sums() -> None:
    tested = module('type: "BatchNorm" batch_norm_param { moving_average_fraction: 0.9 eps: 0.001 }', SHAPE)
    batches = [random(*SHAPE, seed=seed) * seed + seed for seed in (1, 2, 3)]
    mean_sum = variance_sum = factor = torch.zeros(1, dtype=torch.float64)
    for batch in batches:
        mean, count = batch.mean((0, 2, 3)), 2 * 4 * 5
        biased = batch.var((0, 2, 3), correction=0)
        expected = (batch - mean[:, None, None]) / (biased[:, None, None] + 0.001).sqrt()
        assert close(tested(put(batch)), expected, 1e-7)
        mean_sum = mean_sum * 0.9 + mean
        variance_sum = variance_sum * 0.9 + biased * count / (count - 1)
        factor = factor * 0.9 + 1
    assert close(tested.blob("mean"), mean_sum, 1e-7)
    assert close(tested.blob("variance"), variance_sum, 1e-7)
    assert close(tested.blob("factor"), factor, 1e-7)


def test_batch_norm_in_the_test_phase_divides_the_sums_by_their_factor() -> None:
    tested = module('type: "BatchNorm"', (2, 2, 1, 1), phase=Phase.TEST)
    tested.blob("mean").copy_(torch.tensor([4.0, 8.0]))
    tested.blob("variance").copy_(torch.tensor([2.0, 18.0]))
    tested.blob("factor").fill_(2)
    images = torch.tensor([[3.0, 7.0], [2.0, 1.0]], dtype=torch.float64).reshape(2, 2, 1, 1)
    expected = torch.tensor([[1.0, 1.0], [0.0, -1.0]], dtype=torch.float64).reshape(2, 2, 1, 1)
    assert close(tested(put(images)), expected, 1e-4)


def test_batch_norm_without_any_batch_seen_gives_finite_numbers() -> None:
    tested = module('type: "BatchNorm"', (2, 3), phase=Phase.TEST)
    assert bool(tested(put(random(2, 3))).isfinite().all())


def test_batch_norm_of_a_single_value_is_finite() -> None:
    tested = module('type: "BatchNorm"', (1, 3, 1, 1))
    assert close(tested(put(random(1, 3, 1, 1))), torch.zeros(1, 3, 1, 1, dtype=torch.float64))
    assert bool(tested.blob("variance").isfinite().all())


def test_batch_norm_told_to_use_global_stats_does_so_in_training_too() -> None:
    tested = module('type: "BatchNorm" batch_norm_param { use_global_stats: true eps: 0 }', (2, 1, 2, 2))
    tested.blob("variance").fill_(4)
    tested.blob("factor").fill_(1)
    images = random(2, 1, 2, 2)
    assert close(tested(put(images)), images / 2, 1e-7)


@pytest.mark.parametrize("shape", [(3, 2), (2, 2, 3, 3)])
def test_batch_norm_gradients_agree_with_differences(shape: tuple[int, ...]) -> None:
    assert gradients_agree(module('type: "BatchNorm" batch_norm_param { eps: 0.01 }', shape), random(*shape))


def test_mvn_gives_mean_0_and_variance_1() -> None:
    images = random(2, 3, 4, 5) * 7 + 3
    per_channel = (images - images.mean((2, 3), True)) / (images.std((2, 3), correction=0, keepdim=True) + 1e-9)
    assert close(forward('type: "MVN"', images), per_channel, 1e-7)
    whole = (images - images.mean((1, 2, 3), True)) / (images.std((1, 2, 3), correction=0, keepdim=True) + 1e-9)
    assert close(forward('type: "MVN" mvn_param { across_channels: true }', images), whole, 1e-7)
    mean_only = images - images.mean((2, 3), True)
    assert close(forward('type: "MVN" mvn_param { normalize_variance: false }', images), mean_only, 1e-7)


@pytest.mark.parametrize("options", ["", "across_channels: true", "normalize_variance: false"])
def test_mvn_gradients_agree_with_differences(options: str) -> None:
    assert gradients_agree(module(f'type: "MVN" mvn_param {{ {options} }}', (2, 2, 3, 3)), random(2, 2, 3, 3))
