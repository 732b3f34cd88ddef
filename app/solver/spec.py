"""How a model is trained, as one value: made by the model form, saved with the model, read by the engine.

Every limit of a field is here. Units are Caffe's: the learning rate's options count iterations, the intervals count
epochs. What the options of each lr_policy do is in `lr_policy.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class SolverType(StrEnum):
    SGD = "SGD"
    NESTEROV = "Nesterov"
    ADAGRAD = "AdaGrad"
    RMSPROP = "RMSProp"
    ADADELTA = "AdaDelta"
    ADAM = "Adam"
    ADAMW = "AdamW"


class LrPolicy(StrEnum):
    FIXED = "fixed"
    STEP = "step"
    MULTISTEP = "multistep"
    EXP = "exp"
    INV = "inv"
    POLY = "poly"
    SIGMOID = "sigmoid"
    COSINE = "cosine"
    ONE_CYCLE = "one_cycle"


class Regularization(StrEnum):
    L2 = "L2"
    L1 = "L1"


class Precision(StrEnum):
    AUTO = "auto"  # bfloat16 where the hardware is faster in it
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


MOST_EPOCHS = 100_000
LARGEST_BATCH = 65_536
LARGEST_RATE = 10.0
LARGEST_ITERATION = 2**31 - 1


@dataclass(frozen=True)
class SolverSpec:
    """The solver of one run."""

    epochs: int = 15
    batch_size: int = 64
    val_batch_size: int = 100
    test_batch_size: int = 100
    batch_accumulation: int = 1  # Caffe's iter_size: batches per step
    val_interval: float = 1.0  # epochs; 0: no validation
    snapshot_interval: float = 1.0  # epochs; 0: only at the end
    base_lr: float = 0.01
    lr_policy: str = LrPolicy.INV
    gamma: float = 1e-4
    power: float = 0.75
    stepsize: int | None = None  # iterations; None: a share of the training, see lr_policy.py
    stepvalues: tuple[int, ...] = ()  # iterations, rising; none: shares of the training
    warmup_epochs: float = 0.0
    solver_type: str = SolverType.SGD
    momentum: float = 0.9
    momentum2: float = 0.999
    rms_decay: float = 0.99
    delta: float = 1e-8
    weight_decay: float = 5e-4
    regularization_type: str = Regularization.L2
    clip_gradients: float = -1.0  # the largest L2 norm of all gradients together; -1: off
    patience: int = 0  # epochs without a better validation accuracy until training ends; 0: off
    seed: int = 1
    precision: str = Precision.AUTO

    def to_dict(self) -> dict[str, Any]:
        return {
            name: str(value) if isinstance(value, StrEnum) else list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SolverSpec:
        """The spec of these values; fields that are missing take their default, unknown ones are passed over."""
        known = {name.name: values[name.name] for name in fields(cls) if name.name in values}
        if "stepvalues" in known:
            known["stepvalues"] = tuple(known["stepvalues"] or ())
        return cls(**known)

    def validate(self) -> dict[str, str]:
        """What is wrong, by field; empty when nothing is. Takes values of any type."""
        faults = {}
        for name, rule in _RULES.items():
            if fault := rule(getattr(self, name)):
                faults[name] = fault
        if not faults:
            faults = _disagreements(self)
        return faults

    def iterations_per_epoch(self, train_count: int) -> int:
        """Steps of the solver until every image of the split has been seen once."""
        return max(1, math.ceil(train_count / (self.batch_size * self.batch_accumulation)))

    def max_iter(self, train_count: int) -> int:
        """Steps of the solver in the whole training."""
        return self.iterations_per_epoch(train_count) * self.epochs

    def val_every(self, train_count: int) -> int:
        """Iterations between two validations; 0: none."""
        return _iterations(self.val_interval, self.iterations_per_epoch(train_count))

    def snapshot_every(self, train_count: int) -> int:
        """Iterations between two snapshots; 0: only at the end."""
        return _iterations(self.snapshot_interval, self.iterations_per_epoch(train_count))


def _iterations(interval_epochs: float, iterations_per_epoch: int) -> int:
    return max(1, int(interval_epochs * iterations_per_epoch)) if interval_epochs > 0 else 0


Rule = Callable[[Any], str]


def _whole(least: int, most: int) -> Rule:
    def rule(value: Any) -> str:
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be a whole number"
        return "" if least <= value <= most else f"must be from {least:,} to {most:,}"

    return rule


def _number(least: float, most: float, *, above: bool = False, below: bool = False) -> Rule:
    """A number within limits; `above` and `below` leave the limit itself out."""
    low = f"above {least:g}" if above else f"at least {least:g}"
    high = f"below {most:g}" if below else f"at most {most:g}"

    def rule(value: Any) -> str:
        if not _is_number(value):
            return "must be a number"
        fits = (least < value if above else least <= value) and (value < most if below else value <= most)
        return "" if fits else f"must be {low} and {high}"

    return rule


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _one_of(choices: type[StrEnum]) -> Rule:
    names = [str(choice) for choice in choices]

    def rule(value: Any) -> str:
        return "" if isinstance(value, str) and value in names else f"must be one of {', '.join(names)}"

    return rule


def _stepsize(value: Any) -> str:
    return "" if value is None else _whole(1, LARGEST_ITERATION)(value)


def _stepvalues(values: Any) -> str:
    if not isinstance(values, tuple | list) or any(_whole(1, LARGEST_ITERATION)(value) for value in values):
        return f"must be whole numbers from 1 to {LARGEST_ITERATION:,}"
    if len(values) > 1_000:
        return "must be at most 1,000 numbers"
    return "" if list(values) == sorted(set(values)) else "must rise from one number to the next"


def _clip(value: Any) -> str:
    if not _is_number(value):
        return "must be a number"
    return "" if value == -1 or 0 < value <= 1e6 else "must be -1 (off), or above 0 and at most 1e+06"


_RULES: dict[str, Rule] = {
    "epochs": _whole(1, MOST_EPOCHS),
    "batch_size": _whole(1, LARGEST_BATCH),
    "val_batch_size": _whole(1, LARGEST_BATCH),
    "test_batch_size": _whole(1, LARGEST_BATCH),
    "batch_accumulation": _whole(1, 10_000),
    "val_interval": _number(0, MOST_EPOCHS),
    "snapshot_interval": _number(0, MOST_EPOCHS),
    "base_lr": _number(0, LARGEST_RATE, above=True),
    "lr_policy": _one_of(LrPolicy),
    "gamma": _number(-1_000, 1_000),
    "power": _number(0, 100),
    "stepsize": _stepsize,
    "stepvalues": _stepvalues,
    "warmup_epochs": _number(0, MOST_EPOCHS),
    "solver_type": _one_of(SolverType),
    "momentum": _number(0, 1, below=True),
    "momentum2": _number(0, 1, below=True),
    "rms_decay": _number(0, 1, below=True),
    "delta": _number(0, 1, above=True),
    "weight_decay": _number(0, 1),
    "regularization_type": _one_of(Regularization),
    "clip_gradients": _clip,
    "patience": _whole(0, MOST_EPOCHS),
    "seed": _whole(0, LARGEST_ITERATION),
    "precision": _one_of(Precision),
}


def _disagreements(spec: SolverSpec) -> dict[str, str]:
    """Fields that are right by themselves but not together."""
    faults = {}
    if spec.lr_policy in (LrPolicy.STEP, LrPolicy.MULTISTEP, LrPolicy.EXP) and not 0 < spec.gamma <= 1:
        faults["gamma"] = f"must be above 0 and at most 1 for lr_policy {spec.lr_policy}"
    if spec.lr_policy == LrPolicy.INV and spec.gamma < 0:
        faults["gamma"] = "must be at least 0 for lr_policy inv"
    if spec.warmup_epochs > spec.epochs:
        faults["warmup_epochs"] = f"must be at most the {spec.epochs} epochs of the training"
    if spec.patience and not spec.val_interval:
        faults["patience"] = "needs validation: set a validation interval above 0"
    if spec.solver_type == SolverType.ADAMW and spec.regularization_type == Regularization.L1:
        faults["regularization_type"] = "must be L2 for AdamW, which decays the weights themselves"
    return faults
