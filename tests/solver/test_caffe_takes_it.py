"""solver.prototxt as Caffe would read it: its fields and checks written down here, apart from our own caffe.proto."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.solver.lr_policy import learning_rate
from app.solver.spec import LrPolicy, Regularization, SolverSpec, SolverType
from app.solver.text import solver_text

# Caffe, src/caffe/proto/caffe.proto, SolverParameter: the fields that a solver of ours may name.
WHOLE, FRACTION, TEXT, WORD = r"\d+", r"-?\d+(\.\d+)?(e[-+]\d+)?", r'"[^"\n]*"', r"CPU|GPU"
FIELDS = {
    "net": TEXT, "test_iter": WHOLE, "test_interval": WHOLE, "base_lr": FRACTION, "display": WHOLE, "max_iter": WHOLE,
    "iter_size": WHOLE, "lr_policy": TEXT, "gamma": FRACTION, "power": FRACTION, "momentum": FRACTION,
    "weight_decay": FRACTION, "regularization_type": TEXT, "stepsize": WHOLE, "stepvalue": WHOLE,
    "clip_gradients": FRACTION, "snapshot": WHOLE, "snapshot_prefix": TEXT, "solver_mode": WORD, "random_seed": WHOLE,
    "type": TEXT, "delta": FRACTION, "momentum2": FRACTION, "rms_decay": FRACTION,
}  # fmt: skip
REPEATED = {"test_iter", "stepvalue"}
TYPES = {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"}  # REGISTER_SOLVER_CLASS
NEEDS = {  # sgd_solver.cpp, GetLearningRate
    "fixed": set(), "step": {"gamma", "stepsize"}, "exp": {"gamma"}, "inv": {"gamma", "power"},
    "multistep": {"gamma", "stepvalue"}, "poly": {"power"}, "sigmoid": {"gamma", "stepsize"},
}  # fmt: skip

SPECS = st.builds(
    SolverSpec,
    epochs=st.integers(1, 100),
    batch_size=st.sampled_from([1, 7, 64]),
    val_batch_size=st.sampled_from([1, 32, 100]),
    batch_accumulation=st.integers(1, 4),
    val_interval=st.sampled_from([0, 0.1, 1.0, 5.0]),
    snapshot_interval=st.sampled_from([0, 0.5, 1.0, 3.0]),
    base_lr=st.sampled_from([0.01, 1e-5, 1e-12, 10.0]),
    lr_policy=st.sampled_from(list(LrPolicy)),
    gamma=st.sampled_from([1e-4, 0.1, 0.75]),
    power=st.sampled_from([0.75, 1.0, 3.0]),
    stepsize=st.none() | st.integers(1, 10_000),
    stepvalues=st.sampled_from([(), (10, 20), (7,)]),
    warmup_epochs=st.sampled_from([0.0, 1.0]),
    solver_type=st.sampled_from(list(SolverType)),
    regularization_type=st.sampled_from(list(Regularization)),
    clip_gradients=st.sampled_from([-1.0, 5.0, 0.35]),
    patience=st.sampled_from([0, 3]),
    seed=st.integers(0, 2**31 - 1),
)


def as_caffe_reads(text: str) -> dict[str, Any]:
    """Field → its value, or its values; fails on whatever protobuf would refuse."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, value = line.partition(": ")
        assert re.fullmatch(FIELDS[name], value), line
        plain = value.strip('"') if FIELDS[name] in (TEXT, WORD) else float(value)
        if name in REPEATED:
            found.setdefault(name, []).append(plain)
        else:
            assert name not in found, f"{name} is given twice"
            found[name] = plain
    return found


def rate_of_caffe(solver: dict[str, Any], iteration: int) -> float:
    """sgd_solver.cpp, GetLearningRate."""
    base, gamma, policy = solver["base_lr"], solver.get("gamma", 0.0), solver["lr_policy"]
    if policy == "step":
        return float(base * gamma ** (iteration // solver["stepsize"]))
    if policy == "multistep":
        return float(base * gamma ** sum(iteration >= value for value in solver["stepvalue"]))
    if policy == "sigmoid":
        exponent = -gamma * (iteration - solver["stepsize"])
        return float(base / (1 + math.exp(exponent))) if exponent < 700 else 0.0
    factors = {
        "fixed": lambda: 1.0,
        "exp": lambda: gamma**iteration,
        "inv": lambda: (1 + gamma * iteration) ** -solver["power"],
        "poly": lambda: (1 - iteration / solver["max_iter"]) ** solver["power"],
    }
    return float(base * factors[policy]())


@settings(max_examples=200, deadline=None)
@given(SPECS, st.integers(1, 70_000), st.integers(0, 9_000))
def test_caffe_takes_every_solver_and_trains_as_long(spec: SolverSpec, train_count: int, val_count: int) -> None:
    solver = as_caffe_reads(solver_text(spec, train_count, val_count))
    assert solver["type"] in TYPES
    assert NEEDS[solver["lr_policy"]] <= solver.keys()
    assert solver["regularization_type"] in ("L1", "L2")
    if solver["type"] in ("AdaGrad", "RMSProp"):  # both CHECK_EQ(0, momentum)
        assert "momentum" not in solver
    assert ("test_iter" in solver) == ("test_interval" in solver)
    assert solver["max_iter"] == spec.max_iter(train_count)
    assert solver["max_iter"] * solver["iter_size"] * spec.batch_size >= train_count * spec.epochs
    if "test_iter" in solver:  # every validation image is seen, and the batches are needed
        (batches,) = solver["test_iter"]
        assert (batches - 1) * spec.val_batch_size < val_count <= batches * spec.val_batch_size
        assert solver["test_interval"] == spec.val_every(train_count) > 0
    assert solver.get("snapshot", 0) == spec.snapshot_every(train_count)


@settings(max_examples=100, deadline=None)
@given(SPECS, st.integers(1, 70_000), st.floats(0, 1, exclude_max=True))
def test_where_caffe_has_the_policy_its_rates_are_ours(spec: SolverSpec, train_count: int, share: float) -> None:
    text = solver_text(spec, train_count)
    solver, max_iter = as_caffe_reads(text), spec.max_iter(train_count)
    iteration = int(share * max_iter)
    if "lr_policy was" in text or "warmed up" in text:
        return
    assert rate_of_caffe(solver, iteration) == pytest.approx(learning_rate(spec, iteration, max_iter), rel=1e-6)


def test_nothing_that_caffe_cannot_do_goes_unsaid() -> None:
    spec = SolverSpec(lr_policy="one_cycle", warmup_epochs=2, solver_type="AdamW", patience=3)
    remarks = [line for line in solver_text(spec, 1000).splitlines() if line.startswith("#")]
    for words in ("lr_policy was one_cycle", "warmed up for 2 epochs", "type was AdamW", "ended after 3 epochs"):
        assert any(words in remark for remark in remarks)


def test_caffe_clips_the_sum_of_the_batches_that_we_average() -> None:
    solver = as_caffe_reads(solver_text(SolverSpec(clip_gradients=0.35, batch_accumulation=3), 1000))
    assert solver["clip_gradients"] == 1.05
