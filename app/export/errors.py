"""Why a net cannot be written in some form."""

from __future__ import annotations

from app.topology.net import Layer


class ExportError(Exception):
    """The net cannot be written in this form; the text says which layer or weight is in the way, and why."""


def layer_error(layer: Layer, problem: str) -> ExportError:
    where = f" (line {layer.line})" if layer.line else ""
    return ExportError(f"{layer.name}{where}: {problem}")
