"""Numbers and names as people type them."""

from __future__ import annotations

import math

import pytest
from pydantic_core import PydanticCustomError

from app.schemas.fields import decimal, found, lines, one_line, whole


@pytest.mark.parametrize(("typed", "number"), [("28", 28), (" 28 ", 28), ("２８", 28), (28, 28), (28.0, 28), ("1", 1)])
def test_whole_numbers_are_read_as_typed(typed: object, number: int) -> None:
    assert whole(1, 100)(typed) == number


@pytest.mark.parametrize("typed", ["", "abc", "2.5", 2.5, None, True, [], "0", 101, "1e1", "9" * 5000])
def test_what_is_no_whole_number_of_the_range_is_quoted(typed: object) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        whole(1, 100)(typed)
    message = str(caught.value)
    assert message.startswith("Expected a whole number from 1 to 100, found ")
    assert len(message) < 120


@pytest.mark.parametrize(
    ("typed", "number"), [("70", 70.0), ("33.3", 33.3), ("３３．５", 33.5), (10, 10.0), ("1e1", 10.0)]
)
def test_decimals_are_read_as_typed(typed: object, number: float) -> None:
    assert decimal(0, 100)(typed) == number


@pytest.mark.parametrize("typed", ["", "ten", "nan", "inf", math.nan, math.inf, -0.1, 100.1, False, None])
def test_what_is_no_number_of_the_range_is_refused(typed: object) -> None:
    with pytest.raises(PydanticCustomError, match="Expected a number from 0 to 100, found"):
        decimal(0, 100)(typed)


def test_names_may_be_in_any_script_and_are_normalised() -> None:
    assert one_line(200)("  手書き数字 ") == "手書き数字"
    assert one_line(200)("e\u0301") == "é"
    assert one_line(200)("x" * 200) == "x" * 200


@pytest.mark.parametrize(("typed", "message"), [
    ("", "found nothing"),
    ("   ", "found nothing"),
    ("a\nb", "control character"),
    ("a\x00b", "control character"),
    ("x" * 201, "at most 200 characters, found 201"),
    (7, "Expected a name, found 7"),
])  # fmt: skip
def test_names_that_cannot_be_shown_are_refused(typed: object, message: str) -> None:
    with pytest.raises(PydanticCustomError, match=message):
        one_line(200)(typed)


def test_notes_keep_their_lines() -> None:
    assert lines(100)(" one\r\ntwo \n") == "one\ntwo"
    with pytest.raises(PydanticCustomError, match="at most 100 characters, found 101"):
        lines(100)("x" * 101)


def test_quoted_values_are_short_whatever_was_sent() -> None:
    assert found(None) == found("") == "nothing"
    assert found("abc") == "“abc”"
    assert len(found("x" * 1000)) < 50
