from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.worker.engine.oracle import DEVICE, close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError

DRAWN = torch.tensor([[-2.0, -0.5, 0.0, 0.5, 3.0]], dtype=torch.float64)

FORMULAS: list[tuple[str, Callable[[float], float]]] = [
    ('type: "ReLU"', lambda x: max(0.0, x)),
    ('type: "ReLU" relu_param { negative_slope: 0.25 }', lambda x: x if x > 0 else x / 4),
    ('type: "PReLU"', lambda x: x if x > 0 else x / 4),
    ('type: "PReLU" prelu_param { filler { value: 0.5 } }', lambda x: x if x > 0 else x / 2),
    ('type: "ELU" elu_param { alpha: 2 }', lambda x: x if x > 0 else 2 * (math.exp(x) - 1)),
    ('type: "Sigmoid"', lambda x: 1 / (1 + math.exp(-x))),
    ('type: "TanH"', math.tanh),
    ('type: "AbsVal"', abs),
    ('type: "BNLL"', lambda x: math.log(1 + math.exp(x))),
    ('type: "Power" power_param { power: 2 scale: 0.5 shift: 3 }', lambda x: (3 + 0.5 * x) ** 2),
    ('type: "Power" power_param { scale: -1 }', lambda x: -x),
    ('type: "Power"', lambda x: x),
    ('type: "Exp"', math.exp),
    ('type: "Exp" exp_param { base: 2 scale: 3 shift: 1 }', lambda x: 2 ** (1 + 3 * x)),
    ('type: "Log" log_param { shift: 3 }', lambda x: math.log(3 + x)),
    ('type: "Log" log_param { base: 10 scale: 2 shift: 5 }', lambda x: math.log10(5 + 2 * x)),
    ('type: "Threshold"', lambda x: float(x > 0)),
    ('type: "Threshold" threshold_param { threshold: 0.5 }', lambda x: float(x > 0.5)),
]


@pytest.mark.parametrize(("body", "formula"), FORMULAS, ids=[body for body, _ in FORMULAS])
def test_each_value_follows_the_formula(body: str, formula: Callable[[float], float]) -> None:
    expected = torch.tensor([[formula(x) for x in DRAWN[0].tolist()]], dtype=torch.float64)
    assert close(forward(body, DRAWN), expected)


@pytest.mark.parametrize("body", [body for body, _ in FORMULAS if "Threshold" not in body])
def test_gradients_agree_with_differences(body: str) -> None:
    values = random(2, 3)
    values += values.sign() * 0.05  # away from the corner of ReLU
    values = values.clamp(-2, 2)  # within what Log takes
    assert gradients_agree(module(body, (2, 3)), values)


def test_prelu_has_a_slope_per_channel_or_one_for_all() -> None:
    values = -torch.ones(1, 3, 2, 2, dtype=torch.float64)
    apart = module('type: "PReLU"', (1, 3, 2, 2))
    with torch.no_grad():
        apart.blob("weight").copy_(torch.tensor([0.1, 0.2, 0.3]))
    assert close(apart(put(values))[0, :, 0, 0], torch.tensor([-0.1, -0.2, -0.3]), 1e-7)
    shared = module('type: "PReLU" prelu_param { channel_shared: true }', (1, 3, 2, 2))
    assert shared.blob("weight").shape == ()
    assert close(shared(put(values)), values / 4)
    assert gradients_agree(shared, random(1, 3, 2, 2))


def test_relu_overwrites_its_bottom_only_where_it_may() -> None:
    tested = module('type: "ReLU"', (1, 4))
    values = torch.tensor([[-1.0, 2.0, -3.0, 4.0]], device=DEVICE)
    tested(values)
    assert values[0, 0] == -1
    tested.inplace = True
    tested(values)
    assert values[0, 0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("body", [body for body, _ in FORMULAS])
def test_the_top_has_the_bottoms_precision(body: str, dtype: torch.dtype) -> None:
    values: Tensor = DRAWN.to(dtype).to(DEVICE)
    assert module(body, (1, 5)).float()(values).dtype is dtype


@pytest.mark.parametrize("body", ['type: "Exp" exp_param { base: 0 }', 'type: "Log" log_param { base: -3 }'])
def test_an_impossible_base_is_refused(body: str) -> None:
    with pytest.raises(EngineError, match="base: expected a positive number, or -1 for e"):
        module(body, (1, 5))


def test_a_logarithm_to_base_1_is_refused() -> None:
    with pytest.raises(EngineError, match="base 1 does not exist"):
        module('type: "Log" log_param { base: 1 }', (1, 5))
