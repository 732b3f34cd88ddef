from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from app.solver.spec import SolverSpec
from tests.worker.engine.oracle import DEVICE
from worker.engine.compile import Weight
from worker.engine.errors import EngineError
from worker.engine.solvers import Solver, supported_solvers

Array = np.ndarray
STEPS = 50


def rates(step: int) -> float:
    """Falls, jumps down, and is 0 for a moment, so that a rule that remembers the wrong rate is found out."""
    return 0.0 if step == 20 else 0.1 * 0.97**step * (0.1 if step > 30 else 1)


def gradient_at(value: Array, step: int) -> Array:
    """Of a bent, tilting bowl."""
    return value * np.linspace(0.5, 2, value.size).reshape(value.shape) + np.sin(step + np.arange(value.size)).reshape(
        value.shape
    )


# The published rules in float64: (weight, gradient, rate, memory, step) → weight. The memory starts empty.
Sketch = Callable[[Array, Array, float, dict[str, Array], SolverSpec, int], Array]


def sgd(w: Array, g: Array, r: float, memory: dict[str, Array], spec: SolverSpec, step: int) -> Array:
    memory["v"] = spec.momentum * memory.get("v", 0 * w) + r * g
    return w - memory["v"]


def nesterov(w: Array, g: Array, r: float, memory: dict[str, Array], spec: SolverSpec, step: int) -> Array:
    before = memory.get("v", 0 * w)
    memory["v"] = spec.momentum * before + r * g
    return w - ((1 + spec.momentum) * memory["v"] - spec.momentum * before)


def adagrad(w: Array, g: Array, r: float, memory: dict[str, Array], spec: SolverSpec, step: int) -> Array:
    memory["h"] = memory.get("h", 0 * w) + g**2
    return w - r * g / (np.sqrt(memory["h"]) + spec.delta)


def rmsprop(w: Array, g: Array, r: float, memory: dict[str, Array], spec: SolverSpec, step: int) -> Array:
    memory["h"] = spec.rms_decay * memory.get("h", 0 * w) + (1 - spec.rms_decay) * g**2
    return w - r * g / (np.sqrt(memory["h"]) + spec.delta)


def adadelta(w: Array, g: Array, r: float, memory: dict[str, Array], spec: SolverSpec, step: int) -> Array:
    memory["h"] = spec.momentum * memory.get("h", 0 * w) + (1 - spec.momentum) * g**2
    past = memory.get("d", 0 * w)
    move = g * np.sqrt((past + spec.delta) / (memory["h"] + spec.delta))
    memory["d"] = spec.momentum * past + (1 - spec.momentum) * move**2
    return w - r * move


def adam(w: Array, g: Array, r: float, memory: dict[str, Array], spec: SolverSpec, step: int) -> Array:
    memory["m"] = spec.momentum * memory.get("m", 0 * w) + (1 - spec.momentum) * g
    memory["v"] = spec.momentum2 * memory.get("v", 0 * w) + (1 - spec.momentum2) * g**2
    rate = r * np.sqrt(1 - spec.momentum2 ** (step + 1)) / (1 - spec.momentum ** (step + 1))
    return w - rate * memory["m"] / (np.sqrt(memory["v"]) + spec.delta)


SKETCHES: dict[str, Sketch] = {
    "SGD": sgd,
    "Nesterov": nesterov,
    "AdaGrad": adagrad,
    "RMSProp": rmsprop,
    "AdaDelta": adadelta,
    "Adam": adam,
}


def start() -> dict[str, Weight]:
    random = torch.Generator().manual_seed(4)
    weight = torch.randn(4, 3, 2, 2, generator=random).to(memory_format=torch.channels_last)
    values = {"a.weight": weight, "a.bias": torch.randn(4, generator=random)}
    multipliers = {"a.weight": (1.0, 1.0), "a.bias": (2.0, 0.0)}
    return {
        name: Weight(torch.nn.Parameter(value.to(DEVICE)), True, *multipliers[name]) for name, value in values.items()
    }


def set_gradients(weights: dict[str, Weight], step: int) -> None:
    for weight in weights.values():
        gradient = gradient_at(weight.value.detach().cpu().double().contiguous().numpy(), step)
        layout = torch.channels_last if weight.value.dim() == 4 else torch.preserve_format
        weight.value.grad = torch.from_numpy(gradient).float().to(DEVICE).to(memory_format=layout)


