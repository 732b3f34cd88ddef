"""Learning rates against a table of formulas, Caffe's source and torch's OneCycleLR."""

import math

import pytest

from app.solver.lr_policy import POLICY_DEFAULTS, curve, learning_rate, percent_to_iterations
from app.solver.spec import LrPolicy, SolverSpec

# policy, options, {iteration: learning rate} with base_lr 0.1 and max_iter 1000, worked out with a calculator
TABLE = [
    ("fixed", {}, {0: 0.1, 999: 0.1}),
    ("step", {"gamma": 0.1, "stepsize": 100}, {0: 0.1, 99: 0.1, 100: 0.01, 199: 0.01, 200: 0.001, 999: 1e-10}),
    ("step", {"gamma": 0.5}, {329: 0.1, 330: 0.05, 659: 0.05, 660: 0.025, 990: 0.0125}),  # every 33 %
    ("multistep", {"gamma": 0.5, "stepvalues": (10, 30)}, {9: 0.1, 10: 0.05, 29: 0.05, 30: 0.025, 999: 0.025}),
    ("multistep", {"gamma": 0.1}, {499: 0.1, 500: 0.01, 849: 0.01, 850: 0.001}),  # at 50 % and 85 %
    ("exp", {"gamma": 0.99}, {0: 0.1, 1: 0.099, 100: 0.036603234, 1000: 4.3171247e-06}),
    ("inv", {"gamma": 1e-4, "power": 0.75}, {0: 0.1, 500: 0.096406957, 1000: 0.093101244}),
    ("poly", {"power": 1.0}, {0: 0.1, 250: 0.075, 1000: 0.0}),
    ("poly", {"power": 3.0}, {500: 0.0125}),
    ("sigmoid", {"gamma": -0.01, "stepsize": 400}, {0: 0.098201379, 400: 0.05, 900: 0.00066928509}),
    ("sigmoid", {"gamma": -0.01}, {500: 0.05}),
    ("cosine", {}, {0: 0.1, 250: 0.085355339, 500: 0.05, 750: 0.014644661, 1000: 0.0}),
    ("one_cycle", {}, {0: 0.004, 150: 0.052, 300: 0.1, 650: 0.0500002, 1000: 4e-7}),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "options", "expected"), TABLE)
def test_rates_are_those_of_the_table(policy: str, options: dict[str, object], expected: dict[int, float]) -> None:
    spec = SolverSpec(base_lr=0.1, lr_policy=policy, **options)

    for iteration, rate in expected.items():
        assert learning_rate(spec, iteration, 1000) == pytest.approx(rate, rel=1e-6, abs=1e-15)


def test_every_policy_is_in_the_table_and_has_defaults() -> None:
    assert {row[0] for row in TABLE} == set(LrPolicy) == set(POLICY_DEFAULTS)


def test_one_cycle_is_that_of_torch() -> None:
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    solver = torch.optim.SGD([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(solver, max_lr=0.1, total_steps=1000, cycle_momentum=False)
    spec = SolverSpec(base_lr=0.1, lr_policy="one_cycle")
    for iteration in range(999):
        ours = learning_rate(spec, iteration, 1000)
        # torch reaches its turning points one step earlier: at 0.3 · 1000 − 1 and 999
        assert ours == pytest.approx(schedule.get_last_lr()[0], abs=6e-4)
        solver.step()
        schedule.step()


def test_warming_up_rises_evenly_to_the_policy() -> None:
    spec = SolverSpec(epochs=10, base_lr=0.1, lr_policy="fixed", warmup_epochs=1)

    assert learning_rate(spec, 0, 1000) == pytest.approx(0.001)
    assert learning_rate(spec, 49, 1000) == pytest.approx(0.05)
    assert learning_rate(spec, 99, 1000) == pytest.approx(0.1)
    assert learning_rate(spec, 100, 1000) == pytest.approx(0.1)


@pytest.mark.parametrize(("policy", "options", "expected"), TABLE)
def test_every_policy_can_be_warmed_up(policy: str, options: dict[str, object], expected: dict[int, float]) -> None:
    spec = SolverSpec(epochs=10, base_lr=0.1, lr_policy=policy, warmup_epochs=2.5, **options)

    for iteration, rate in expected.items():
        share = min(1.0, (iteration + 1) / 250)
        assert learning_rate(spec, iteration, 1000) == pytest.approx(rate * share, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("policy", LrPolicy)
@pytest.mark.parametrize("max_iter", [1, 2, 7, 100_000_000])
def test_rates_are_numbers_for_short_and_endless_trainings(policy: LrPolicy, max_iter: int) -> None:
    spec = SolverSpec(lr_policy=policy, **POLICY_DEFAULTS[policy])
    for iteration in {0, max_iter // 2, max_iter - 1, max_iter, max_iter + 5}:
        rate = learning_rate(spec, iteration, max_iter)
        assert math.isfinite(rate)
        assert 0 <= rate <= spec.base_lr * (1 + 1e-12)


@pytest.mark.parametrize("policy", LrPolicy)
def test_curves_are_drawn_from_first_to_last_iteration(policy: LrPolicy) -> None:
    spec = SolverSpec(lr_policy=policy, warmup_epochs=2, **POLICY_DEFAULTS[policy])
    points = curve(spec, 1000)

    assert [points[0][0], points[-1][0]] == [0, 999]
    assert points == [(place, learning_rate(spec, place, 1000)) for place in sorted({place for place, _ in points})]
    assert curve(spec, 1) == [(0, learning_rate(spec, 0, 1))]


def test_curves_show_both_sides_of_a_step() -> None:
    spec = SolverSpec(base_lr=1.0, lr_policy="multistep", gamma=0.5, stepvalues=(12_345,))

    assert dict(curve(spec, 50_000, 11))[12_344] == 1.0
    assert dict(curve(spec, 50_000, 11))[12_345] == 0.5


def test_shares_become_iterations_rounded_up_as_in_digits() -> None:
    assert [percent_to_iterations(33, 1000), percent_to_iterations(33, 10), percent_to_iterations(0.001, 10)] == [
        330,
        4,
        1,
    ]
