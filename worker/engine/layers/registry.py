"""The registry of layer types: one decorator, one table, and what every layer module shares.

A layer family is one file beside this one. A class decorated with `@layer("Type")` reads its options from the parsed
message once, declares its blobs in Caffe's order, and computes `forward(*bottoms)`; the next type is a small class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from app.topology.net import Layer, Phase
from worker.engine.errors import EngineError, layer_error
from worker.engine.fillers import fill

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """Where a layer stands in a net: its definition, the shapes of its bottoms, and the phase."""

    layer: Layer
    shapes: tuple[Shape, ...]
    phase: Phase

    @property
    def options(self) -> Any:  # the parsed LayerParameter
        return self.layer.options

    @property
    def shape(self) -> Shape:
        """The first bottom's shape."""
        return self.shapes[0]

    def fail(self, problem: str) -> EngineError:
        return layer_error(self.layer, problem)

    def axis(self, axis: int, bottom: int = 0, *, end: bool = False) -> int:
        """`axis` as a non-negative index into a bottom's shape; Caffe counts negative axes from the end.

        With `end` the axis may also be the one after the last.
        """
        dimensions = len(self.shapes[bottom])
        index = axis + dimensions + (1 if end else 0) if axis < 0 else axis
        if not 0 <= index < dimensions + (1 if end else 0):
            raise self.fail(f"axis {axis} is outside its bottom, which has {dimensions} axes")
        return index


@dataclass(frozen=True)
class Blob:
    """How one parameter blob of a layer starts and whether the solver moves it."""

    filler: Any = field(repr=False)  # a FillerParameter, or None for zeros
    learned: bool = True


class LayerModule(nn.Module):
    """What every layer has: its definition and its blobs, named and ordered as Caffe orders them."""

    inplace_possible = False  # True where `forward` honours `self.inplace`
    makes_fresh_output = False  # True where the output is a new tensor that no gradient needs: it may be overwritten

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.layer = site.layer
        self.phase = site.phase
        self.inplace = False
        self.blobs: dict[str, Blob] = {}

    def add_blob(self, name: str, shape: Shape, filler: Any = None, *, learned: bool = True) -> None:
        """Declares a parameter blob; call in Caffe's order."""
        value = torch.empty(shape, dtype=torch.float32)
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)
        self.blobs[name] = Blob(filler, learned)

    def blob(self, name: str) -> Tensor:
        value = getattr(self, name)
        assert isinstance(value, Tensor)
        return value

    @torch.no_grad()
    def fill_blobs(self, generator: torch.Generator) -> None:
        for name, blob in self.blobs.items():
            try:
                fill(self.blob(name), blob.filler, generator)
            except ValueError as error:
                raise layer_error(self.layer, f"{name}: {error}") from error


Class = TypeVar("Class", bound=type[LayerModule])

_LAYERS: dict[str, type[LayerModule]] = {}


def layer(*types: str) -> Callable[[Class], Class]:
    """Registers a module class for Caffe's layer types."""

    def register(module: Class) -> Class:
        for name in types:
            assert name not in _LAYERS, f"two modules for {name}"
            _LAYERS[name] = module
        return module

    return register


def build_layer(site: Site) -> LayerModule:
    """The module of one layer; raises EngineError for a type that is not in the registry."""
    module = _LAYERS.get(site.layer.type)
    if module is None:
        raise site.fail(f'unknown layer type "{site.layer.type}"; known are {", ".join(supported_types())}')
    return module(site)


def supported_types() -> tuple[str, ...]:
    return tuple(sorted(_LAYERS))


def exact(values: Tensor) -> Tensor:
    """The values in float32, or wider where they are wider already: for losses and statistics under autocast."""
    return values if values.dtype == torch.float64 else values.float()
