"""Caffe's solvers: from gradients to new weights. One function per rule; formulas are in their docstrings.

g is the gradient (mean over the batch, clipped, with the weight decay added), r the learning rate times the blob's
lr_mult, w a weight, h and m what the solver remembers. Schedules of the learning rate are in `app/solver/lr_policy`.

Caffe keeps the learning rate inside the momentum (V = μV + r·g; w = w - V), PyTorch outside (U = μU + g; w = w - r·U).
With a rate that changes the two differ. Here it is Caffe's rule, computed by PyTorch's fused kernel: V = r·U, so each
step's μ is multiplied by the last rate over this one.

Differences from Caffe: the gradient is the mean over batch accumulation before it is clipped (Caffe clips the sum), so
that two batches of 32 are the same as one of 64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from app.solver.spec import SolverSpec
from worker.engine.compile import Weight
from worker.engine.errors import EngineError


class Group:
    """Weights that are treated alike, and one history list per thing that the rule remembers.

    The rules get everything flat, in the order in which it lies in memory: the fused kernels copy what has another
    layout than the default one, and convolutions keep their weights with the channels last.
    """

    def __init__(self, weights: Mapping[str, Tensor], lr_mult: float, decay_mult: float, remembered: int) -> None:
        self.keys, self.weights = tuple(weights), list(weights.values())
        self.lr_mult, self.decay_mult = lr_mult, decay_mult
        self.kept = tuple([torch.zeros_like(weight) for weight in self.weights] for _ in range(remembered))
        self.values = [_flat(weight) for weight in self.weights]
        self.history = tuple([_flat(kept) for kept in one] for one in self.kept)

    def gradients(self) -> list[Tensor]:
        """One flat gradient per weight; zeros for a weight that no loss reaches: it still decays."""
        return [_flat_gradient(weight) for weight in self.weights]


class Solver:
    """Holds the history of every weight that is learned, and moves them all with `step`."""

    def __init__(self, spec: SolverSpec, weights: Mapping[str, Weight]) -> None:
        if spec.solver_type not in _RULES:
            raise EngineError(f'expected solver type {", ".join(_RULES)}, found "{spec.solver_type}"')
        if spec.regularization_type not in ("L1", "L2"):
            raise EngineError(f'expected regularization type L1 or L2, found "{spec.regularization_type}"')
        self.spec = spec
        self.rule, remembered = _RULES[spec.solver_type]
        self.groups = _groups(weights, remembered)
        self.steps_done = 0
        self.last_rate = 0.0  # before lr_mult; needed by the rules with momentum

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update from the gradients that are in the weights; afterwards they have none."""
        gradients = [group.gradients() for group in self.groups]
        if self.spec.clip_gradients > 0:
            _clip([gradient for group in gradients for gradient in group], self.spec.clip_gradients)
        for group, found in zip(self.groups, gradients, strict=True):
            decay = self.spec.weight_decay * group.decay_mult
            if decay and self.spec.regularization_type == "L1":
                torch._foreach_add_(found, torch._foreach_sign(group.values), alpha=decay)
                decay = 0.0
            self.rule(Update(self, group, found, rate * group.lr_mult, decay, rate))
        if rate:
            self.last_rate = rate
        self.steps_done += 1
        for group in self.groups:
            for weight in group.weights:
                weight.grad = None

    def state(self) -> dict[str, Any]:
        history = {
            key: [values[place] for values in group.kept]
            for group in self.groups
            for place, key in enumerate(group.keys)
        }
        return {
            "solver_type": str(self.spec.solver_type),
            "steps_done": self.steps_done,
            "last_rate": self.last_rate,
            "history": history,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues where `state` was taken; raises EngineError when it belongs to other weights."""
        if state["solver_type"] != self.spec.solver_type:
            raise EngineError(f"expected the state of solver {self.spec.solver_type}, found {state['solver_type']}")
        mine = {key for group in self.groups for key in group.keys}
        if mine != set(state["history"]):
            odd = ", ".join(sorted(mine ^ set(state["history"])))
            raise EngineError(f"the solver's state belongs to other weights; it differs in {odd}")
        for group in self.groups:
            for place, key in enumerate(group.keys):
                for values, saved in zip(group.kept, state["history"][key], strict=True):
                    values[place].copy_(saved)
        self.steps_done, self.last_rate = int(state["steps_done"]), float(state["last_rate"])


@dataclass(frozen=True)
class Update:
    """One group's step: what a rule is given."""

    solver: Solver
    group: Group
    gradients: list[Tensor]
    rate: float
    decay: float  # L2, still to be added
    base_rate: float

    @property
    def spec(self) -> SolverSpec:
        return self.solver.spec

    def decayed(self) -> list[Tensor]:
        """The gradients with the weight decay added, in place."""
        if self.decay:
            torch._foreach_add_(self.gradients, self.group.values, alpha=self.decay)
        return self.gradients


def _sgd(update: Update) -> None:
    """V = μV + r·g; w = w - V."""
    momentum, last, (kept,) = update.spec.momentum, update.solver.last_rate, update.group.history
    if update.base_rate == 0:  # U = V / r is undefined: move by what is left of the momentum
        torch._foreach_mul_(kept, momentum)
        torch._foreach_add_(update.group.values, kept, alpha=-last * update.group.lr_mult)
        return
    sgd(
        update.group.values,
        update.gradients,
        list(kept),
        fused=True,
        weight_decay=update.decay,
        momentum=momentum * (last / update.base_rate if last else 1.0),
        lr=update.rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )


def _nesterov(update: Update) -> None:
    """V' = μV + r·g; w = w - ((1 + μ)V' - μV), which is w - (r·g + μV')."""
    gradients, momentum, (kept,) = update.decayed(), update.spec.momentum, update.group.history
    torch._foreach_mul_(kept, momentum)
    torch._foreach_add_(kept, gradients, alpha=update.rate)
    torch._foreach_add_(update.group.values, gradients, alpha=-update.rate)
    torch._foreach_add_(update.group.values, kept, alpha=-momentum)


def _adagrad(update: Update) -> None:
    """h = h + g²; w = w - r·g / (√h + δ)."""
    gradients, (squares,) = update.decayed(), update.group.history
    torch._foreach_addcmul_(squares, gradients, gradients)
    _step_by_root(update, gradients, squares)


def _rmsprop(update: Update) -> None:
    """h = ρh + (1 - ρ)g², ρ the rms_decay; w = w - r·g / (√h + δ)."""
    gradients, decay, (squares,) = update.decayed(), update.spec.rms_decay, update.group.history
    torch._foreach_mul_(squares, decay)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - decay)
    _step_by_root(update, gradients, squares)


