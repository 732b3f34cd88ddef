"""prototxt → Source: the text read by protobuf, upgraded to today's form, every layer with its place in the text.

What a layer type means and which blobs fit together is not judged here (`wiring.py`, `layers/`). Reading is bounded:
a text that is too long is refused before protobuf sees it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.blocks import Block, Blocks, find_blocks
from app.topology.errors import Issue, TopologyError, shorten
from app.topology.layers import suggest_type
from app.topology.net import Net, Phase
from app.topology.syntax import syntax_issue
from app.topology.upgrade import input_layers, modernized, upgraded_layer
from app.topology.wiring import wire

MOST_CHARACTERS = 1_000_000
MOST_TOKENS = 60_000  # protobuf reads some 150,000 a second; ResNet-152 has 25,000
MOST_LAYERS = 1_500
MOST_ISSUES = 100
LONGEST_NAME = 200
MOST_BLOBS = 1_000  # that one layer reads or makes
_LONGEST_CACHED_BODY = 4_000


@dataclass(frozen=True)
class SourceLayer:
    """One layer of the text, of whatever phase; `options` is shared between readings and must not be changed."""

    options: caffe_pb2.LayerParameter
    line: int
    column: int
    block: Block | None = None  # none for the Input layers that an input: header stands for

    @property
    def start(self) -> int:
        """Where it stands in the text, as an offset."""
        return self.block.start if self.block else -1


@dataclass(frozen=True)
class Source:
    """A prototxt that has been read."""

    text: str
    name: str
    layers: tuple[SourceLayer, ...]
    blocks: Blocks = field(repr=False)
    has_old_form: bool = False  # layers { } or input: headers, upgraded
    has_lists: bool = False  # layer: [ … ]

    def net(self, phase: Phase, stages: Sequence[str] | None = None, level: int = 0) -> Net:
        """The net that a phase runs. Stages by default: "train" in TRAIN and "val" in TEST, as DIGITS sets them.

        Raises TopologyError with every blob that nobody makes, that is made twice, and so on.
        """
        wired = wire(self, phase, stages, level)
        if wired.faults:
            raise TopologyError(wired.faults)
        return wired.net

    def place_of(self, layer: SourceLayer, option: str = "", value: str | None = None) -> tuple[int, int]:
        """(line, column) of an option within a layer (with this string as its value), or of the layer's opening."""
        if option and layer.block is not None:
            wanted = r"\s*[:{]" if value is None else rf"\s*:\s*[\"']{re.escape(value)}[\"']"
            pattern = re.compile(rf"\b{re.escape(option)}{wanted}")
            if match := pattern.search(self.text, layer.block.body, layer.block.end):
                return self.blocks.place(match.start())
        return layer.line, layer.column


def read(text: str) -> Source:
    """The prototxt, read. Raises TopologyError with every fault of its syntax, fields and layer types."""
    source, issues = read_leniently(text)
    if issues or source is None:
        raise TopologyError(issues)
    return source


def read_leniently(text: str) -> tuple[Source | None, list[Issue]]:
    """What could be read, and what could not. A layer of an unknown type is kept; one with a syntax error is not."""
    if len(text) > MOST_CHARACTERS:
        return None, [Issue(1, 1, f"the text has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read")]
    text = text.removeprefix("\ufeff")
    blocks = find_blocks(text, MOST_TOKENS)
    if blocks.token_count > MOST_TOKENS:
        return None, [Issue(1, 1, f"the text has more than {MOST_TOKENS:,} words and signs, the most that are read")]
    if len(blocks.blocks) > MOST_LAYERS:
        return None, [Issue(1, 1, f"the text has {len(blocks.blocks):,} layers; at most {MOST_LAYERS:,} are read")]
    if not blocks.is_balanced:
        return None, [_bracket_issue(text)]
    return _read_parts(text, blocks)


