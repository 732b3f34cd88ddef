"""Net → nn.Module: each layer built from the registry for the shapes of its bottoms, its weights filled.

How a single layer computes is in `layers/`, what a layer may overwrite in `steps.py`, which layers run as one in
`fusion.py`; what a prototxt means is in `app/topology`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from app.preprocessing import Preprocessing
from app.topology.errors import TopologyError
from app.topology.heads import LABEL_LOSSES, main_accuracy, main_loss
from app.topology.net import Layer, Net
from app.topology.shapes import infer
from worker.engine.errors import EngineError, layer_error
from worker.engine.fusion import fused
from worker.engine.layers import LayerModule, Shape, Site, build_layer
from worker.engine.steps import Step, allow_overwriting, net_steps

Observer = Callable[[Layer, tuple[Tensor, ...]], None]


@dataclass(frozen=True)
class Weight:
    """A parameter blob in its net: the tensor, and how the solver treats it."""

    value: Tensor
    learned: bool
    lr_mult: float
    decay_mult: float


@dataclass(frozen=True)
class NetResult:
    loss: Tensor | None  # the weighted sum of all losses; None in a net without one
    blobs: dict[str, Tensor]  # the net's outputs, and the blobs that were to be kept


class CompiledNet(nn.Module):
    """A net that runs. `weights` is ordered as Caffe orders blobs, keyed "<layer>.<blob>"."""

    def __init__(self, net: Net, steps: tuple[Step, ...], shapes: dict[str, Shape], kept: frozenset[str]) -> None:
        super().__init__()
        self.net = net
        self.steps = steps
        self.shapes = shapes
        self.kept = kept
        self.operations = fused(steps, kept)
        self.modules_in_order = nn.ModuleList(step.module for step in steps)

    def forward(self, *inputs: Tensor, observe: Observer | None = None) -> NetResult:
        """Runs the net on its inputs, in the order of `net.inputs`; layer by layer where somebody observes it."""
        blobs = dict(zip(self.net.inputs, inputs, strict=True))
        loss: Tensor | None = None
        for step in self.operations if observe is None else self.steps:
            tops = _as_tuple(step.compute(*[blobs[name] for name in step.bottoms]))
            for name, top, weight in zip(step.tops, tops, step.loss_weights, strict=True):
                blobs[name] = top
                if weight:
                    part = top.sum() * weight if top.dim() else top if weight == 1 else top * weight
                    loss = part if loss is None else loss + part
            if observe is not None:
                observe(step.module.layer, tops)
            for name in step.spent:
                blobs.pop(name, None)  # what lies between two fused layers was never there
        return NetResult(loss, {name: blobs[name] for name in blobs if name in self.kept})

    def weights(self) -> dict[str, Weight]:
        """Every parameter blob, also those that the solver leaves alone (running statistics)."""
        found: dict[str, Weight] = {}
        for step in self.steps:
            layer = step.module.layer
            for place, (name, blob) in enumerate(step.module.blobs.items()):
                spec = layer.options.param[place] if place < len(layer.options.param) else None
                lr_mult, decay_mult = (spec.lr_mult, spec.decay_mult) if spec else (1.0, 1.0)
                value = step.module.blob(name)
                found[f"{layer.name}.{name}"] = Weight(value, blob.learned, lr_mult, decay_mult)
        return found

    def parameter_count(self) -> int:
        """How many numbers are learned; shared ones count once."""
        learned = {id(weight.value): weight.value.numel() for weight in self.weights().values() if weight.learned}
        return sum(learned.values())


def compile_net(
    net: Net,
    shapes: Mapping[str, Shape],
    *,
    seed: int | None = 1,
    weights_of: CompiledNet | None = None,
    keep: Collection[str] = (),
) -> CompiledNet:
    """A net that runs on inputs of the given shapes (any batch size), its weights filled from `seed`.

    Without a seed the weights have no values yet and must be loaded (drawing VGG-16's takes seconds).
    With `weights_of` the weights of the same names are shared with that net: what one learns the other sees.
    Blobs in `keep` are given back beside the outputs. Raises EngineError, naming the layer.
    """
    try:
        inferred = infer(net, shapes)
    except TopologyError as error:
        raise EngineError(str(error)) from error
    known = {name: tuple(shapes[name]) for name in net.inputs}
    modules = []
    for info in inferred:
        bottoms = tuple(known[name] for name in info.bottoms)
        modules.append(build_layer(Site(info.layer, bottoms, net.phase)))
        known.update(zip(info.tops, info.top_shapes, strict=True))
    _give_weights(modules, seed, weights_of)
    kept = frozenset(net.outputs) | frozenset(keep)
    steps = net_steps(net, modules, kept)
    allow_overwriting(steps, kept)
    return CompiledNet(net, steps, known, kept)


def input_shapes(net: Net, preprocessing: Preprocessing, batch_size: int) -> dict[str, Shape]:
    """What a net is fed from a dataset of labelled images."""
    if not 1 <= len(net.inputs) <= 2:
        raise EngineError(f"expected a net fed with an image and a label, found inputs {', '.join(net.inputs)}")
    return dict(zip(net.inputs, ((batch_size, *preprocessing.input_shape), (batch_size,)), strict=False))


def scores_blob(net: Net) -> str | None:
    """The blob with one score per class: what the main accuracy looks at, else the main loss, else the answer."""
    judge = main_accuracy(net) or main_loss(net)
    if judge is not None:
        return judge.bottoms[0] if judge.type == "Accuracy" or judge.type in LABEL_LOSSES else None
    softmaxes = [layer for layer in net.layers if layer.type == "Softmax"]
    return softmaxes[-1].tops[0] if softmaxes else None


def _as_tuple(tops: Any) -> tuple[Tensor, ...]:
    return tops if isinstance(tops, tuple) else (tops,)


def _give_weights(modules: list[LayerModule], seed: int | None, weights_of: CompiledNet | None) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    theirs = {step.module.layer.name: step.module for step in weights_of.steps} if weights_of else {}
    named: dict[str, tuple[LayerModule, str]] = {}
    for module in modules:
        if generator is not None:
            module.fill_blobs(generator)
        for place, name in enumerate(module.blobs):
            spec = module.layer.options.param[place] if place < len(module.layer.options.param) else None
            source = theirs.get(module.layer.name)
            if source is not None and name in source.blobs:
                _share(module, name, source, name)
            elif spec is not None and spec.name:
                _share(module, name, *named.setdefault(spec.name, (module, name)))


def _share(module: LayerModule, name: str, owner: LayerModule, owner_name: str) -> None:
    mine, theirs = module.blob(name), owner.blob(owner_name)
    if mine.shape != theirs.shape:
        raise layer_error(
            module.layer,
            f"{name} has shape {tuple(mine.shape)}, but {owner.layer.name} shares {tuple(theirs.shape)}",
        )
    setattr(module, name, theirs)
