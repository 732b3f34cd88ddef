"""Puts a training run together: device, splits, nets, solver, and the state of a snapshot where it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from app.topology.errors import TopologyError
from app.topology.fine_tuning import Fate
from app.topology.net import Phase
from app.topology.text import read
from worker.engine.compile import CompiledNet, compile_net, input_shapes, scores_blob
from worker.engine.device import Precision, choose_precision, set_up_device
from worker.engine.errors import EngineError
from worker.engine.fine_tuning import start_from
from worker.engine.loader import Split, TrainingBatches
from worker.engine.snapshot import Meta, load_weights, read_meta, read_safetensors, read_solver_state, read_weights
from worker.engine.solvers import Solver
from worker.engine.spec import Callbacks, TrainSpec
from worker.engine.splits import has_split, open_split


@dataclass
class Run:
    """Everything that the loop works with, and how far it has come."""

    spec: TrainSpec
    callbacks: Callbacks
    device: torch.device
    precision: Precision
    train_split: Split
    val_split: Split | None
    batches: TrainingBatches
    train_net: CompiledNet
    test_net: CompiledNet  # shares the weights of train_net
    solver: Solver
    iteration: int = 0  # steps done
    validated_at: int = -1
    metrics: dict[str, float] | None = None  # of the last validation
    best: tuple[float, int] | None = None  # the best validation (higher is better), and at which iteration

    @property
    def iterations_per_epoch(self) -> int:
        return self.batches.iterations_per_epoch

    @property
    def max_iter(self) -> int:
        return self.iterations_per_epoch * self.spec.solver.epochs

    def epoch_at(self, iteration: int) -> float:
        return iteration / self.iterations_per_epoch

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or the last `patience` epochs brought nothing better."""
        return self.iteration >= self.max_iter or self.has_lost_patience

    @property
    def has_lost_patience(self) -> bool:
        patience = self.spec.solver.patience * self.iterations_per_epoch
        is_judged = self.validated_at == self.iteration and self.best is not None
        return patience > 0 and is_judged and self.best is not None and self.iteration - self.best[1] >= patience

    def take_note(self, metrics: dict[str, float]) -> None:
        """Keeps what a validation of this iteration has found."""
        self.validated_at, self.metrics = self.iteration, metrics
        value = metrics.get("val/accuracy", -metrics.get("val/loss", 0.0))
        if self.best is None or value > self.best[0]:
            self.best = value, self.iteration

    def state(self) -> dict[str, Any]:
        """What a resumed run needs beside the weights. The place in the data follows from the iteration."""
        state = {
            "solver": self.solver.state(),
            "validated_at": self.validated_at,
            "best": self.best,
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda_random"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.solver.load_state(state["solver"])
        self.validated_at, self.best = int(state["validated_at"]), state["best"]
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "cuda_random" in state:
            torch.cuda.set_rng_state(state["cuda_random"], self.device)

    def meta(self) -> Meta:
        solver = self.spec.solver
        return Meta(
            iteration=self.iteration,
            epoch=self.epoch_at(self.iteration),
            batch_size=solver.batch_size,
            batch_accumulation=solver.batch_accumulation,
            seed=solver.seed,
            solver_type=str(solver.solver_type),
            iterations_per_epoch=self.iterations_per_epoch,
            metrics=self.metrics or {},
        )


def assemble(spec: TrainSpec, callbacks: Callbacks) -> Run:
    """A run ready for its first, or next, iteration. Raises EngineError for what cannot be trained."""
    device = set_up_device(spec.device, spec.threads)
    precision = choose_precision(spec.solver.precision, device)
    torch.manual_seed(spec.solver.seed)
    callbacks.on_phase("reading images")
    train_split = open_split(spec.dataset_dir, "train", spec.preprocessing, device)
    val_split = None
    if has_split(spec.dataset_dir, "val"):
        val_split = open_split(spec.dataset_dir, "val", spec.preprocessing, device)
    callbacks.on_phase("compiling")
    train_net, test_net = _nets(spec, device)
    if spec.start_from is not None and spec.resume_from is None:
        _fine_tune(train_net, spec.start_from, callbacks)
    solver = spec.solver
    batches = TrainingBatches(
        train_split,
        batch_size=solver.batch_size,
        accumulation=solver.batch_accumulation,
        seed=solver.seed,
        augmentation=spec.augmentation,
    )
    stepper = Solver(solver, train_net.weights())
    if not stepper.groups:
        raise EngineError("there is nothing to learn: every layer has lr_mult 0")
    run = Run(
        spec=spec,
        callbacks=callbacks,
        device=device,
        precision=precision,
        train_split=train_split,
        val_split=val_split,
        batches=batches,
        train_net=train_net,
        test_net=test_net,
        solver=stepper,
    )
    if spec.resume_from is not None:
        _resume(run)
    return run


def _nets(spec: TrainSpec, device: torch.device) -> tuple[CompiledNet, CompiledNet]:
    """The nets of both phases, with one set of weights."""
    try:
        source = read(spec.topology)
        nets = {phase: source.net(phase) for phase in Phase}
    except TopologyError as error:
        raise EngineError(f"the topology cannot be trained: {error}") from error
    shapes = input_shapes(nets[Phase.TRAIN], spec.preprocessing, spec.solver.batch_size)
    train_net = compile_net(nets[Phase.TRAIN], shapes, seed=spec.solver.seed)
    train_net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not any(any(step.loss_weights) for step in train_net.steps):
        raise EngineError("expected a loss in the net of phase TRAIN, found none")
    shapes = input_shapes(nets[Phase.TEST], spec.preprocessing, spec.solver.val_batch_size)
    keep = [name for name in [scores_blob(nets[Phase.TEST])] if name]
    test_net = compile_net(nets[Phase.TEST], shapes, seed=spec.solver.seed, weights_of=train_net, keep=keep)
    test_net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for net in (train_net, test_net):
        _expect_outputs(net, len(spec.classes))
    return train_net, test_net


def _expect_outputs(net: CompiledNet, classes: int) -> None:
    """Labels beyond a net's outputs would end a GPU run in a way that nobody understands."""
    for step in net.steps:
        if step.module.layer.type not in ("SoftmaxWithLoss", "SoftmaxLoss", "HingeLoss", "InfogainLoss", "Accuracy"):
            continue
        scores = net.shapes[step.bottoms[0]]
        is_labelled = len(net.net.inputs) > 1 and step.bottoms[1] == net.net.inputs[1]
        if is_labelled and len(scores) > 1 and scores[1] < classes:
            layer = step.module.layer
            raise EngineError(
                f"{layer.name} (line {layer.line}): expected {classes} scores per image, one for each class of the "
                f'dataset, found {scores[1]} in "{step.bottoms[0]}"'
            )


def _fine_tune(net: CompiledNet, path: Path, callbacks: Callbacks) -> None:
    """Starts from the weights of another net, as far as they fit; raises EngineError where none does."""
    table = start_from(net, read_safetensors(path))
    loaded = [entry.name for entry in table if entry.fate is Fate.LOADED]
    if not loaded:
        raise EngineError(f"none of the weights in {path.name} fits a layer of this net, by name and shape")
    callbacks.log(f"Fine-tuning from {path.name}: {len(loaded)} weights loaded")
    for entry in table:
        if entry.fate is not Fate.LOADED:
            callbacks.log(f"  {entry.name}: {entry.fate}, {entry.reason}")


def _resume(run: Run) -> None:
    folder = run.spec.resume_from
    assert folder is not None
    meta, mine = read_meta(folder), run.meta()
    for name in ("batch_size", "batch_accumulation", "seed", "solver_type", "iterations_per_epoch"):
        expected, found = getattr(mine, name), getattr(meta, name)
        if expected != found:
            raise EngineError(f"{folder.name} belongs to another run: expected {name} {expected}, found {found}")
    load_weights(run.train_net, read_weights(folder))
    run.load_state(read_solver_state(folder))
    run.iteration = meta.iteration
    run.metrics = dict(meta.metrics)
    run.callbacks.log(f"Resuming from {folder.name}, iteration {meta.iteration}")
