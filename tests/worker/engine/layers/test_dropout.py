from __future__ import annotations

import pytest
import torch

from app.topology.net import Phase
from tests.worker.engine.oracle import DEVICE, module
from worker.engine.errors import EngineError


def test_kept_values_are_scaled_so_that_the_mean_stays() -> None:
    torch.manual_seed(1)
    tested = module('type: "Dropout" dropout_param { dropout_ratio: 0.25 }', (1, 100_000))
    dropped = tested(torch.ones(1, 100_000, device=DEVICE))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)


def test_the_test_phase_changes_nothing() -> None:
    values = torch.rand(4, 5, device=DEVICE)
    assert module('type: "Dropout"', (4, 5), phase=Phase.TEST)(values) is values


def test_one_random_state_gives_one_mask() -> None:
    tested, values = module('type: "Dropout"', (4, 50)), torch.ones(4, 50, device=DEVICE)
    torch.manual_seed(9)
    first, second = tested(values), tested(values)
    torch.manual_seed(9)
    assert torch.equal(tested(values), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("ratio", [-0.1, 1])
def test_an_impossible_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(EngineError, match="dropout_ratio: expected 0 or more and less than 1"):
        module(f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}', (1, 5))
