"""The solver's fields: limits, messages, epochs and iterations."""

import json
import math
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.solver.spec import SolverSpec


def test_the_defaults_are_those_of_the_case_study_and_valid() -> None:
    spec = SolverSpec()

    assert spec.validate() == {}
    assert (spec.epochs, spec.batch_size, spec.val_batch_size, spec.test_batch_size) == (15, 64, 100, 100)
    assert (spec.base_lr, spec.momentum, spec.weight_decay, spec.clip_gradients) == (0.01, 0.9, 0.0005, -1)
    assert (spec.solver_type, spec.lr_policy, spec.gamma, spec.power) == ("SGD", "inv", 1e-4, 0.75)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("base_lr", 1e15, "must be above 0 and at most 10"),
        ("base_lr", 0, "must be above 0 and at most 10"),
        ("base_lr", -0.1, "must be above 0 and at most 10"),
        ("base_lr", math.nan, "must be a number"),
        ("base_lr", math.inf, "must be above 0 and at most 10"),
        ("base_lr", "fast", "must be a number"),
        ("base_lr", None, "must be a number"),
        ("epochs", 0, "must be from 1 to 100,000"),
        ("epochs", -3, "must be from 1 to 100,000"),
        ("epochs", 10**9, "must be from 1 to 100,000"),
        ("epochs", 1.5, "must be a whole number"),
        ("epochs", True, "must be a whole number"),
        ("batch_size", 0, "must be from 1 to 65,536"),
        ("batch_size", 10**7, "must be from 1 to 65,536"),
        ("val_batch_size", -1, "must be from 1 to 65,536"),
        ("test_batch_size", "x", "must be a whole number"),
        ("batch_accumulation", 0, "must be from 1 to 10,000"),
        ("val_interval", -0.5, "must be at least 0 and at most 100000"),
        ("snapshot_interval", -1, "must be at least 0 and at most 100000"),
        ("lr_policy", "linear", "must be one of fixed, step, multistep, exp, inv, poly, sigmoid, cosine, one_cycle"),
        ("solver_type", "sgd", "must be one of SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, AdamW"),
        ("regularization_type", "L3", "must be one of L2, L1"),
        ("precision", "int8", "must be one of auto, float32, bfloat16"),
        ("momentum", 1, "must be at least 0 and below 1"),
        ("momentum2", 1.0, "must be at least 0 and below 1"),
        ("rms_decay", -1, "must be at least 0 and below 1"),
        ("delta", 0, "must be above 0 and at most 1"),
        ("weight_decay", 2, "must be at least 0 and at most 1"),
        ("clip_gradients", 0, "must be -1 (off), or above 0 and at most 1e+06"),
        ("clip_gradients", -5, "must be -1 (off), or above 0 and at most 1e+06"),
        ("stepsize", 0, "must be from 1 to 2,147,483,647"),
        ("stepvalues", (5, 5), "must rise from one number to the next"),
        ("stepvalues", (5, 3), "must rise from one number to the next"),
        ("stepvalues", (0,), "must be whole numbers from 1 to 2,147,483,647"),
        ("stepvalues", "33", "must be whole numbers from 1 to 2,147,483,647"),
        ("stepvalues", tuple(range(1, 1002)), "must be at most 1,000 numbers"),
        ("power", -1, "must be at least 0 and at most 100"),
        ("seed", -1, "must be from 0 to 2,147,483,647"),
        ("patience", -1, "must be from 0 to 100,000"),
        ("warmup_epochs", 16, "must be at most the 15 epochs of the training"),
    ],
)
def test_values_out_of_range_are_named_at_their_field(field: str, value: object, message: str) -> None:
    assert SolverSpec(**{field: value}).validate() == {field: message}


@pytest.mark.parametrize(
    ("values", "fields_named"),
    [
        ({"lr_policy": "step", "gamma": 0.0}, {"gamma"}),
        ({"lr_policy": "exp", "gamma": 1.5}, {"gamma"}),
        ({"lr_policy": "inv", "gamma": -1.0}, {"gamma"}),
        ({"lr_policy": "sigmoid", "gamma": -1.0}, set()),
        ({"lr_policy": "fixed", "gamma": 0.0}, set()),
        ({"patience": 3, "val_interval": 0}, {"patience"}),
        ({"solver_type": "AdamW", "regularization_type": "L1"}, {"regularization_type"}),
        ({"epochs": 0, "batch_size": 0, "base_lr": -1.0}, {"epochs", "batch_size", "base_lr"}),
    ],
)
def test_fields_that_do_not_go_together_are_named(values: dict[str, object], fields_named: set[str]) -> None:
    assert set(SolverSpec(**values).validate()) == fields_named


def test_every_field_has_a_rule() -> None:
    anything = SolverSpec(**{field.name: object() for field in fields(SolverSpec)})

    assert set(anything.validate()) == {field.name for field in fields(SolverSpec)}


def test_a_spec_survives_json() -> None:
    spec = SolverSpec(lr_policy="multistep", stepvalues=(3, 5), solver_type="Adam", stepsize=7, base_lr=0.1)

    assert SolverSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_unknown_and_missing_fields_do_not_stop_an_old_spec_from_being_read() -> None:
    assert SolverSpec.from_dict({"epochs": 3, "of_a_later_version": 1}) == SolverSpec(epochs=3)


@pytest.mark.parametrize(
    ("train_count", "batch_size", "accumulation", "per_epoch"),
    [(47_190, 64, 1, 738), (64, 64, 1, 1), (65, 64, 1, 2), (1, 64, 1, 1), (0, 64, 1, 1), (1000, 10, 3, 34)],
)
def test_an_epoch_is_as_many_steps_as_show_every_image(
    train_count: int, batch_size: int, accumulation: int, per_epoch: int
) -> None:
    spec = SolverSpec(batch_size=batch_size, batch_accumulation=accumulation, epochs=15)

    assert spec.iterations_per_epoch(train_count) == per_epoch
    assert spec.max_iter(train_count) == 15 * per_epoch


@pytest.mark.parametrize(("interval", "iterations"), [(1, 100), (0.5, 50), (2, 200), (0.001, 1), (0, 0), (0.019, 1)])
def test_intervals_are_counted_in_epochs(interval: float, iterations: int) -> None:
    spec = SolverSpec(batch_size=10, val_interval=interval, snapshot_interval=interval)

    assert (spec.val_every(1000), spec.snapshot_every(1000)) == (iterations, iterations)


NAMES = [field.name for field in fields(SolverSpec)]
ANYTHING = st.one_of(
    *(st.integers(), st.floats(), st.text("1e-.L", max_size=5), st.none(), st.booleans()),
    st.lists(st.integers(), max_size=3),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_validating_anything_never_raises(values: dict[str, object]) -> None:
    for name, message in SolverSpec(**values).validate().items():
        assert name in NAMES
        assert message.startswith(("must", "needs"))
