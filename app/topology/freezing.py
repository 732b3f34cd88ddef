"""Training only what is new: layers whose weights were all loaded are frozen, and the text itself says so.

A frozen layer has `lr_mult: 0` and `decay_mult: 0` for each of its weights, which stops Caffe and the engine here
alike, and spares both the gradients below the first layer that learns. A frozen BatchNorm uses the statistics that were
loaded (`use_global_stats: true`), unless a layer below it learns: then its input changes, and what was counted before
would not describe it any more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum

from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.blocks import TOKEN
from app.topology.check import input_shapes
from app.topology.fit import fit_source, opening_of, printed
from app.topology.layers import Shape, layer_type
from app.topology.net import Layer, Net, Phase
from app.topology.shapes import trace
from app.topology.text import Source, SourceLayer, read, read_leniently
from app.topology.wiring import wire

GLOBAL = "use_global_stats"
Edit = tuple[int, int, str]  # from, to, and what stands there instead


class Learning(StrEnum):
    """What becomes of a weight in training."""

    LEARNS = "learns"
    FROZEN = "frozen"
    COUNTED = "counted"  # statistics that follow the batches
    KEPT = "kept"  # statistics that stay as they are


def learning(text: str, input_shape: Shape, classes: int) -> dict[str, Learning]:
    """What training does to every weight of a text, as far as it can be told; `input_shape` is (C, H, W)."""
    source, _ = read_leniently(text)
    if source is None:
        return {}
    source = fit_source(source, classes)
    net = wire(source, Phase.TRAIN).net
    shapes, _ = trace(net, input_shapes(source, net, (1, *input_shape)))
    return {name: _of_weight(info.layer, place) for info in shapes for place, name in enumerate(info.weights)}


def freeze(text: str, loaded: Mapping[str, int]) -> str:
    """The text with these layers frozen; they are given with the number of their weights.

    Layers that share weights with one that learns learn with it. Raises TopologyError for a text that cannot be read.
    """
    source = read(text)
    wired = wire(source, Phase.TRAIN)
    frozen = _frozen(wired.net, loaded)
    norms = _steady_norms(wired.net, frozen)
    changed: dict[int, caffe_pb2.LayerParameter] = {}  # by the layer's place in the text
    for layer, origin in zip(wired.net.layers, wired.origins, strict=True):
        if layer.name in norms:
            changed[origin.start] = _with_stored_statistics(layer)
        elif layer.name in frozen and layer.type != "BatchNorm":
            changed[origin.start] = _without_learning(layer, loaded[layer.name])
    wanted = replace(source, layers=tuple(_changed(layer, changed) for layer in source.layers))
    if source.has_lists or source.has_old_form:
        return printed(wanted)
    edited = _edited(source, changed)
    same, _ = read_leniently(edited)
    is_same = same is not None and [a.options for a in same.layers] == [b.options for b in wanted.layers]
    return edited if is_same else printed(wanted)


def _of_weight(layer: Layer, place: int) -> Learning:
    if layer.type == "BatchNorm":
        return Learning.KEPT if layer.options.batch_norm_param.use_global_stats else Learning.COUNTED
    params = layer.options.param
    is_frozen = place < len(params) and params[place].lr_mult == 0
    return Learning.FROZEN if is_frozen else Learning.LEARNS


def _frozen(net: Net, loaded: Collection[str]) -> set[str]:
    """The loaded layers, but for those that share weights with a layer that learns: Caffe wants one rate for both."""
    frozen = {layer.name for layer in net.layers if layer.name in loaded}
    while True:
        learned = {name for layer in net.layers if layer.name not in frozen for name in _shared(layer)}
        held = {layer.name for layer in net.layers if layer.name in frozen and not learned.isdisjoint(_shared(layer))}
        if not held:
            return frozen
        frozen -= held


def _shared(layer: Layer) -> set[str]:
    return {param.name for param in layer.options.param if param.name}


def _steady_norms(net: Net, frozen: Collection[str]) -> set[str]:
    """The frozen BatchNorms below which nothing learns."""
    steady, moving = set(), set[str]()
    for layer in net.layers:
        kind = layer_type(layer.type)
        learns = kind is not None and kind.has_weights and layer.name not in frozen
        moves = learns or not moving.isdisjoint(layer.bottoms)
        if layer.type == "BatchNorm" and not moves:
            steady.add(layer.name)
        moving = moving.union(layer.tops) if moves else moving.difference(layer.tops)
    return steady


def _with_stored_statistics(layer: Layer) -> caffe_pb2.LayerParameter:
    options = caffe_pb2.LayerParameter()
    options.CopyFrom(layer.options)
    options.batch_norm_param.use_global_stats = True
    return options


def _without_learning(layer: Layer, count: int) -> caffe_pb2.LayerParameter:
    options = caffe_pb2.LayerParameter()
    options.CopyFrom(layer.options)
    while len(options.param) < count:
        options.param.add()
    for param in options.param:
        param.lr_mult = param.decay_mult = 0
    return options


def _changed(layer: SourceLayer, changed: Mapping[int, caffe_pb2.LayerParameter]) -> SourceLayer:
    options = changed.get(layer.start) if layer.block else None
    return layer if options is None else replace(layer, options=options)


def _edited(source: Source, changed: Mapping[int, caffe_pb2.LayerParameter]) -> str:
    """The same done to the text, so that its comments and its order stay."""
    edits: list[Edit] = []
    for layer in source.layers:
        if layer.block is None or layer.start not in changed:
            continue
        is_norm = layer.options.type == "BatchNorm"
        start, end, options = layer.block.body, layer.block.end, changed[layer.start]
        edits += _norm_edits(source.text, start, end) if is_norm else _param_edits(source.text, start, end, options)
    text = source.text
    for start, end, words in sorted(edits, reverse=True):
        text = text[:start] + words + text[end:]
    return text


def _norm_edits(text: str, start: int, end: int) -> list[Edit]:
    at = opening_of("batch_norm_param", text, start, end)
    words = f"{GLOBAL}: true"
    if at is None:
        return [_added(text, start, end, f"batch_norm_param {{ {words} }}")]
    if given := re.compile(rf"\b{GLOBAL}\s*:\s*\w+").search(text, at, end):
        return [(given.start(), given.end(), words)]
    return [(at, at, f" {words} ")]


def _param_edits(text: str, start: int, end: int, options: caffe_pb2.LayerParameter) -> list[Edit]:
    """All param { } where the first one stands, else before the layer's options."""
    words = "  ".join(_param_words(param) for param in options.param)
    given = [(first, last) for name, first, last in _messages(text, start, end) if name == "param"]
    if not given:
        return [_added(text, start, end, words)]
    return [(*given[0], words), *(_removed(text, *span) for span in given[1:])]


