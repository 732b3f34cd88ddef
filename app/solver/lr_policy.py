"""The learning rate of every iteration.

With i = iteration (from 0), m = max_iter, p = i / m:

| lr_policy | learning rate                                   | options                                            |
|-----------|-------------------------------------------------|----------------------------------------------------|
| fixed     | base_lr                                         |                                                    |
| step      | base_lr · gamma ^ ⌊i / stepsize⌋                | stepsize (none: a third of the training)           |
| multistep | base_lr · gamma ^ (number of stepvalues ≤ i)    | stepvalues (none: at 50 % and 85 % of it)          |
| exp       | base_lr · gamma ^ i                             |                                                    |
| inv       | base_lr · (1 + gamma · i) ^ −power              |                                                    |
| poly      | base_lr · (1 − p) ^ power                       |                                                    |
| sigmoid   | base_lr / (1 + e ^ (−gamma · (i − stepsize)))   | gamma below 0 to fall; stepsize (none: at half)    |
| cosine    | base_lr · (1 + cos(π p)) / 2                    |                                                    |
| one_cycle | from base_lr / 25 along a half cosine to base_lr at p = 0.3, then along one to base_lr / 250,000    |

Rows fixed to sigmoid are Caffe's (sgd_solver.cpp, GetLearningRate), in its units; one_cycle has the shares of
torch.optim.lr_scheduler.OneCycleLR. Warm-up multiplies any of them by (i + 1) / w during its w = warmup_epochs /
epochs · m iterations. The default shares are those of DIGITS.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from app.solver.spec import LrPolicy, SolverSpec

DEFAULT_STEP_PERCENT = 33.0
DEFAULT_STEPVALUES_PERCENT = (50.0, 85.0)
DEFAULT_SIGMOID_PERCENT = 50.0
ONE_CYCLE_PEAK = 0.3
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 250_000

# What a form shows when a policy is chosen, and which fields count for it.
POLICY_DEFAULTS: dict[LrPolicy, dict[str, float]] = {
    LrPolicy.FIXED: {},
    LrPolicy.STEP: {"gamma": 0.1},
    LrPolicy.MULTISTEP: {"gamma": 0.5},
    LrPolicy.EXP: {"gamma": 0.999},
    LrPolicy.INV: {"gamma": 1e-4, "power": 0.75},
    LrPolicy.POLY: {"power": 1.0},
    LrPolicy.SIGMOID: {"gamma": -0.01},
    LrPolicy.COSINE: {},
    LrPolicy.ONE_CYCLE: {},
}


def learning_rate(spec: SolverSpec, iteration: int, max_iter: int) -> float:
    """The learning rate of one iteration (from 0) of a training of `max_iter`."""
    rate = spec.base_lr * _FACTORS[LrPolicy(spec.lr_policy)](spec, iteration, max(1, max_iter))
    warmup = warmup_iterations(spec, max_iter)
    return rate * (iteration + 1) / warmup if iteration < warmup else rate


def warmup_iterations(spec: SolverSpec, max_iter: int) -> int:
    return math.ceil(spec.warmup_epochs / spec.epochs * max_iter)


def percent_to_iterations(percent: float, max_iter: int) -> int:
    """A share of the training as an iteration: the form may ask in percent, as DIGITS does."""
    return max(1, math.ceil(percent * max_iter / 100))


def curve(spec: SolverSpec, max_iter: int, points: int = 201) -> list[tuple[int, float]]:
    """(iteration, learning rate) for drawing: evenly spread, and both sides of every step."""
    last = max(1, max_iter) - 1
    places = {round(last * index / max(1, points - 1)) for index in range(points)}
    edges = [*_edges(spec, max_iter), warmup_iterations(spec, max_iter)]
    places.update(place for edge in edges for place in (edge - 1, edge) if 0 <= place <= last)
    return [(place, learning_rate(spec, place, max_iter)) for place in sorted(places)]


def stepsize_of(spec: SolverSpec, max_iter: int) -> int:
    """The iterations of a step, or the middle of the sigmoid: as given, or the default share."""
    if spec.stepsize is not None:
        return spec.stepsize
    is_sigmoid = spec.lr_policy == LrPolicy.SIGMOID
    return percent_to_iterations(DEFAULT_SIGMOID_PERCENT if is_sigmoid else DEFAULT_STEP_PERCENT, max_iter)


def stepvalues_of(spec: SolverSpec, max_iter: int) -> tuple[int, ...]:
    """The iterations at which multistep goes down: as given, or the default shares."""
    return spec.stepvalues or tuple(percent_to_iterations(p, max_iter) for p in DEFAULT_STEPVALUES_PERCENT)


def _edges(spec: SolverSpec, max_iter: int) -> list[int]:
    if spec.lr_policy == LrPolicy.MULTISTEP:
        return list(stepvalues_of(spec, max_iter))
    if spec.lr_policy == LrPolicy.STEP:
        stepsize = stepsize_of(spec, max_iter)
        return list(range(stepsize, max_iter, stepsize))[:500]
    return []


def _step(spec: SolverSpec, iteration: int, max_iter: int) -> float:
    return float(spec.gamma ** (iteration // stepsize_of(spec, max_iter)))


def _multistep(spec: SolverSpec, iteration: int, max_iter: int) -> float:
    return float(spec.gamma ** bisect_right(stepvalues_of(spec, max_iter), iteration))


def _sigmoid(spec: SolverSpec, iteration: int, max_iter: int) -> float:
    exponent = -spec.gamma * (iteration - stepsize_of(spec, max_iter))
    return 0.0 if exponent > 700 else 1 / (1 + math.exp(exponent))


def _one_cycle(_spec: SolverSpec, iteration: int, max_iter: int) -> float:
    share = iteration / max_iter
    if share < ONE_CYCLE_PEAK:
        return _half_cosine(ONE_CYCLE_START, 1.0, share / ONE_CYCLE_PEAK)
    return _half_cosine(1.0, ONE_CYCLE_END, min(1.0, (share - ONE_CYCLE_PEAK) / (1 - ONE_CYCLE_PEAK)))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


_FACTORS: dict[LrPolicy, Callable[[SolverSpec, int, int], float]] = {
    LrPolicy.FIXED: lambda _spec, _iteration, _max: 1.0,
    LrPolicy.STEP: _step,
    LrPolicy.MULTISTEP: _multistep,
    LrPolicy.EXP: lambda spec, iteration, _max: float(spec.gamma**iteration),
    LrPolicy.INV: lambda spec, iteration, _max: float((1 + spec.gamma * iteration) ** -spec.power),
    LrPolicy.POLY: lambda spec, iteration, most: float((1 - min(1.0, iteration / most)) ** spec.power),
    LrPolicy.SIGMOID: _sigmoid,
    LrPolicy.COSINE: lambda _spec, iteration, most: _half_cosine(1.0, 0.0, min(1.0, iteration / most)),
    LrPolicy.ONE_CYCLE: _one_cycle,
}
