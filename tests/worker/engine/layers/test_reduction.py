from __future__ import annotations

import pytest
import torch

from tests.worker.engine.oracle import close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError

VALUES = random(2, 3, 4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", VALUES.sum()),
        ("axis: 1", VALUES.sum((1, 2))),
        ("axis: -1 operation: MEAN", VALUES.mean(2)),
        ("axis: 1 operation: ASUM", VALUES.abs().sum((1, 2))),
        ("axis: 2 operation: SUMSQ coeff: 0.5", 0.5 * (VALUES**2).sum(2)),
    ],
)
def test_reduction_sums_up_the_last_axes(options: str, expected: torch.Tensor) -> None:
    body = f'type: "Reduction" reduction_param {{ {options} }}'
    assert close(forward(body, VALUES), expected)
    assert gradients_agree(module(body, (2, 3, 4)), VALUES)


def test_argmax_gives_places_values_or_both() -> None:
    values = torch.tensor([[[1.0, 5.0], [7.0, 2.0]]], dtype=torch.float64)
    assert forward('type: "ArgMax"', values).tolist() == [[[2]]]
    both = forward('type: "ArgMax" argmax_param { top_k: 2 out_max_val: true }', values)
    assert both.tolist() == [[[2, 1], [7, 5]]]
    assert forward('type: "ArgMax" argmax_param { axis: 1 }', values).tolist() == [[[1, 0]]]
    assert forward('type: "ArgMax" argmax_param { axis: -1 out_max_val: true }', values).tolist() == [[[5], [7]]]


def test_argmax_of_more_than_there_is_is_refused() -> None:
    with pytest.raises(EngineError, match="top_k: expected 1 to 12, found 13"):
        module('type: "ArgMax" argmax_param { top_k: 13 }', (2, 3, 4))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_softmax_agrees_with_pytorch(axis: int) -> None:
    body = f'type: "Softmax" softmax_param {{ axis: {axis} }}'
    assert close(forward(body, VALUES), torch.softmax(VALUES, axis))
    assert gradients_agree(module(body, (2, 3, 4)), VALUES)


def test_softmax_of_bfloat16_scores_is_computed_in_float32() -> None:
    probabilities = module('type: "Softmax"', (2, 3, 4))(put(VALUES).to(torch.bfloat16))
    assert probabilities.dtype is torch.float32
