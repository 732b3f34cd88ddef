"""A file that only one may work on at a time, in this process or in any other on the machine."""

from __future__ import annotations

import fcntl
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[io.FileIO]:
    """The existing file, open for reading and appending, under an exclusive lock; the lock goes with the process.

    Raises FileNotFoundError, and BlockingIOError when somebody else holds it and `wait` is false.
    """
    with path.open("r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield file
