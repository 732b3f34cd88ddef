"""Kinds of field with messages a person can act on: what was expected, what was found.

Parsers for pydantic's BeforeValidator; which fields a noun has is in the noun's own file.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable

from pydantic_core import PydanticCustomError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN = 40


def whole(low: int, high: int) -> Callable[[object], int]:
    """Reads a whole number in a range, as JSON or as typed in a form; for pydantic's BeforeValidator."""
    wanted = f"Expected a whole number from {low:,} to {high:,}"

    def parse(value: object) -> int:
        number = _whole_or_none(value)
        if number is None or not low <= number <= high:
            raise refusal(f"{wanted}, found {found(value)}.")
        return number

    return parse


def decimal(low: float, high: float) -> Callable[[object], float]:
    """Reads a finite number in a range, as JSON or as typed in a form."""
    wanted = f"Expected a number from {low:,g} to {high:,g}"

    def parse(value: object) -> float:
        number = _decimal_or_none(value)
        if number is None or not low <= number <= high:
            raise refusal(f"{wanted}, found {found(value)}.")
        return number

    return parse


def color(value: object) -> str:
    """Reads a colour as a browser sends it; letters in lower case."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not re.fullmatch("#[0-9a-f]{6}", text):
        raise refusal(f"Expected a colour like #ff8000, found {found(value)}.")
    return text


def one_line(longest: int) -> Callable[[object], str]:
    """Reads a name in any script, normalised to NFC."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise refusal(f"Expected a name, found {found(value)}.")
        cleaned = unicodedata.normalize("NFC", value).strip()
        if not cleaned:
            raise refusal("Expected a name, found nothing.")
        if _CONTROL.search(cleaned):
            raise refusal("Expected a name on one line, found a line break or another control character.")
        if len(cleaned) > longest:
            raise refusal(f"Expected at most {longest} characters, found {len(cleaned):,}.")
        return cleaned

    return parse


def lines(longest: int) -> Callable[[object], str]:
    """Reads text of several lines, which may be empty."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise refusal(f"Expected text, found {found(value)}.")
        cleaned = value.replace("\r\n", "\n").replace("\x00", "").strip()
        if len(cleaned) > longest:
            raise refusal(f"Expected at most {longest:,} characters, found {len(cleaned):,}.")
        return cleaned

    return parse


def refusal(message: str) -> PydanticCustomError:
    """A message for a person, passed on as it is."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def found(value: object) -> str:
    """A value as a message quotes it: short, whatever was sent."""
    if value is None or value == "":
        return "nothing"
    quoted = f"“{value}”" if isinstance(value, str) else str(value)
    return quoted if len(quoted) <= _SHOWN else quoted[:_SHOWN] + "…"


def _whole_or_none(value: object) -> int | None:
    if isinstance(value, str):
        try:
            return int(unicodedata.normalize("NFKC", value).strip())
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _decimal_or_none(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(unicodedata.normalize("NFKC", value) if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
