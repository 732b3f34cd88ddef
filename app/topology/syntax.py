"""protobuf's complaints about a text, in our words and with their place."""

from __future__ import annotations

import re

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor

from app.topology import caffe_pb2
from app.topology.errors import Issue, closest, listed, shorten

_MESSAGE = re.compile(r"(?:\d+(?::\d+)? : )?(?:'.*': )?(.*)", re.DOTALL)
_REWORDINGS = (
    (re.compile(r'Message type "[\w.]*?(\w+)" has no field named "([^"]*)"'), "_unknown_field"),
    (re.compile(r'Enum type "([\w.]+)" has no value (?:named|with number) ([^\s]+?)\.?$'), "_unknown_value"),
    (re.compile(r'Message type "[\w.]*?(\w+)" should not have multiple "([^"]*)" fields'), "_given_twice"),
)


def syntax_issue(error: text_format.ParseError, line: int, column: int) -> Issue:
    """protobuf's complaint in our words, its place counted from (line, column), where the parsed piece begins."""
    error_line, error_column = error.GetLine() or 1, error.GetColumn() or 1
    if error_line == 1:
        error_column += column - 1
    return Issue(line + error_line - 1, error_column, shorten(_reworded(str(error))))


def _reworded(message: str) -> str:
    match = _MESSAGE.fullmatch(message)
    message = match.group(1) if match else message
    for pattern, wording in _REWORDINGS:
        if found := pattern.search(message):
            return str(globals()[wording](found.group(1), found.group(2)))
    return message[:1].lower() + message[1:].rstrip(".") if message else "this cannot be read"


def _unknown_field(message_type: str, name: str) -> str:
    descriptor = _descriptor(message_type)
    names = [field.name for field in descriptor.fields] if descriptor else []
    near = closest(name, names)
    place = "a net" if message_type == "NetParameter" else message_type.replace("V1Layer", "Layer")
    return f'unknown field "{name}" in {place}' + (f'; is "{near}" meant?' if near else "")


def _unknown_value(enum_type: str, value: str) -> str:
    owner, _, enum = enum_type.rpartition(".")
    descriptor = _descriptor(owner.rpartition(".")[2])
    names = [name.name for name in descriptor.enum_types_by_name[enum].values] if descriptor else ["TRAIN", "TEST"]
    near = closest(value, names) if len(names) > 6 else ""
    return f"unknown value {value}; " + (f"is {near} meant?" if near else f"expected {listed(names[:6])}")


def _given_twice(message_type: str, name: str) -> str:
    return f'"{name}" is given twice in {"a net" if message_type == "NetParameter" else message_type}'


def _descriptor(message_type: str) -> Descriptor | None:
    return caffe_pb2.DESCRIPTOR.message_types_by_name.get(message_type)
