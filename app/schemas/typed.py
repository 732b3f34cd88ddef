"""Validators for fields that a form sends as text and a script as JSON: numbers, words of an enumeration, blanks."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from pydantic import BeforeValidator

from app.schemas.fields import found, refusal
from app.schemas.lists import plain


def typed(parse: Callable[[object], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(plain(value)))


def optional(parse: Callable[[object], Any], otherwise: object = None) -> BeforeValidator:
    """Nothing typed is None, or what it stands for."""
    return BeforeValidator(lambda value: otherwise if value is None or plain(value) == "" else parse(plain(value)))


def named(choices: type[StrEnum]) -> BeforeValidator:
    """A word of an enumeration, in whatever case."""
    known = {str(choice).lower(): choice for choice in choices}

    def parse(value: object) -> object:
        choice = known.get(str(plain(value)).lower())
        if choice is None:
            raise refusal(f"Expected one of {', '.join(choices)}, found {found(value)}.")
        return choice

    return BeforeValidator(parse)
