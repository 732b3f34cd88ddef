"""When something that happens every so many epochs is due."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Every `epochs` (which may be a fraction), and at the end; 0 stands for at the end only.

    Each is due at the first iteration that reaches its multiple, so that intervals keep in step with epochs.
    """

    epochs: float
    iterations_per_epoch: int
    max_iter: int

    def is_due(self, iteration: int) -> bool:
        """Whether it is due after `iteration` steps; 0 counts as a multiple."""
        if iteration >= self.max_iter:
            return True
        if self.epochs <= 0:
            return False
        return iteration == 0 or self._multiples(iteration) > self._multiples(iteration - 1)

    def _multiples(self, iteration: int) -> int:
        # A hair is added because 0.1 · 10 epochs must count as one.
        return int(iteration / (self.epochs * self.iterations_per_epoch) + 1e-9)
