"""The downloaded `model.py`: a trained net as plain PyTorch that anybody can read, run and go on with.

It needs torch and safetensors, and nothing of Trainyard. How a picture becomes its input is in `predict.py` beside it.
"""

from __future__ import annotations

import keyword
import re

from app.export.python_lines import expression
from app.export.trained_net import TrainedNet


def model_source(trained: TrainedNet) -> str:
    """The text of model.py; raises ExportError, naming the layer that cannot be written."""
    return _TEMPLATE.format(
        name=repr(trained.net.name or "net"),
        shape=repr(trained.preprocessing.input_shape),
        statistics=repr(_statistics(trained)),
        lines="\n".join(f"    {line}" for line in _forward_lines(trained)),
    )


def _forward_lines(trained: TrainedNet) -> list[str]:
    names = _Names()
    lines = [f"{names.of(trained.net.inputs[0])} = images"]
    for site in trained.sites:
        line = expression(site, [names.of(blob) for blob in site.layer.bottoms])
        tops = ", ".join(names.of(blob) for blob in site.layer.tops)
        lines.append(f"{tops} = {line}  # {site.layer.name!r}")
    return [*lines, f"return {names.of(trained.net.outputs[0])}.flatten(1)"]


def _statistics(trained: TrainedNet) -> list[str]:
    """Weights that are counted, not learned."""
    sites = (site for site in trained.sites if site.layer.type == "BatchNorm")
    return [f"{site.layer.name}.{blob}" for site in sites for blob in site.weights]


class _Names:
    """Blobs as Python names, each of its own."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def of(self, blob: str) -> str:
        if blob not in self._taken:
            plain = re.sub(r"\W", "_", blob, flags=re.ASCII).strip("_") or "blob"
            plain = f"blob_{plain}" if plain[0].isdigit() or keyword.iskeyword(plain) or plain in _RESERVED else plain
            name, number = plain, 2
            while name in self._taken.values():
                name, number = f"{plain}_{number}", number + 1
            self._taken[blob] = name
        return self._taken[blob]


_RESERVED = frozenset({"w", "images", "torch", "F", "functools", "float"})

_TEMPLATE = '''"""A trained net in plain PyTorch, written by Trainyard. Needs torch and safetensors.

    from model import Net
    probabilities = Net.load()(images)  # images: (N, C, H, W) as predict.py prepares them

`forward` is the net itself; `Net` makes a module of it, to be trained on or exported.
"""

import functools  # noqa: F401
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

NAME = {name}
INPUT = {shape}  # C, H, W; colours in the order blue, green, red
STATISTICS = frozenset({statistics})  # of BatchNorm: not learned


class Net(torch.nn.Module):
    """Probabilities (N, classes) from prepared images (N, C, H, W)."""

    def __init__(self, weights):
        super().__init__()
        self.names = list(weights)
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(value, requires_grad=name not in STATISTICS) for name, value in weights.items()
        )

    @classmethod
    def load(cls, path=Path(__file__).parent / "weights.safetensors"):
        return cls(load_file(path))

    def forward(self, images):
        return forward(dict(zip(self.names, self.weights)), images)


def forward(w, images):
    """Probabilities (N, classes) from prepared images (N, C, H, W) and the dictionary of weights."""
{lines}
'''
