"""Caffe's fillers: how a parameter blob starts. One function per type, seeded by a generator (Caffe, filler.hpp).

Values are always drawn on the CPU in float32, so that a seed gives the same net on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Filler = Callable[[Tensor, Any, torch.Generator], None]


def fill(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """Overwrites `blob` as the FillerParameter says; zeros where there is none. Raises ValueError, naming the type."""
    if filler is None:
        blob.zero_()
        return
    function = _FILLERS.get(filler.type)
    if function is None:
        raise ValueError(f'unknown filler type "{filler.type}"; known are {", ".join(sorted(_FILLERS))}')
    values = torch.empty(blob.shape, dtype=torch.float32)
    function(values, filler, generator)
    blob.copy_(values)


def supported_fillers() -> tuple[str, ...]:
    return tuple(sorted(_FILLERS))


def _constant(values: Tensor, filler: Any, generator: torch.Generator) -> None:  # noqa: ARG001
    values.fill_(filler.value)


def _uniform(values: Tensor, filler: Any, generator: torch.Generator) -> None:
    if filler.min > filler.max:
        raise ValueError(f"uniform filler: min {filler.min:g} is larger than max {filler.max:g}")
    values.uniform_(filler.min, filler.max, generator=generator)


def _gaussian(values: Tensor, filler: Any, generator: torch.Generator) -> None:
    if filler.std < 0:
        raise ValueError(f"gaussian filler: std {filler.std:g} is negative")
    values.normal_(filler.mean, filler.std, generator=generator)
    if filler.sparse >= 0:  # about `sparse` weights of each output stay, the others start at 0
        share = min(1.0, filler.sparse / values.shape[0])
        values.mul_(torch.empty_like(values).bernoulli_(share, generator=generator))


def _positive_unitball(values: Tensor, filler: Any, generator: torch.Generator) -> None:  # noqa: ARG001
    values.uniform_(0, 1, generator=generator)
    rows = values.view(values.shape[0], -1)
    rows.div_(rows.sum(dim=1, keepdim=True))


def _xavier(values: Tensor, filler: Any, generator: torch.Generator) -> None:
    bound = math.sqrt(3 / _variance_count(values, filler))
    values.uniform_(-bound, bound, generator=generator)


def _msra(values: Tensor, filler: Any, generator: torch.Generator) -> None:
    values.normal_(0, math.sqrt(2 / _variance_count(values, filler)), generator=generator)


def _bilinear(values: Tensor, filler: Any, generator: torch.Generator) -> None:  # noqa: ARG001
    if values.dim() != 4 or values.shape[2] != values.shape[3]:
        raise ValueError(f"bilinear filler: expected a square kernel with 4 axes, found shape {tuple(values.shape)}")
    side = values.shape[3]
    factor = math.ceil(side / 2)
    centre = (side - 1) / (2 * factor)
    tent = 1 - (torch.arange(side) / factor - centre).abs()
    values.copy_((tent[:, None] * tent[None, :]).expand_as(values))


def _variance_count(values: Tensor, filler: Any) -> float:
    """How many inputs (or outputs, or their mean) share the variance; fan_in = count / shape[0] as in Caffe."""
    fan_in = values.numel() / values.shape[0]
    fan_out = values.numel() / values.shape[1] if values.dim() > 1 else float(values.numel())
    norm = type(filler).VarianceNorm.Name(filler.variance_norm)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]


_FILLERS: dict[str, Filler] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
