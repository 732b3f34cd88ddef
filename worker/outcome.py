"""How a run ends when nothing went wrong, and the one error that is a person's to read as it stands."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    DONE = "done"
    STOPPED = "stopped"
    GIVEN_BACK = "given back"


class Refusal(Exception):
    """The run cannot go on for a reason that its owner can understand and mend; the message says what and how."""
