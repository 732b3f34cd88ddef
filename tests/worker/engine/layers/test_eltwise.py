from __future__ import annotations

import pytest
import torch

from tests.worker.engine.oracle import close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError

A, B, C = (random(2, 3, seed=seed) for seed in (1, 2, 3))


def test_it_multiplies_adds_and_takes_the_largest() -> None:
    assert close(forward('type: "Eltwise"', A, B, C), A + B + C)
    assert close(forward('type: "Eltwise" eltwise_param { operation: PROD }', A, B, C), A * B * C)
    assert close(forward('type: "Eltwise" eltwise_param { operation: MAX }', A, B, C), A.maximum(B).maximum(C))
    weighted = 'type: "Eltwise" eltwise_param { operation: SUM coeff: 1 coeff: -2 }'
    assert close(forward(weighted, A, B), A - 2 * B)


@pytest.mark.parametrize("options", ["operation: PROD", "operation: MAX", "coeff: 0.5 coeff: 3"])
def test_gradients_agree_with_differences(options: str) -> None:
    assert gradients_agree(module(f'type: "Eltwise" eltwise_param {{ {options} }}', (2, 3), (2, 3)), A, B)


def test_of_equal_values_the_first_gets_the_gradient() -> None:
    tested = module('type: "Eltwise" eltwise_param { operation: MAX }', (1, 2), (1, 2))
    left, right = (put(torch.ones(1, 2)).requires_grad_() for _ in range(2))
    tested(left, right).sum().backward()
    assert left.grad is not None
    assert right.grad is not None
    assert left.grad.tolist() == [[1, 1]]
    assert right.grad.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("options", "shapes", "expected"),
    [
        ("", [(2, 3), (2, 4)], "bottoms of one shape"),
        ("", [(2, 3)], "two or more bottoms"),
        ("coeff: 1", [(2, 3), (2, 3)], "coeff: expected one per bottom (2), found 1"),
        ("operation: MAX coeff: 1 coeff: 2", [(2, 3), (2, 3)], "coeff belongs to SUM"),
    ],
)
def test_what_does_not_fit_is_named(options: str, shapes: list[tuple[int, ...]], expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "Eltwise" eltwise_param {{ {options} }}', *shapes)
    assert expected in str(error.value)
