"""SolverSpec → solver.prototxt that Caffe takes, and a pasted solver.prototxt → SolverSpec."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf import text_format

from app.solver.lr_policy import stepsize_of, stepvalues_of
from app.solver.spec import LrPolicy, SolverSpec, SolverType
from app.topology import caffe_pb2
from app.topology.errors import Issue, TopologyError
from app.topology.syntax import syntax_issue

MOST_CHARACTERS = 100_000
Option = tuple[str, str | float]


def solver_text(
    spec: SolverSpec,
    train_count: int,
    val_count: int = 0,
    *,
    net: str = "train_val.prototxt",
    snapshot_prefix: str = "snapshot",
    on_gpu: bool = False,
) -> str:
    """The solver.prototxt of a run. What Caffe does not know gives way to what comes nearest, said in a comment."""
    known, remarks = _in_caffe(spec)
    max_iter = spec.max_iter(train_count)
    options: list[Option] = [("net", f'"{net}"')]
    if val_count and spec.val_every(train_count):
        options.append(("test_iter", math.ceil(val_count / spec.val_batch_size)))
        options.append(("test_interval", spec.val_every(train_count)))
    options += [("max_iter", max_iter), ("iter_size", spec.batch_accumulation)]
    options += [("display", max(1, spec.iterations_per_epoch(train_count) // 8))]
    options += [*_rate(known, max_iter), *_rule(known)]
    if snapshot_every := spec.snapshot_every(train_count):
        options.append(("snapshot", snapshot_every))
    options += [("snapshot_prefix", f'"{snapshot_prefix}"'), ("solver_mode", "GPU" if on_gpu else "CPU")]
    options += [("random_seed", spec.seed)]
    return "".join([*(f"# {remark}\n" for remark in remarks), *(f"{name}: {value}\n" for name, value in options)])


def _in_caffe(spec: SolverSpec) -> tuple[SolverSpec, list[str]]:
    remarks = []
    if spec.lr_policy in (LrPolicy.COSINE, LrPolicy.ONE_CYCLE):
        remarks.append(f"lr_policy was {spec.lr_policy}, which Caffe does not have: poly of power 1 instead.")
        spec = replace(spec, lr_policy=LrPolicy.POLY, power=1.0)
    if spec.warmup_epochs:
        remarks.append(f"The learning rate was warmed up for {spec.warmup_epochs:g} epochs, which Caffe cannot do.")
    if spec.solver_type == SolverType.ADAMW:
        remarks.append(
            "type was AdamW, which Caffe does not have: Adam instead, whose weight decay is part of the gradient."
        )
        spec = replace(spec, solver_type=SolverType.ADAM)
    if spec.patience:
        remarks.append(f"Training ended after {spec.patience} epochs without a better accuracy, which Caffe cannot do.")
    return spec, remarks


def _rate(spec: SolverSpec, max_iter: int) -> Iterator[Option]:
    policy = spec.lr_policy
    yield "base_lr", spec.base_lr
    yield "lr_policy", f'"{policy}"'
    if policy in (LrPolicy.STEP, LrPolicy.MULTISTEP, LrPolicy.EXP, LrPolicy.INV, LrPolicy.SIGMOID):
        yield "gamma", spec.gamma
    if policy in (LrPolicy.INV, LrPolicy.POLY):
        yield "power", spec.power
    if policy in (LrPolicy.STEP, LrPolicy.SIGMOID):
        yield "stepsize", stepsize_of(spec, max_iter)
    if policy == LrPolicy.MULTISTEP:
        yield from (("stepvalue", value) for value in stepvalues_of(spec, max_iter))


def _rule(spec: SolverSpec) -> Iterator[Option]:
    kind = spec.solver_type
    yield "type", f'"{kind}"'
    if kind not in (SolverType.ADAGRAD, SolverType.RMSPROP):  # Caffe's refuse one
        yield "momentum", spec.momentum
    if kind == SolverType.ADAM:
        yield "momentum2", spec.momentum2
    if kind == SolverType.RMSPROP:
        yield "rms_decay", spec.rms_decay
    if kind not in (SolverType.SGD, SolverType.NESTEROV):
        yield "delta", spec.delta
    yield "weight_decay", spec.weight_decay
    yield "regularization_type", f'"{spec.regularization_type}"'
    if spec.clip_gradients > 0:  # Caffe clips the sum of the batches of a step, we their mean
        yield "clip_gradients", float(f"{spec.clip_gradients * spec.batch_accumulation:.7g}")


@dataclass(frozen=True)
class Pasted:
    """A solver.prototxt as a spec, and what of it has no effect here."""

    spec: SolverSpec
    given: frozenset[str]  # the fields of the spec that the text sets
    remarks: tuple[str, ...] = ()


_FLOATS = (
    *("base_lr", "gamma", "power", "momentum", "momentum2", "rms_decay", "delta", "weight_decay"),
    "clip_gradients",
)
_SAME = ("lr_policy", "regularization_type", "stepsize")


def read_solver(text: str, train_count: int | None = None, batch_size: int = 64) -> Pasted:
    """The spec of a pasted solver.prototxt; iterations become epochs if the size of the training split is known.

    Raises TopologyError with line and column where the text cannot be read. The spec may still be invalid: `validate`.
    """
    if len(text) > MOST_CHARACTERS:
        message = f"the text has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
        raise TopologyError([Issue(1, 1, message)])
    solver = caffe_pb2.SolverParameter()
    try:
        text_format.Parse(text.removeprefix("\ufeff"), solver)
    except text_format.ParseError as error:
        raise TopologyError([syntax_issue(error, 1, 1)]) from None
    values = _values(solver)
    remarks = []
    if train_count:
        iterations = SolverSpec.from_dict({"batch_size": batch_size}).iterations_per_epoch(train_count)
        per_epoch = max(1, math.ceil(iterations / max(1, values.get("batch_accumulation", 1))))
        values |= _in_epochs(solver, per_epoch)
    elif counted := [name for name in ("max_iter", "test_interval", "snapshot") if solver.HasField(name)]:
        remarks.append(f"{', '.join(counted)}: iterations become epochs once a dataset is chosen")
    if solver.weights:
        remarks.append("weights: files are not read by path; choose a pretrained net in the form")
    return Pasted(SolverSpec.from_dict(values | {"batch_size": batch_size}), frozenset(values), tuple(remarks))


def _values(solver: caffe_pb2.SolverParameter) -> dict[str, Any]:
    # A float32 0.01 is 0.00999999977…; seven digits are what was written.
    values: dict[str, Any] = {name: float(f"{getattr(solver, name):.7g}") for name in _FLOATS if solver.HasField(name)}
    values |= {name: getattr(solver, name) for name in _SAME if solver.HasField(name)}
    if solver.stepvalue:
        values["stepvalues"] = tuple(solver.stepvalue)
    if solver.HasField("iter_size"):
        values["batch_accumulation"] = solver.iter_size
        if solver.clip_gradients > 0:
            values["clip_gradients"] = float(f"{solver.clip_gradients / max(1, solver.iter_size):.7g}")
    if solver.HasField("random_seed") and solver.random_seed >= 0:
        values["seed"] = solver.random_seed
    if solver.HasField("type"):
        known = {kind.lower(): str(kind) for kind in SolverType}
        values["solver_type"] = known.get(solver.type.lower(), solver.type)
    elif solver.HasField("solver_type"):
        old = caffe_pb2.SolverParameter.SolverType.Name(solver.solver_type)
        values["solver_type"] = next(str(kind) for kind in SolverType if kind.upper() == old)
    return values


def _in_epochs(solver: caffe_pb2.SolverParameter, per_epoch: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if solver.max_iter > 0:
        found["epochs"] = max(1, math.ceil(solver.max_iter / per_epoch))
    if solver.test_interval > 0:
        found["val_interval"] = solver.test_interval / per_epoch
    if solver.snapshot > 0:
        found["snapshot_interval"] = solver.snapshot / per_epoch
    return found
