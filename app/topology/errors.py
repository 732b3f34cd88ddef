"""What is wrong with a prototxt, and where. Whoever finds a fault words the message; here is only its form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

LONGEST_MESSAGE = 400
ISSUES_IN_A_SENTENCE = 3


@dataclass(frozen=True, order=True)
class Issue:
    """One fault or remark at a place of the text; lines and columns count from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.message} (line {self.line})"


class TopologyError(Exception):
    """The text describes no net that can be run; `issues` says why, in the order of the lines."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(sorted(set(issues)))
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        shown = "; ".join(str(issue) for issue in self.issues[:ISSUES_IN_A_SENTENCE])
        rest = len(self.issues) - ISSUES_IN_A_SENTENCE
        return f"{shown}; and {rest} more" if rest > 0 else shown


class LayerFault(Exception):
    """What a layer's own rule finds wrong: a message without the layer's name, and the option it is about."""

    def __init__(self, message: str, option: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.option = option


def shorten(message: str) -> str:
    """The message on one line and of a length that a page can show, whatever was quoted in it."""
    line = " ".join(message.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def listed(names: Iterable[str], last: str = "or") -> str:
    """'a, b or c'."""
    *head, tail = names
    return f"{', '.join(head)} {last} {tail}" if head else tail


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or ""."""
    matches = get_close_matches(name[:200], list(known), n=1)
    return matches[0] if matches else ""
