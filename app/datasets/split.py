"""How many pictures of a class go to training, validation and testing, and whether a class is large enough.

Numbers only: the form checks them before a job is made, the dataset build divides by them. Which pictures go where is
decided in `worker/datasets/split.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

SPLITS = ("train", "val", "test")


def percent_problem(train: float, val: float, test: float) -> str | None:
    """What is wrong with the percentages; None when they are usable."""
    shares = (train, val, test)
    if not all(math.isfinite(share) and 0 <= share <= 100 for share in shares):
        return "Each share must be between 0 and 100 %."
    if train == 0:
        return "Training needs a share above 0 %."
    if not math.isclose(sum(shares), 100, abs_tol=0.01):
        return f"Training, validation and testing must add up to 100 %; they add up to {sum(shares):g} %."
    return None


def needed_per_class(train: float, val: float, test: float) -> int:
    """Pictures that each class must have: one per split with a share."""
    return sum(share > 0 for share in (train, val, test))


def class_problem(classes: Iterable[tuple[str, int]], train: float, val: float, test: float) -> str | None:
    """What is wrong with (name, pictures) of the classes for this split; None when it can be made."""
    needed = needed_per_class(train, val, test)
    found = list(classes)
    if len(found) < 2:
        what = f"one class, “{found[0][0]}”" if found else "no class"
        return f"A dataset needs at least two classes; found {what}."
    small = [(name, count) for name, count in found if count < needed]
    if not small:
        return None
    name, count = small[0]
    others = len(small) - 1
    more = f" ({others:,} more {'class is' if others == 1 else 'classes are'} too small as well)" if others else ""
    pictures = "1 image" if count == 1 else f"{count:,} images"
    return f"Class “{name}” has {pictures}; this split needs at least {needed} per class{more}."


def split_counts(count: int, train: float, val: float, test: float) -> tuple[int, int, int]:
    """Pictures for (train, val, test) out of `count`, at least one for each share above 0 (DIGITS, parse_folder.py).

    Raises ValueError when there are fewer pictures than shares.
    """
    if count < needed_per_class(train, val, test):
        raise ValueError(f"{count} pictures cannot be divided into {needed_per_class(train, val, test)} splits")
    first = _round_half_up(count * train / 100)
    second = min(count, _round_half_up(count * (train + val) / 100))
    in_train, in_val, in_test = min(first, count), second - min(first, count), count - second
    if val == 0:
        in_train, in_val = in_train + in_val, 0
    if test == 0:
        if val > 0:
            in_val += in_test
        else:
            in_train += in_test
        in_test = 0
    return _each_at_least_one([in_train, in_val, in_test], [train, val, test])


def _each_at_least_one(counts: list[int], shares: list[float]) -> tuple[int, int, int]:
    """Takes from the largest split what an empty one with a share needs."""
    for index, share in enumerate(shares):
        if share > 0 and counts[index] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[index] += 1
    return counts[0], counts[1], counts[2]


def _round_half_up(value: float) -> int:
    return math.floor(value + 0.5)
