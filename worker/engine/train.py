"""The training loop. What it works with is put together in `assemble.py`; what it measures goes through `Logbook`.

`train` is to be read as a sequence: rate → validate → snapshot → forward and backward → step → log.
"""

from __future__ import annotations

import torch

from app.solver.lr_policy import learning_rate
from worker.engine.assemble import Run, assemble
from worker.engine.device import Precision
from worker.engine.evaluate import evaluate_net
from worker.engine.intervals import Interval
from worker.engine.loader import in_order
from worker.engine.logbook import Logbook, expect_finite
from worker.engine.snapshot import folder_name, forget_older_solver_states, write_snapshot
from worker.engine.spec import Callbacks, RunInfo, SnapshotInfo, TrainResult, TrainSpec
from worker.engine.splits import has_split, open_split

__all__ = ["Callbacks", "RunInfo", "SnapshotInfo", "TrainResult", "TrainSpec", "train"]


def train(spec: TrainSpec, callbacks: Callbacks) -> TrainResult:
    """Trains a model to its last epoch, or until it is asked to stop. Raises EngineError, Diverged."""
    run = assemble(spec, callbacks)
    solver, resumed_iteration = spec.solver, run.iteration
    validations = Interval(solver.val_interval, run.iterations_per_epoch, run.max_iter)
    snapshots = Interval(solver.snapshot_interval, run.iterations_per_epoch, run.max_iter)
    logbook = Logbook(run)
    callbacks.on_start(_info(run))
    callbacks.on_phase("training")

    while True:
        if validations.is_due(run.iteration) and run.validated_at != run.iteration:
            logbook.flush()
            validate(run)
            logbook.restart_clock()
        if (run.is_over or snapshots.is_due(run.iteration)) and run.iteration > resumed_iteration:
            logbook.flush()
            snapshot(run)
            logbook.restart_clock()
        if run.is_over:
            break
        if callbacks.should_stop():
            logbook.flush()
            return stop(run, snapshots, resumed_iteration)

        rate = learning_rate(solver, run.iteration, run.max_iter)
        for images, labels in run.batches.at(run.iteration):
            with run.precision.autocast():
                result = run.train_net(*(images, labels)[: len(run.train_net.net.inputs)])
            (result.loss / solver.batch_accumulation).backward()
            logbook.add(result)
        run.solver.step(rate)
        run.iteration += 1
        logbook.step_done(rate)

    return finish(run)


def validate(run: Run) -> None:
    """Losses and accuracy on the validation split, as the net is now; nothing is reported if it is asked to stop."""
    if run.val_split is None:
        run.validated_at = run.iteration
        return
    run.callbacks.on_phase("validating")
    batches = in_order(run.val_split, run.spec.solver.val_batch_size)
    classes, should_stop = len(run.spec.classes), run.callbacks.should_stop
    evaluation = evaluate_net(run.test_net, batches, run.precision, classes, should_stop)
    run.callbacks.on_phase("training")
    if evaluation is None:
        return
    values = {f"val/{name}": value for name, value in evaluation.outputs.items()}
    if evaluation.loss is not None:
        values["val/loss"] = evaluation.loss
    if evaluation.accuracy is not None:
        values["val/accuracy"] = evaluation.accuracy
    expect_finite(run, values)
    run.take_note(values)
    epoch = run.epoch_at(run.iteration)
    run.callbacks.on_metrics(run.iteration, epoch, values)
    run.callbacks.log(f"Epoch {epoch:g}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))


def snapshot(run: Run) -> None:
    """Keeps weights and state of this iteration in a folder of their own."""
    run.callbacks.on_phase("saving a snapshot")
    weights = {name: weight.value for name, weight in run.train_net.weights().items()}
    weights |= {name: weight.value for name, weight in run.test_net.weights().items() if name not in weights}
    expect_finite(run, weights)
    meta = run.meta()
    folder = run.spec.model_dir / "snapshots" / folder_name(run.iteration, run.iterations_per_epoch)
    size_bytes = write_snapshot(folder, weights, run.state(), meta)
    forget_older_solver_states(folder)
    run.callbacks.on_snapshot(SnapshotInfo(meta.epoch, meta.iteration, folder, size_bytes, dict(meta.metrics)))
    run.callbacks.on_phase("training")


def stop(run: Run, snapshots: Interval, resumed_iteration: int) -> TrainResult:
    """Ends a run that was asked to stop; what has been learnt since the last snapshot is kept."""
    if run.iteration > resumed_iteration and not snapshots.is_due(run.iteration):
        snapshot(run)
    epoch = run.epoch_at(run.iteration)
    run.callbacks.log(f"Stopped at epoch {epoch:g}, iteration {run.iteration}")
    return TrainResult(True, epoch, run.iteration, {})


def finish(run: Run) -> TrainResult:
    """The accuracy of the trained model on every split, in float32."""
    if run.iteration < run.max_iter:
        run.callbacks.log(f"Nothing better for {run.spec.solver.patience} epochs: training ends early")
    run.callbacks.on_phase("evaluating")
    accuracy: dict[str, float] = {}
    for name in ("train", "val", "test"):
        if not has_split(run.spec.dataset_dir, name):
            continue
        opened = {"train": run.train_split, "val": run.val_split}.get(name)
        split = opened or open_split(run.spec.dataset_dir, name, run.spec.preprocessing, run.device)
        batches = in_order(split, run.spec.solver.test_batch_size)
        exact = Precision(torch.float32, run.device)
        evaluation = evaluate_net(run.test_net, batches, exact, len(run.spec.classes), run.callbacks.should_stop)
        if evaluation is None:
            return TrainResult(True, run.epoch_at(run.iteration), run.iteration, {})
        if evaluation.accuracy is not None:
            accuracy[name] = evaluation.accuracy
    run.callbacks.log("Accuracy: " + ", ".join(f"{name} {100 * value:.2f} %" for name, value in accuracy.items()))
    return TrainResult(False, run.epoch_at(run.iteration), run.iteration, accuracy)


def _info(run: Run) -> RunInfo:
    info = RunInfo(
        iterations_per_epoch=run.iterations_per_epoch,
        max_iter=run.max_iter,
        device=str(run.device),
        precision=run.precision.name,
        parameters=run.train_net.parameter_count(),
        resumed_iteration=run.iteration,
    )
    run.callbacks.log(
        f"{info.parameters:,} parameters, {run.train_split.count:,} images, {info.iterations_per_epoch:,} iterations "
        f"per epoch, {info.max_iter:,} in all, on {info.device} in {info.precision}"
    )
    return info