def run(spec: SolverSpec, weights: dict[str, Weight], steps: range = range(STEPS)) -> dict[str, Tensor]:
    solver = Solver(spec, weights)
    for step in steps:
        set_gradients(weights, step)
        solver.step(rates(step))
    return {name: weight.value.detach().cpu() for name, weight in weights.items()}


def expected(spec: SolverSpec, sketch: Sketch) -> dict[str, Array]:
    found = {}
    for name, weight in start().items():
        value, memory = weight.value.detach().cpu().double().contiguous().numpy(), dict[str, Array]()
        for step in range(STEPS):
            gradient = gradient_at(value, step)
            decay = spec.weight_decay * weight.decay_mult
            gradient = gradient + decay * (value if spec.regularization_type == "L2" else np.sign(value))
            value = sketch(value, gradient, rates(step) * weight.lr_mult, memory, spec, step)
        found[name] = value
    return found


@pytest.mark.parametrize("regularization", ["L2", "L1"])
@pytest.mark.parametrize("solver_type", sorted(SKETCHES))
def test_the_first_50_steps_follow_the_published_rule(solver_type: str, regularization: str) -> None:
    spec = SolverSpec(solver_type=solver_type, weight_decay=0.01, regularization_type=regularization, delta=1e-6)
    found = run(spec, start())
    for name, value in expected(spec, SKETCHES[solver_type]).items():
        assert np.allclose(found[name].numpy(), value, rtol=2e-4, atol=2e-5), name


@pytest.mark.parametrize(
    ("solver_type", "make"),
    [
        ("SGD", lambda values, spec: torch.optim.SGD(values, 0.1, spec.momentum, weight_decay=spec.weight_decay)),
        ("Nesterov", lambda values, spec: torch.optim.SGD(values, 0.1, spec.momentum, 0, spec.weight_decay, True)),
        (
            "AdaGrad",
            lambda values, spec: torch.optim.Adagrad(values, 0.1, eps=spec.delta, weight_decay=spec.weight_decay),
        ),
        (
            "RMSProp",
            lambda values, spec: torch.optim.RMSprop(
                values, 0.1, spec.rms_decay, spec.delta, weight_decay=spec.weight_decay
            ),
        ),
        (
            "AdaDelta",
            lambda values, spec: torch.optim.Adadelta(
                values, 0.1, spec.momentum, spec.delta, weight_decay=spec.weight_decay
            ),
        ),
        (
            "Adam",
            lambda values, spec: torch.optim.Adam(
                values, 0.1, (spec.momentum, spec.momentum2), spec.delta, spec.weight_decay
            ),
        ),
        (
            "AdamW",
            lambda values, spec: torch.optim.AdamW(
                values, 0.1, (spec.momentum, spec.momentum2), spec.delta, spec.weight_decay
            ),
        ),
    ],
)
def test_at_a_fixed_rate_it_is_pytorchs_optimizer(
    solver_type: str, make: Callable[[list[Tensor], SolverSpec], torch.optim.Optimizer]
) -> None:
    spec = SolverSpec(solver_type=solver_type, weight_decay=0.01)
    mine, theirs = start(), start()
    for weights in (mine, theirs):
        for name, weight in weights.items():
            weights[name] = replace(weight, lr_mult=1.0, decay_mult=1.0)
    solver, optimizer = Solver(spec, mine), make([weight.value for weight in theirs.values()], spec)
    for step in range(STEPS):
        set_gradients(mine, step)
        set_gradients(theirs, step)
        solver.step(0.1)
        optimizer.step()
    for name, weight in theirs.items():
        assert torch.allclose(mine[name].value, weight.value, rtol=1e-4, atol=1e-5)


def test_every_solver_of_the_form_is_tested_here() -> None:
    assert set(supported_solvers()) == set(SKETCHES) | {"AdamW"}


@pytest.mark.parametrize("solver_type", supported_solvers())
def test_a_solver_that_goes_on_from_its_state_does_what_one_without_a_break_does(solver_type: str) -> None:
    spec = SolverSpec(solver_type=solver_type)
    whole = run(spec, start())
    weights = start()
    first = Solver(spec, weights)
    for step in range(25):
        set_gradients(weights, step)
        first.step(rates(step))
    second = Solver(spec, weights)
    second.load_state(first.state())
    for step in range(25, STEPS):
        set_gradients(weights, step)
        second.step(rates(step))
    for name, value in whole.items():
        assert torch.equal(weights[name].value.detach().cpu(), value)


