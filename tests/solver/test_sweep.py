"""Sweeps: the order and names of DIGITS."""

import pytest

from app.solver.sweep import MOST_RUNS, expand, read_numbers, read_whole_numbers


def test_one_pair_keeps_the_name() -> None:
    assert expand([0.01], [64], "LeNet") == [("LeNet", 0.01, 64)]


def test_batch_sizes_are_outside_and_rates_inside() -> None:
    assert expand([0.1, 0.01], [64, 128], "m") == [
        ("m learning_rate:0.1 batch_size:64", 0.1, 64),
        ("m learning_rate:0.01 batch_size:64", 0.01, 64),
        ("m learning_rate:0.1 batch_size:128", 0.1, 128),
        ("m learning_rate:0.01 batch_size:128", 0.01, 128),
    ]


def test_names_tell_only_what_differs() -> None:
    assert [name for name, _, _ in expand([0.1, 1e-5], [64], "m")] == ["m learning_rate:0.1", "m learning_rate:1e-05"]
    assert [name for name, _, _ in expand([0.1], [2, 4], "m")] == ["m batch_size:2", "m batch_size:4"]


def test_names_of_rates_that_are_close_differ() -> None:
    names = [name for name, _, _ in expand([0.12345678, 0.12345679], [1], "m")]

    assert len(set(names)) == 2


def test_doubles_are_trained_once() -> None:
    assert len(expand([0.1, 0.1, 0.10], [64, 64], "m")) == 1


@pytest.mark.parametrize(("rates", "sizes"), [([], [1]), ([0.1], []), (list(range(1, MOST_RUNS + 2)), [1])])
def test_none_and_too_many_are_refused(rates: list[float], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="a sweep has 1 to 100 runs"):
        expand(rates, sizes, "m")


@pytest.mark.parametrize("text", ["0.01,0.02", "0.01, 0.02", "[0.01, 0.02]", " 1e-2 ; 0.02 "])
def test_lists_are_read_in_the_forms_of_digits(text: str) -> None:
    assert read_numbers(text) == [0.01, 0.02]


@pytest.mark.parametrize("text", ["", "a", "0.1,,0.2", "0.1 0.2", "nan", "inf", "1e999", "[", "0x10", "１,a"])
def test_what_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        read_numbers(text)


def test_whole_numbers_may_be_written_as_floats_but_must_be_whole() -> None:
    assert read_whole_numbers("64, 128.0, 1e3") == [64, 128, 1000]
    with pytest.raises(ValueError, match=r"2.5 is not a whole number"):
        read_whole_numbers("2.5")
