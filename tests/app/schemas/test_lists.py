"""Fields that take several values, as JSON and as people type them."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, BeforeValidator, ValidationError

from app.errors import messages_by_field
from app.schemas.fields import decimal, whole
from app.schemas.lists import any_number, several


class Form(BaseModel):
    rates: Annotated[list[float], BeforeValidator(several(decimal(0, 10)))] = [0.01]
    sizes: Annotated[list[int], BeforeValidator(several(whole(1, 1000)))] = [64]
    steps: Annotated[list[int], BeforeValidator(any_number(whole(1, 1000)))] = []


def refused(**values: object) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        Form.model_validate(values)
    return messages_by_field(caught.value.errors())


@pytest.mark.parametrize(
    "typed",
    [
        "0.1, 0.01", "0.1 0.01", "[0.1, 0.01]", "[0.1 0.01]", "(0.1;0.01)", "0.1,0.01,", " 0.1\n0.01 ",
        "0.1、0.01", "0.1,0.01", [0.1, 0.01], ["0.1", "0.01"], "1e-1,1e-2",
    ],
)  # fmt: skip
def test_several_values_are_read_however_they_are_separated(typed: object) -> None:
    assert Form.model_validate({"rates": typed}).rates == [0.1, 0.01]


@pytest.mark.parametrize("typed", [0.5, "0.5", "[0.5]", [0.5]])
def test_one_value_is_a_list_of_one(typed: object) -> None:
    assert Form.model_validate({"rates": typed}).rates == [0.5]


@pytest.mark.parametrize("typed", ["", "  ", "[]", [], None, ",,"])
def test_no_value_is_refused_where_one_is_needed(typed: object) -> None:
    assert refused(rates=typed) == {"rates": "Expected one or more numbers, separated by commas, found nothing."}


@pytest.mark.parametrize("typed", ["", "[]", [], None])
def test_no_value_is_fine_where_none_is_needed(typed: object) -> None:
    assert Form.model_validate({"steps": typed}).steps == []


def test_what_is_no_number_is_named() -> None:
    assert refused(rates="0.1, fast") == {"rates": "Expected a number from 0 to 10, found “fast”."}
    assert refused(sizes="64, 12.5") == {"sizes": "Expected a whole number from 1 to 1,000, found “12.5”."}
    assert refused(sizes={"a": 1}) == {"sizes": "Expected a number or a list of numbers, found {'a': 1}."}


@pytest.mark.parametrize("typed", ["nan", "inf", "-1", "1e400", True, [[1]]])
def test_what_is_beyond_the_range_is_refused(typed: object) -> None:
    assert "Expected" in refused(rates=typed)["rates"]


def test_a_value_that_comes_twice_is_refused() -> None:
    assert refused(rates="0.1, 0.10") == {"rates": "0.1 is there twice; the two models would be the same."}


def test_a_list_without_end_is_refused() -> None:
    assert refused(sizes=list(range(1, 500))) == {"sizes": "Expected at most 100 values, found 499."}