def test_gradients_are_scaled_together_where_their_norm_is_too_large() -> None:
    weights = start()
    before = {name: weight.value.detach().clone() for name, weight in weights.items()}
    for weight in weights.values():
        weight.value.grad = torch.ones_like(weight.value)
    norm = sum(weight.value.numel() for weight in weights.values()) ** 0.5
    Solver(SolverSpec(weight_decay=0, clip_gradients=norm / 4), weights).step(1.0)
    moved = before["a.weight"] - weights["a.weight"].value
    assert torch.allclose(moved, torch.full_like(moved, 0.25), atol=1e-6)
    moved = before["a.bias"] - weights["a.bias"].value
    assert torch.allclose(moved, torch.full_like(moved, 0.5), atol=1e-6)  # lr_mult 2


def test_gradients_within_the_limit_are_left_alone() -> None:
    clipped, free = start(), start()
    run(SolverSpec(clip_gradients=1e6), clipped)
    run(SolverSpec(), free)
    assert torch.equal(clipped["a.weight"].value, free["a.weight"].value)


def test_a_frozen_weight_stays_and_needs_no_gradient() -> None:
    weights = start()
    weights["a.weight"] = replace(weights["a.weight"], lr_mult=0.0)
    before = weights["a.weight"].value.detach().clone()
    solver = Solver(SolverSpec(), weights)
    assert not weights["a.weight"].value.requires_grad
    weights["a.bias"].value.grad = torch.ones(4, device=DEVICE)
    solver.step(0.1)
    assert torch.equal(weights["a.weight"].value.detach(), before)
    assert set(solver.state()["history"]) == {"a.bias"}


def test_a_weight_that_no_loss_reaches_still_decays() -> None:
    weights = start()
    before = weights["a.weight"].value.detach().clone()
    Solver(SolverSpec(weight_decay=0.5), weights).step(0.1)
    assert torch.allclose(weights["a.weight"].value, before * 0.95)


def test_a_shared_weight_moves_once() -> None:
    weights = start()
    weights["b.weight"] = weights["a.weight"]
    before = weights["a.weight"].value.detach().clone()
    for weight in weights.values():
        weight.value.grad = torch.ones_like(weight.value)
    Solver(SolverSpec(weight_decay=0), weights).step(0.1)
    assert torch.allclose(weights["a.weight"].value, before - 0.1)


def test_gradients_are_gone_after_a_step() -> None:
    weights = start()
    set_gradients(weights, 0)
    Solver(SolverSpec(), weights).step(0.1)
    assert all(weight.value.grad is None for weight in weights.values())


def test_a_solver_that_is_not_known_is_named() -> None:
    with pytest.raises(EngineError, match=r'expected solver type SGD, Nesterov, .*, found "LBFGS"'):
        Solver(SolverSpec(solver_type="LBFGS"), start())
    with pytest.raises(EngineError, match='expected regularization type L1 or L2, found "L3"'):
        Solver(SolverSpec(regularization_type="L3"), start())


def test_a_state_of_another_net_or_solver_is_refused() -> None:
    state = Solver(SolverSpec(), start()).state()
    with pytest.raises(EngineError, match="expected the state of solver Adam, found SGD"):
        Solver(SolverSpec(solver_type="Adam"), start()).load_state(state)
    other = start()
    other["c.weight"] = other.pop("a.weight")
    with pytest.raises(EngineError, match=r"belongs to other weights; it differs in a\.weight, c\.weight"):
        Solver(SolverSpec(), other).load_state(state)


@pytest.mark.parametrize("solver_type", supported_solvers())
def test_gradients_laid_out_otherwise_move_the_same_weights(solver_type: str) -> None:
    spec = SolverSpec(solver_type=solver_type, clip_gradients=0.5, weight_decay=0.01)
    weights, alike = start(), start()
    solver = Solver(spec, weights)
    for step in range(STEPS):
        set_gradients(weights, step)
        for weight in weights.values():
            assert weight.value.grad is not None
            weight.value.grad = weight.value.grad.contiguous()
        solver.step(rates(step))
    assert weights["a.weight"].value.is_contiguous(memory_format=torch.channels_last)
    assert solver.state()["history"]["a.weight"][0].shape == weights["a.weight"].value.shape
    for name, value in run(spec, alike).items():
        assert torch.equal(weights[name].value.detach().cpu(), value), name