def _step_by_root(update: Update, gradients: list[Tensor], squares: list[Tensor]) -> None:
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, update.spec.delta)
    torch._foreach_addcdiv_(update.group.values, gradients, roots, -update.rate)


def _adadelta(update: Update) -> None:
    """h = μh + (1 - μ)g²; d = g·√((m + δ) / (h + δ)); m = μm + (1 - μ)d²; w = w - r·d."""
    gradients, spec, (squares, moves) = update.decayed(), update.spec, update.group.history
    torch._foreach_mul_(squares, spec.momentum)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - spec.momentum)
    ratio = torch._foreach_div(torch._foreach_add(moves, spec.delta), torch._foreach_add(squares, spec.delta))
    torch._foreach_sqrt_(ratio)
    torch._foreach_mul_(ratio, gradients)
    torch._foreach_mul_(moves, spec.momentum)
    torch._foreach_addcmul_(moves, ratio, ratio, 1 - spec.momentum)
    torch._foreach_add_(update.group.values, ratio, alpha=-update.rate)


def _adam(update: Update) -> None:
    """m = μm + (1 - μ)g; h = μ₂h + (1 - μ₂)g²; w = w - r·√(1 - μ₂ᵗ)/(1 - μᵗ) · m / (√h + δ)."""
    _fused_adam(update, decoupled=False)


def _adamw(update: Update) -> None:
    """Adam, with the weight decay λ beside the gradient instead of within it: w = w - r·λ·w first."""
    _fused_adam(update, decoupled=True)


def _fused_adam(update: Update, *, decoupled: bool) -> None:
    spec, (means, squares) = update.spec, update.group.history
    done = update.solver.steps_done
    steps = [torch.full((), float(done), device=value.device) for value in update.group.values]
    # PyTorch divides √h by √(1 - μ₂ᵗ) before it adds epsilon; Caffe adds δ first.
    epsilon = spec.delta / (1 - spec.momentum2 ** (done + 1)) ** 0.5
    adam(
        update.group.values,
        update.gradients,
        list(means),
        list(squares),
        [],
        steps,
        fused=True,
        decoupled_weight_decay=decoupled,
        amsgrad=False,
        beta1=spec.momentum,
        beta2=spec.momentum2,
        lr=update.rate,
        weight_decay=update.decay,
        eps=epsilon,
        maximize=False,
    )


Rule = Callable[[Update], None]

_RULES: dict[str, tuple[Rule, int]] = {  # the rule, and how many things it remembers per weight
    "SGD": (_sgd, 1),
    "Nesterov": (_nesterov, 1),
    "AdaGrad": (_adagrad, 1),
    "RMSProp": (_rmsprop, 1),
    "AdaDelta": (_adadelta, 2),
    "Adam": (_adam, 2),
    "AdamW": (_adamw, 2),
}


def supported_solvers() -> tuple[str, ...]:
    return tuple(_RULES)


def _groups(weights: Mapping[str, Weight], remembered: int) -> list[Group]:
    """Learned weights by multipliers; frozen ones (lr_mult 0) lose their gradient, shared ones are moved once."""
    found: dict[tuple[float, float], dict[str, Tensor]] = {}
    seen: set[int] = set()
    for key, weight in weights.items():
        if id(weight.value) in seen or not weight.learned:
            continue
        seen.add(id(weight.value))
        weight.value.requires_grad_(weight.lr_mult != 0)
        if weight.lr_mult != 0:
            found.setdefault((weight.lr_mult, weight.decay_mult), {})[key] = weight.value
    return [Group(values, *multipliers, remembered) for multipliers, values in found.items()]


def _flat(values: Tensor) -> Tensor:
    """A view of all values, in the order in which they lie in memory."""
    return values.detach().as_strided((values.numel(),), (1,))


def _flat_gradient(weight: Tensor) -> Tensor:
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    gradient = weight.grad
    sides = zip(weight.shape, weight.stride(), gradient.stride(), strict=True)
    lies_alike = all(size == 1 or own == other for size, own, other in sides)
    return _flat(gradient if lies_alike else torch.empty_like(weight).copy_(gradient))


def _clip(gradients: list[Tensor], largest: float) -> None:
    """Scales all gradients alike where their common L2 norm is above `largest`."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    factor = torch.where(norm > largest, largest / norm, torch.ones_like(norm))
    torch._foreach_mul_(gradients, factor)
