"""The one shape of every refusal of the API, for its documentation. It is made in `app/errors.py`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Refusal(BaseModel):
    code: str  # for programs
    message: str  # for people
    fields: dict[str, str]  # what is wrong with each field of a form
    id: str | None = None  # of our own faults: it is in the log


class ErrorBody(BaseModel):
    error: Refusal


# What nearly every endpoint may answer besides its own.
RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "No valid API token."},
    422: {"model": ErrorBody, "description": "Something in the request does not fit."},
}


def refuses(*status_codes: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that may also refuse with these."""
    return RESPONSES | {code: {"model": ErrorBody, "description": _WORDS[code]} for code in status_codes}


_WORDS = {
    400: "The request cannot be read.",
    403: "It belongs to somebody else.",
    404: "There is no such thing.",
    409: "It cannot be done now.",
    413: "Too large.",
    429: "Too many attempts.",
    507: "The server's disk is full.",
}