def _param_words(param: caffe_pb2.ParamSpec) -> str:
    kept = caffe_pb2.ParamSpec()
    kept.CopyFrom(param)
    kept.ClearField("lr_mult")
    kept.ClearField("decay_mult")
    others = text_format.MessageToString(kept, as_utf8=True, as_one_line=True)
    return "param { " + (f"{others}  " if others else "") + "lr_mult: 0  decay_mult: 0 }"


def _messages(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """(name, from, to) of every field within that is a message or a list, with the separator behind it."""
    name, name_at, depth = "", start, 0
    for match in TOKEN.finditer(text, start, end):
        token = match.group()
        if token in "{<[":
            depth += 1
        elif token in "}>]":
            depth -= 1
            if depth == 0:
                separator = re.compile(r"\s*[,;]").match(text, match.end(), end)
                yield name, name_at, separator.end() if separator else match.end()
        elif depth == 0 and token[0] not in "#:,;":
            name, name_at = token, match.start()


def _added(text: str, start: int, end: int, words: str) -> Edit:
    """A new field: before the layer's options where it has some, else at its end."""
    options = (first for name, first, _last in _messages(text, start, end) if name.endswith("_param"))
    at = next(options, end)
    line_start = text.rfind("\n", 0, at) + 1
    indent = text[line_start:at]
    if indent.strip():
        return at, at, f"{words}  " if at < end else f" {words} "
    return (at, at, f"{words}\n{indent}") if at < end else (line_start, line_start, f"{indent}  {words}\n")


def _removed(text: str, start: int, end: int) -> Edit:
    """A field taken out, with its line where it has one of its own."""
    line_start = text.rfind("\n", 0, start) + 1
    if not text[line_start:start].strip() and (rest := re.compile(r"[ \t]*\n").match(text, end)):
        return line_start, rest.end(), ""
    return len(text[:start].rstrip(" \t")), end, ""
