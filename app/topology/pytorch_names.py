"""PyTorch's names of weights turned into ours: names and shapes in, pairs out.

PyTorch keeps a batch normalisation as one module (`weight`, `bias`, `running_mean`, `running_var`), Caffe as two
layers: BatchNorm (`mean`, `variance`, and a `factor` that both are divided by) and the Scale after it. `by_name` pairs
them where module and layer are called alike. `by_order` pairs the weights of the same net under other names: the
modules in the order that their names number them with the layers in the order of computation, where all shapes agree
to the end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.topology.check import input_shapes
from app.topology.deploy import deploy_net
from app.topology.fine_tuning import fits
from app.topology.fit import fit_source
from app.topology.layers import Shape, as_text
from app.topology.net import Layer, Net
from app.topology.shapes import LayerInfo, infer
from app.topology.text import Source, read

MEAN, VARIANCE, COUNT = "running_mean", "running_var", "num_batches_tracked"
STATISTICS = {MEAN: "mean", VARIANCE: "variance"}
FACTOR = "factor"


class OrderError(Exception):
    """The weights cannot be paired by their order; the text says where the two part."""


@dataclass(frozen=True)
class Renaming:
    """Our name of a weight → the file's; and ours that the file lacks because they are 1 in PyTorch."""

    names: Mapping[str, str] = field(default_factory=dict)
    ones: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Module:
    """What PyTorch keeps as one: a layer with weights, or a BatchNorm with the Scale after it."""

    name: str
    blobs: dict[str, str]  # PyTorch's name of a blob → the whole name of the weight
    shapes: dict[str, Shape]
    is_norm: bool
    ones: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        blob = MEAN if self.is_norm else "weight" if "weight" in self.shapes else next(iter(self.shapes))
        return f"{self.name} ({'batch normalisation' if self.is_norm else blob} {as_text(self.shapes[blob])})"


def by_name(text: str, given: Iterable[str], input_shape: Shape, classes: int) -> Renaming:
    """The pairs of batch normalisations whose module is called as the BatchNorm is; raises TopologyError."""
    sent = set(given)
    names: dict[str, str] = {}
    ones: set[str] = set()
    for module in our_modules(text, input_shape, classes):
        if not module.is_norm or f"{module.name}.{MEAN}" not in sent:
            continue
        pairs = {ours: f"{module.name}.{blob}" for blob, ours in module.blobs.items() if ours not in sent}
        names |= {ours: theirs for ours, theirs in pairs.items() if theirs in sent}
        ones.update(name for name in module.ones if name not in sent)
    return Renaming(names, frozenset(ones))


def by_order(text: str, given: Mapping[str, Shape], input_shape: Shape, classes: int) -> Renaming:
    """All weights of the net that predicts, paired; raises OrderError, TopologyError."""
    ours, theirs = our_modules(text, input_shape, classes), their_modules(given)
    for place, (mine, other) in enumerate(zip(ours, theirs, strict=False), start=1):
        if not _agree(mine, other):
            raise OrderError(
                f"The order does not fit: number {place} of the prototxt is {mine.title}, of the file {other.title}."
            )
    if len(ours) != len(theirs):
        raise OrderError(
            f"The order does not fit: the prototxt has {len(ours)} layers with weights (a BatchNorm and its Scale "
            f"count as one), the file {len(theirs)}."
        )
    pairs = zip(ours, theirs, strict=True)
    names = {name: other.blobs[blob] for mine, other in pairs for blob, name in mine.blobs.items()}
    return Renaming(names, frozenset(name for mine in ours for name in mine.ones))


def our_modules(text: str, input_shape: Shape, classes: int) -> list[Module]:
    """The layers with weights of the net that predicts, in the order of computation, as PyTorch would group them.

    Where two branches are added the longer one comes first, as PyTorch's residual blocks define their shortcut last.
    """
    source: Source = fit_source(read(text), classes)
    net = deploy_net(source)
    infos = {info.name: info for info in infer(net, input_shapes(source, net, (1, *input_shape)))}
    scales = _scales(net)
    taken = set(scales.values())
    found = []
    for layer in _in_order(net):
        info = infos[layer.name]
        if info.weights and layer.name not in taken:
            scale = scales.get(layer.name)
            found.append(_norm(info, infos[scale] if scale else None) if layer.type == "BatchNorm" else _plain(info))
    return found


