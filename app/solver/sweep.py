"""Several learning rates × several batch sizes: one run per pair, with the names and in the order of DIGITS."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_RUNS = 100


def expand(base_lrs: Sequence[float], batch_sizes: Sequence[int], name: str) -> list[tuple[str, float, int]]:
    """(name, base_lr, batch_size) of every run: batch sizes outside, learning rates inside, doubles dropped.

    Raises ValueError where there are none or more than MOST_RUNS.
    """
    rates, sizes = list(dict.fromkeys(base_lrs)), list(dict.fromkeys(batch_sizes))
    if not 1 <= len(rates) * len(sizes) <= MOST_RUNS:
        raise ValueError(f"a sweep has 1 to {MOST_RUNS} runs, found {len(rates)} rates × {len(sizes)} batch sizes")
    return [(_run_name(name, rates, sizes, rate, size), rate, size) for size in sizes for rate in rates]


def _run_name(name: str, rates: list[float], sizes: list[int], rate: float, size: int) -> str:
    of_rate = f" learning_rate:{rate!r}" if len(rates) > 1 else ""
    of_size = f" batch_size:{size}" if len(sizes) > 1 else ""
    return f"{name}{of_rate}{of_size}"


def read_numbers(text: str) -> list[float]:
    """The numbers of a list field: `0.01`, `0.01, 0.02`, `[0.01, 0.02]`. Raises ValueError naming what is none."""
    numbers = []
    for word in text.strip().removeprefix("[").removesuffix("]").replace(";", ",").split(","):
        try:
            numbers.append(float(word))
        except ValueError:
            raise ValueError(f'"{word.strip()[:40]}" is not a number') from None
        if not math.isfinite(numbers[-1]):
            raise ValueError(f'"{word.strip()[:40]}" is not a number')
    return numbers


def read_whole_numbers(text: str) -> list[int]:
    """The same for whole numbers; 64.0 is one."""
    numbers = read_numbers(text)
    for number in numbers:
        if number != int(number):
            raise ValueError(f"{number:g} is not a whole number")
    return [int(number) for number in numbers]
