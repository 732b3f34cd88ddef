"""The one error of archive reading; its text is shown to the user as it is."""

from __future__ import annotations


class ArchiveError(Exception):
    """The archive is refused whole; the message says what was expected and what was found, and where."""


def shown(name: str, limit: int = 120) -> str:
    """`name` fit for a message: quoted, control characters escaped, long names cut in the middle."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}…{text[-half:]}"
    return f"“{text}”"