def their_modules(given: Mapping[str, Shape]) -> list[Module]:
    """The modules of a PyTorch state, in the order of their names: see `_key`."""
    grouped: dict[str, dict[str, Shape]] = {}
    for name, shape in given.items():
        module, _, blob = name.rpartition(".")
        if blob != COUNT:
            grouped.setdefault(module, {})[blob] = tuple(shape)
    modules = [
        Module(name, {blob: f"{name}.{blob}" for blob in shapes}, shapes, is_norm=MEAN in shapes)
        for name, shapes in grouped.items()
    ]
    with_images = {part for module in modules if _sees_images(module) for part in _prefixes(module.name)}
    return sorted(modules, key=lambda module: _key(module, with_images))


def _agree(mine: Module, other: Module) -> bool:
    same_blobs = mine.is_norm == other.is_norm and mine.shapes.keys() == other.shapes.keys()
    return same_blobs and all(fits(other.shapes[blob], shape) for blob, shape in mine.shapes.items())


def _plain(info: LayerInfo) -> Module:
    blobs = {name.rpartition(".")[2]: name for name in info.weights}
    return Module(info.name, blobs, {blob: info.weights[name] for blob, name in blobs.items()}, is_norm=False)


def _norm(info: LayerInfo, scale: LayerInfo | None) -> Module:
    own = {theirs: f"{info.name}.{ours}" for theirs, ours in STATISTICS.items()}
    shapes = {theirs: info.weights[name] for theirs, name in own.items()}
    if scale is not None:
        more = _plain(scale)
        own, shapes = own | more.blobs, shapes | more.shapes
    return Module(info.name, own, shapes, is_norm=True, ones=(f"{info.name}.{FACTOR}",))


def _scales(net: Net) -> dict[str, str]:
    """BatchNorm → the learned Scale that alone reads what it makes."""
    made: dict[str, str] = {}  # blob → the BatchNorm that made it last
    found: dict[str, str] = {}
    for layer in net.layers:
        norms = [made[blob] for blob in layer.bottoms if blob in made]
        if layer.type == "Scale" and len(layer.bottoms) == 1 and norms:
            found.setdefault(norms[0], layer.name)
        for top in layer.tops:
            made.pop(top, None)
        if layer.type == "BatchNorm":
            made[layer.tops[0]] = layer.name
    return found


def _in_order(net: Net) -> list[Layer]:
    """Every layer after those that it reads, branch by branch, the longer one of a sum first."""
    makers: dict[str, int] = {}
    reads: list[list[int]] = []
    depths: list[int] = []
    for place, layer in enumerate(net.layers):
        read_from = [makers[blob] for blob in layer.bottoms if blob in makers]
        depths.append(1 + max((depths[other] for other in read_from), default=0))
        if layer.type == "Eltwise":
            read_from.sort(key=lambda other: -depths[other])
        reads.append(read_from)
        makers.update(dict.fromkeys(layer.tops, place))
    ordered: list[Layer] = []
    done: set[int] = set()
    stack = [(makers[blob], False) for blob in reversed(net.outputs)]
    while stack:
        place, is_ready = stack.pop()
        if place in done:
            continue
        if is_ready:
            done.add(place)
            ordered.append(net.layers[place])
        else:
            stack += [(place, True), *((other, False) for other in reversed(reads[place]))]
    return ordered


def _sees_images(module: Module) -> bool:
    return any(len(shape) == 4 for shape in module.shapes.values())


def _prefixes(name: str) -> Sequence[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _key(module: Module, with_images: set[str]) -> tuple[tuple[float, int, str], ...]:
    """By the numbers in the names, part by part: layer1.0.conv1, layer1.0.bn1, layer1.0.conv2, … layer2, … fc.

    Of one number a convolution comes before a norm, and both before a group of modules; what has no number comes last,
    convolutions and groups of them before the others.
    """
    prefixes = _prefixes(module.name)
    parts = []
    for prefix in prefixes:
        number = re.fullmatch(r"\D*(\d+)", prefix.rpartition(".")[2])
        is_leaf = prefix == module.name
        rank = (0 if not module.is_norm else 1) if is_leaf else 2
        if prefix not in with_images and not (is_leaf and module.is_norm):
            rank += 3
        parts.append((int(number.group(1)) if number else math.inf, rank, prefix))
    return tuple(parts)
