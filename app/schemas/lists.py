"""Several values in one field: what makes a sweep. As JSON a number or a list, as typed "0.1, 0.01" or "[0.1 0.01]"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

from app.schemas.fields import found, refusal

LONGEST = 100
Number = TypeVar("Number", int, float)
_BRACKETS = str.maketrans("[](){}、;", "      ,,")


def several(parse_one: Callable[[object], Number]) -> Callable[[object], list[Number]]:
    """Reads one or more numbers; each is read by `parse_one`, and none may come twice."""

    def parse(value: object) -> list[Number]:
        parts = _parts(value)
        if not parts:
            raise refusal("Expected one or more numbers, separated by commas, found nothing.")
        if len(parts) > LONGEST:
            raise refusal(f"Expected at most {LONGEST} values, found {len(parts):,}.")
        numbers = [parse_one(part) for part in parts]
        for place, number in enumerate(numbers):
            if number in numbers[:place]:
                raise refusal(f"{number:g} is there twice; the two models would be the same.")
        return numbers

    return parse


def any_number(parse_one: Callable[[object], Number]) -> Callable[[object], list[Number]]:
    """Like `several`, but none at all is fine too."""
    parse_some = several(parse_one)
    return lambda value: parse_some(value) if _parts(value) else []


def plain(value: object) -> object:
    """Typed text as ASCII numbers are written: full-width digits and points of a Japanese keyboard are fine."""
    return unicodedata.normalize("NFKC", value).strip() if isinstance(value, str) else value


def _parts(value: object) -> Sequence[object]:
    if value is None:
        return []
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value).translate(_BRACKETS)
        return [part for part in re.split(r"[\s,]+", text) if part]
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict):
        raise refusal(f"Expected a number or a list of numbers, found {found(value)}.")
    return [value]
