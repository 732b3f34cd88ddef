"""Lists of `path label`, one picture per line, as Caffe and DIGITS take them: what a line says, and what is a list.

A label is a number or a name; the path may hold spaces; a comma or a tab may stand between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from app.archives.names import guess_encoding
from app.archives.paths import PICTURE_SUFFIXES

LIST_SUFFIXES = frozenset(["txt", "csv", "lst", "list", "tsv"])
MAX_LIST_BYTES = 256 * 1024 * 1024
_SPACED = re.compile(r"^(?P<path>.+?\.\w{2,5})\s+(?P<label>\S.*)$")


@dataclass(frozen=True)
class Line:
    number: int  # from 1
    path: str  # "/" between folders, NFC
    label: str


def read_list(data: bytes) -> Iterator[Line | int]:
    """Every line that names a picture and its label; for one that does not, its number. Empty lines are passed over."""
    for number, raw in enumerate(decoded(data).splitlines(), start=1):
        text = raw.strip()
        if not text or text.startswith("#"):
            continue
        path, label = _divided(text)
        if label and path.rpartition(".")[2].lower() in PICTURE_SUFFIXES:
            yield Line(
                number, unicodedata.normalize("NFC", path.replace("\\", "/")), unicodedata.normalize("NFC", label)
            )
        elif number > 1:  # the first line may be a heading
            yield number


def read_names(data: bytes) -> list[str]:
    """labels.txt: the name of class 0, 1, … one per line."""
    return [unicodedata.normalize("NFC", line.strip()) for line in decoded(data).splitlines() if line.strip()]


def looks_like_list(data: bytes) -> bool:
    """Whether most of the first lines name a picture and a label."""
    start = data[:16_384].rpartition(b"\n")[0] if len(data) > 16_384 else data
    written = [line for line in start.splitlines() if line.strip() and not line.startswith(b"#")]
    return sum(isinstance(line, Line) for line in read_list(start)) > 0.6 * len(written)


def decoded(data: bytes) -> str:
    """A text file in whatever encoding it is."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    return data.decode(guess_encoding(data[:65_536].splitlines()[:-1] or [data]), "replace")


def _divided(text: str) -> tuple[str, str]:
    for mark in ("\t", ","):
        path, found, label = text.rpartition(mark)
        if found and path.strip():
            return path.strip().strip('"'), label.strip().strip('"')
    match = _SPACED.match(text)
    return (match["path"], match["label"].strip()) if match else (text, "")
