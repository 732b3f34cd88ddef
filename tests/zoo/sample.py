"""One archive of the zoo: how it is made, what it is called, and what has to come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.worker.datasets.pictures import file_of, noise

Make = Callable[[Path], Path]
PETS = {"cats": 2, "dogs": 2}


@dataclass(frozen=True)
class Refused:
    """Refused when it is uploaded, with a message that holds this regular expression."""

    message: str


@dataclass(frozen=True)
class Taken:
    """Taken, with these classes and these files passed over; not built, for its entries are no pictures."""

    classes: Mapping[str, int]
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """Taken and made into a dataset. `unreadable` are pictures that are left out: path → regular expression."""

    classes: Mapping[str, int] = field(default_factory=lambda: PETS)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    percents: tuple[float, float, float] = (100, 0, 0)


@dataclass(frozen=True)
class NotBuilt:
    """Taken, but no dataset can be made of it; the build says why."""

    classes: Mapping[str, int]
    message: str
    percents: tuple[float, float, float] = (70, 10, 20)


@dataclass(frozen=True)
class Sample:
    make: Make
    outcome: Refused | Taken | Built | NotBuilt
    filename: str = "pictures.zip"
    is_sent: bool = True  # else it is too large for that and is built where it lies


def picture(number: int = 0) -> bytes:
    return file_of(noise(number))


def pets(**more: bytes) -> dict[str, bytes]:
    """Two cats and two dogs, and `more` files."""
    names = [f"{name}/{number}.png" for name in PETS for number in range(2)]
    return {name: picture(number) for number, name in enumerate(names)} | more
