"""What a run measures on the way: sums on the device, looked at every few iterations, and only then."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from worker.engine.compile import NetResult
from worker.engine.errors import Diverged

if TYPE_CHECKING:
    from worker.engine.assemble import Run

LOGS_PER_EPOCH = 8
IMAGES_PER_LOG = 5000
LONGEST_SILENCE_S = 1.0
RATE_WINDOW_S = 2.0


class Logbook:
    """Training losses and outputs, each value the mean since the one before it; nothing in between goes unseen.

    A loss that is no number ends the run with `Diverged`: it stays in the sum, so it is found at the next look.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        solver = run.spec.solver
        self.images_per_step = solver.batch_size * solver.batch_accumulation
        self.every = max(1, min(run.iterations_per_epoch // LOGS_PER_EPOCH, IMAGES_PER_LOG // self.images_per_step))
        self.sums: dict[str, Tensor] = {}
        self.batches = self.steps = 0
        self.rate = 0.0
        self.is_first = True
        self.last_flush = time.monotonic()
        self.window = (self.last_flush, 0)  # began, images since

    @torch.no_grad()
    def add(self, result: NetResult) -> None:
        """Takes note of one batch."""
        assert result.loss is not None
        values = {name: blob for name, blob in result.blobs.items() if blob.numel() == 1 and blob.dim() <= 1}
        values["loss"] = result.loss
        for name, value in values.items():
            detached = value.detach().reshape(())
            self.sums[name] = self.sums[name] + detached if name in self.sums else detached.clone()
        self.batches += 1

    def step_done(self, rate: float) -> None:
        """Counts a step, and reports when it is time to."""
        self.steps += 1
        self.rate = rate
        is_due = self.is_first or self.steps >= self.every
        if is_due or time.monotonic() - self.last_flush >= LONGEST_SILENCE_S:
            self.is_first = False
            self.flush()

    def flush(self) -> None:
        """Reports what has gathered; raises Diverged."""
        if not self.steps:
            return
        totals = torch.stack([value.float() for value in self.sums.values()]).tolist()
        values = {f"train/{name}": total / self.batches for name, total in zip(self.sums, totals, strict=True)}
        expect_finite(self.run, values)
        images_per_s = self._images_per_s()
        iteration, epoch = self.run.iteration, self.run.epoch_at(self.run.iteration)
        self.sums, self.batches, self.steps = {}, 0, 0
        self.run.callbacks.on_metrics(iteration, epoch, values | {"learning_rate": self.rate})
        self.run.callbacks.on_progress(iteration, epoch, images_per_s)

    def restart_clock(self) -> None:
        """Leaves the time since the last report (a validation, a snapshot) out of the training speed."""
        self.last_flush = time.monotonic()
        self.window = (self.last_flush, 0)

    def _images_per_s(self) -> float:
        self.last_flush = time.monotonic()
        began, images = self.window
        images += self.steps * self.images_per_step
        elapsed_s = max(1e-9, self.last_flush - began)
        self.window = (self.last_flush, 0) if elapsed_s > RATE_WINDOW_S else (began, images)
        return images / elapsed_s


def expect_finite(run: Run, values: Mapping[str, float] | Mapping[str, Tensor]) -> None:
    """Raises Diverged, with advice, when a value is no finite number."""
    odd = [name for name, value in values.items() if not _is_finite(value)]
    if not odd:
        return
    epoch = run.epoch_at(run.iteration)
    raise Diverged(
        f"{odd[0]} is no finite number at epoch {epoch:.2f} (iteration {run.iteration}): training has diverged. "
        f"Try decreasing your learning rate ({run.spec.solver.base_lr:g}), clipping gradients, "
        "or scaling the images to small numbers."
    )


def _is_finite(value: float | Tensor) -> bool:
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value.sum()).item())
    return math.isfinite(value)