def _bracket_issue(text: str) -> Issue:
    try:
        text_format.Parse(text, caffe_pb2.NetParameter())
    except text_format.ParseError as error:
        return syntax_issue(error, 1, 1)
    return Issue(1, 1, "brackets do not match")


def _read_parts(text: str, blocks: Blocks) -> tuple[Source, list[Issue]]:
    header = caffe_pb2.NetParameter()
    issues = []
    try:
        text_format.Parse(blocks.rest(), header)
    except text_format.ParseError as error:
        issues.append(syntax_issue(error, 1, 1))
    if len(header.name) > LONGEST_NAME:
        issues.append(Issue(1, 1, f"the net's name is longer than {LONGEST_NAME} characters"))
    if len(header.input) > MOST_BLOBS:
        issues.append(Issue(1, 1, f"the net has more than {MOST_BLOBS:,} inputs"))
        del header.input[:]
    layers = _header_inputs(text, header)
    for block in blocks.blocks:
        if len(issues) >= MOST_ISSUES:
            break
        line, column = blocks.place(block.start)
        parsed = _parse_body(block.field, text[block.body : block.end])
        if isinstance(parsed, text_format.ParseError):
            issues.append(syntax_issue(parsed, *blocks.place(block.body)))
        elif max(len(parsed.bottom), len(parsed.top)) > MOST_BLOBS:
            issues.append(Issue(line, column, f"the layer has more than {MOST_BLOBS:,} bottoms or tops"))
        else:
            layers.append(SourceLayer(parsed, line, column, block))
            issues += _layer_issues(layers[-1])
    issues += _mixed_forms(blocks)
    has_old_form = bool(header.input) or any(block.field == "layers" for block in blocks.blocks)
    has_lists = any(block.in_list for block in blocks.blocks)
    return Source(text, header.name, tuple(layers), blocks, has_old_form, has_lists), issues


def _header_inputs(text: str, header: caffe_pb2.NetParameter) -> list[SourceLayer]:
    match = re.search(r"^[ \t]*input\b", text, re.MULTILINE)
    line = text.count("\n", 0, match.end()) + 1 if match else 1
    return [SourceLayer(layer, line, 1) for layer in input_layers(header)]


def _mixed_forms(blocks: Blocks) -> list[Issue]:
    if len({block.field for block in blocks.blocks}) < 2:
        return []
    first_old = next(block for block in blocks.blocks if block.field == "layers")
    message = "layers { } is the old form of layer { }: use one of them throughout"
    return [Issue(*blocks.place(first_old.start), message)]


def _layer_issues(layer: SourceLayer) -> list[Issue]:
    options = layer.options
    messages = []
    called = options.name or "a layer"
    if not options.type:
        messages.append(f"{called}: type is missing")
    elif suggestion := suggest_type(options.type):
        messages.append(f"{called}: {suggestion}")
    if any(len(name) > LONGEST_NAME for name in (options.name, *options.bottom, *options.top)):
        messages.append(f"{called}: a name is longer than {LONGEST_NAME} characters")
    if options.include and options.exclude:
        messages.append(f"{called}: has include and exclude; only one of them may be given")
    return [Issue(layer.line, layer.column, shorten(message)) for message in messages]


def _parse_body(field: str, body: str) -> caffe_pb2.LayerParameter | text_format.ParseError:
    if len(body) > _LONGEST_CACHED_BODY:
        return _parse_body_now(field, body)
    return _parse_body_cached(field, body)


def _parse_body_now(field: str, body: str) -> caffe_pb2.LayerParameter | text_format.ParseError:
    try:
        if field == "layer":
            return modernized(text_format.Parse(body, caffe_pb2.LayerParameter()))
        return modernized(upgraded_layer(text_format.Parse(body, caffe_pb2.V1LayerParameter())))
    except text_format.ParseError as error:
        return error.with_traceback(None)


# While a text is edited, all but one of its layers stay as they were: 40 ms → 2 ms for GoogLeNet.
_parse_body_cached = lru_cache(maxsize=4096)(_parse_body_now)
