"""Fine-tuning: copies the weights of a trained net into a new one. What fits is told by `app/topology/fine_tuning`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from app.topology.fine_tuning import Fate, MatchedWeight, match_weights
from worker.engine.compile import CompiledNet


@torch.no_grad()
def start_from(net: CompiledNet, given: Mapping[str, Tensor]) -> list[MatchedWeight]:
    """Copies what matches into a net whose fillers have run; gives the table."""
    weights = net.weights()
    table = match_weights(
        {name: tuple(weight.value.shape) for name, weight in weights.items()},
        {name: tuple(value.shape) for name, value in given.items()},
    )
    for entry in table:
        if entry.fate is Fate.LOADED:
            weights[entry.name].value.copy_(given[entry.name].reshape(entry.shape or ()))
    return table
