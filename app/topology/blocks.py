"""Where each `layer { … }` of a prototxt begins and ends. What stands in it is read by protobuf (`text.py`).

protobuf's text_format gives the place of a syntax error but not the place of a message it has read, so one pass over
the brackets, strings and comments of the text finds the blocks. It does not judge: where brackets do not match, it
says so, and text_format is asked for the message.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

LAYER_FIELDS = ("layer", "layers")

TOKEN = re.compile(
    r"""\#[^\n]*                        # a comment
      | "(?:\\.|[^"\\\n])*"?            # strings; one without its end is text_format's to report
      | '(?:\\.|[^'\\\n])*'?
      | [{}<>\[\]:,;]
      | [^\s{}<>\[\]:,;"'\#]+           # names and numbers
    """,
    re.VERBOSE,
)
_CLOSES = {"{": "}", "<": ">", "[": "]"}


@dataclass(frozen=True)
class Block:
    """One entry of the field `layer` or `layers`, as offsets into the text."""

    field: str
    start: int  # of the field's name, or of the bracket inside a list
    body: int  # first character after the opening bracket
    end: int  # the closing bracket
    in_list: bool = False  # written as layer: [ {…}, {…} ]


@dataclass
class Blocks:
    """The layer blocks of a text, and the text without them."""

    text: str
    blocks: list[Block] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)  # what the blocks cover, brackets and commas included
    token_count: int = 0
    is_balanced: bool = True

    def __post_init__(self) -> None:
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset, both from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def rest(self) -> str:
        """The text with every layer block turned into spaces, so that places stay the same."""
        pieces, at = [], 0
        for start, end in self.spans:
            pieces += [self.text[at:start], re.sub(r"[^\n]", " ", self.text[start:end])]
            at = end
        return "".join([*pieces, self.text[at:]])


def find_blocks(text: str, most_tokens: int) -> Blocks:
    """The layer blocks of a text; stops counting (and looking) after `most_tokens` tokens."""
    found = Blocks(text)
    tokens = _tokens(found, most_tokens)
    name, name_at = "", 0
    for token, at in tokens:
        if token in ("{", "<", "["):
            if name in LAYER_FIELDS:
                _read_layer(found, tokens, name, name_at, token, at)
            else:
                _skip(found, tokens, token)
            name = ""
        elif token in (",", ";") and not name and found.spans:
            _absorb_separator(found, at)
        elif token not in (":", ",", ";"):
            name, name_at = token, at
    return found


def _tokens(found: Blocks, most_tokens: int) -> Iterator[tuple[str, int]]:
    for match in TOKEN.finditer(found.text):
        token = match.group()
        if token[0] != "#":
            found.token_count += 1
            if found.token_count > most_tokens:
                return
            yield token, match.start()


def _read_layer(
    found: Blocks, tokens: Iterator[tuple[str, int]], name: str, name_at: int, opening: str, at: int
) -> None:
    if opening != "[":
        end = _skip(found, tokens, opening)
        found.blocks.append(Block(name, name_at, at + 1, end))
        found.spans.append((name_at, end + 1))
        return
    end = at
    for token, place in tokens:
        end = place
        if token in ("{", "<"):
            found.blocks.append(Block(name, place, place + 1, _skip(found, tokens, token), in_list=True))
        elif token != ",":
            found.is_balanced &= token == "]"
            break
    else:
        found.is_balanced = False
    found.spans.append((name_at, end + 1))


def _skip(found: Blocks, tokens: Iterator[tuple[str, int]], opening: str) -> int:
    """Go to the bracket that closes `opening`; its offset."""
    open_brackets, at = [opening], 0
    for token, at in tokens:
        if token in _CLOSES:
            open_brackets.append(token)
        elif token in ("}", ">", "]"):
            if _CLOSES[open_brackets.pop()] != token:
                found.is_balanced = False
            if not open_brackets:
                return at
    found.is_balanced = False
    return at


def _absorb_separator(found: Blocks, at: int) -> None:
    """A comma or semicolon after a block belongs to it: without its block it would be an error."""
    start, end = found.spans[-1]
    if not re.sub(r"#[^\n]*", "", found.text[end:at]).strip():
        found.spans[-1] = (start, at + 1)
