"""Fitting a net to a dataset: its classifiers get as many outputs as there are classes (the rules of DIGITS).

- An InnerProduct without num_output gets the number of classes; so does a Convolution without one, if no layer with
  weights of that kind comes after it (SqueezeNet and NIN classify by convolution).
- An Accuracy whose top_k is more than the number of classes is left out.
"""

from __future__ import annotations

import re
from dataclasses import replace

from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.blocks import TOKEN
from app.topology.text import Source, SourceLayer, read

PARAMS = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}


def fit(text: str, classes: int) -> str:
    """The text with its blank classifiers filled in. Raises TopologyError if it cannot be read."""
    source = read(text)
    blank, dropped = blank_classifiers(source), too_wide_accuracies(source, classes)
    if not blank and not dropped:
        return source.text
    if source.has_lists:
        return printed(fit_source(source, classes))
    edits = [_filled(source, layer, classes) for layer in blank] + [_removed(source, layer) for layer in dropped]
    text = source.text
    for start, end, words in sorted(edits, reverse=True):
        text = text[:start] + words + text[end:]
    return text


def fit_source(source: Source, classes: int) -> Source:
    """The same for a text that has been read: places in the text stay as they are."""
    blank = {id(layer) for layer in blank_classifiers(source)}
    dropped = {id(layer) for layer in too_wide_accuracies(source, classes)}
    layers = []
    for layer in source.layers:
        if id(layer) in blank:
            options = caffe_pb2.LayerParameter()
            options.CopyFrom(layer.options)
            getattr(options, PARAMS[options.type]).num_output = classes
            layers.append(replace(layer, options=options))
        elif id(layer) not in dropped:
            layers.append(layer)
    return replace(source, layers=tuple(layers))


def blank_classifiers(source: Source) -> list[SourceLayer]:
    """The layers whose num_output is left to the dataset."""
    return [
        layer
        for layer, is_last in _with_outputs(source)
        if not getattr(layer.options, PARAMS[layer.options.type]).HasField("num_output")
        and (is_last or layer.options.type == "InnerProduct")
    ]


def classifiers(source: Source) -> list[SourceLayer]:
    """The layers that make the scores of a head: no Convolution or InnerProduct comes after them."""
    return [layer for layer, is_last in _with_outputs(source) if is_last]


def _with_outputs(source: Source) -> list[tuple[SourceLayer, bool]]:
    """Every Convolution and InnerProduct, and whether no other can be reached from it."""
    found = []
    followed: set[str] = set()  # blobs from which a Convolution or InnerProduct can be reached
    for layer in reversed(source.layers):
        options = layer.options
        leads_on = any(top in followed for top in options.top)
        if options.type in PARAMS:
            found.append((layer, not leads_on))
            leads_on = True
        if leads_on:
            followed.update(options.bottom)
    return found[::-1]


def too_wide_accuracies(source: Source, classes: int) -> list[SourceLayer]:
    """The Accuracy layers that ask for more best classes than there are."""
    accuracies = (layer for layer in source.layers if layer.options.type == "Accuracy")
    return [layer for layer in accuracies if layer.options.accuracy_param.top_k > classes]


def printed(source: Source) -> str:
    """The text anew, in today's form."""
    message = caffe_pb2.NetParameter(layer=[layer.options for layer in source.layers])
    if source.name:
        message.name = source.name
    return str(text_format.MessageToString(message, as_utf8=True))


def _filled(source: Source, layer: SourceLayer, classes: int) -> tuple[int, int, str]:
    assert layer.block is not None
    param = PARAMS[layer.options.type]
    words = f"num_output: {classes}"
    at = opening_of(param, source.text, layer.block.body, layer.block.end)
    if at is None:
        return layer.block.end, layer.block.end, f" {param} {{ {words} }} "
    if rest := re.match(r"[ \t]*\n([ \t]*)", source.text[at:]):
        return at, at, f"\n{rest.group(1)}{words}"
    return at, at, f" {words}"


def opening_of(field: str, text: str, start: int, end: int) -> int | None:
    """Where the message `field { … }` begins inside its bracket."""
    name, depth = "", 0
    for match in TOKEN.finditer(text, start, end):
        token = match.group()
        if token in "{<[":
            if name == field and depth == 0:
                return match.end()
            depth += 1
        elif token in "}>]":
            depth -= 1
        elif token[0] not in "#:,;":
            name = token
    return None


def _removed(source: Source, layer: SourceLayer) -> tuple[int, int, str]:
    assert layer.block is not None
    start, end = layer.block.start, layer.block.end + 1
    line_start = source.text.rfind("\n", 0, start) + 1
    if not source.text[line_start:start].strip() and (rest := re.match(r"[ \t]*[,;]?[ \t]*\n", source.text[end:])):
        return line_start, end + rest.end(), ""
    return start, end, ""
