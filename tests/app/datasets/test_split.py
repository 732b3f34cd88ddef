"""How many pictures go where, and what is said when a class is too small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.split import class_problem, percent_problem, split_counts


@pytest.mark.parametrize(
    ("count", "percents", "expected"),
    [
        (10, (70, 10, 20), (7, 1, 2)),
        (60_000, (70, 10, 20), (42_000, 6_000, 12_000)),
        (5_923, (70, 10, 20), (4_146, 592, 1_185)),  # MNIST's zeros
        (3, (70, 10, 20), (1, 1, 1)),
        (4, (70, 10, 20), (2, 1, 1)),
        (5, (75, 25, 0), (4, 1, 0)),
        (7, (100, 0, 0), (7, 0, 0)),
        (9, (50, 0, 50), (5, 0, 4)),
        (2, (1, 0, 99), (1, 0, 1)),
        (100, (33.4, 33.3, 33.3), (33, 34, 33)),
    ],
)
def test_shares_are_rounded_as_digits_did(
    count: int, percents: tuple[float, float, float], expected: tuple[int, int, int]
) -> None:
    assert split_counts(count, *percents) == expected


@given(st.integers(3, 10_000), st.integers(1, 100), st.integers(0, 99))
def test_every_share_gets_something_and_nothing_is_lost(count: int, train: int, val: int) -> None:
    val = min(val, 100 - train)
    percents = (train, val, 100 - train - val)
    counts = split_counts(count, *percents)
    assert sum(counts) == count
    assert [number > 0 for number in counts] == [share > 0 for share in percents]
    assert all(abs(number - count * share / 100) <= 2 for number, share in zip(counts, percents, strict=True))


def test_fewer_pictures_than_shares_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="2 pictures cannot be divided into 3 splits"):
        split_counts(2, 70, 10, 20)


@pytest.mark.parametrize(
    ("percents", "problem"),
    [
        ((70, 10, 20), None),
        ((33.33, 33.33, 33.34), None),
        ((100, 0, 0), None),
        ((70, 10, 10), "Training, validation and testing must add up to 100 %; they add up to 90 %."),
        ((0, 50, 50), "Training needs a share above 0 %."),
        ((120, -10, -10), "Each share must be between 0 and 100 %."),
        ((float("nan"), 50, 50), "Each share must be between 0 and 100 %."),
    ],
)
def test_percentages_that_do_not_work_are_told(percents: tuple[float, float, float], problem: str | None) -> None:
    assert percent_problem(*percents) == problem


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ([("cat", 3), ("dog", 3)], None),
        ([], "A dataset needs at least two classes; found no class."),
        ([("cat", 30)], "A dataset needs at least two classes; found one class, “cat”."),
        ([("cat", 1), ("dog", 30)], "Class “cat” has 1 image; this split needs at least 3 per class."),
        (
            [("cat", 2), ("cow", 30), ("dog", 1)],
            "Class “cat” has 2 images; this split needs at least 3 per class (1 more class is too small as well).",
        ),
    ],
)
def test_classes_that_are_too_small_are_named(classes: list[tuple[str, int]], problem: str | None) -> None:
    assert class_problem(classes, 70, 10, 20) == problem


def test_one_image_is_enough_when_all_is_for_training() -> None:
    assert class_problem([("cat", 1), ("dog", 1)], 100, 0, 0) is None
