"""The engine's own errors: what a run records as its reason. A message says what was expected, found, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.topology.net import Layer


class EngineError(Exception):
    """A net, snapshot or dataset that cannot be run as asked; the message is meant for a person."""


class Diverged(EngineError):
    """The loss is no number any more; the message holds advice."""


def layer_error(layer: Layer, problem: str) -> EngineError:
    """An error at a layer: `conv2 (line 42): kernel_size 11 exceeds …`."""
    return EngineError(f"{layer.name} (line {layer.line}): {problem}")
