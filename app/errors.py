"""What people and programs see when a request cannot be answered: a page, or JSON of one shape under /api/.

{"error": {"code": for programs, "message": for people, "fields": {name: message}}}. Our own faults carry an id that is
also in the log. What was wrong is said by whoever raises; here it only gets its form.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.security.headers import add_headers
from app.web import ApiError, NotAllowed, PageNotFound, render

log = logging.getLogger(__name__)

CODES = {
    400: "bad_request",
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    410: "gone",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    423: "locked",
    429: "too_many_requests",
    460: "checksum_differs",
    500: "internal_error",
    503: "unavailable",
    507: "disk_full",
}
TITLES = {
    400: "This request cannot be read",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "This cannot be done now",
    413: "This is too large",
    422: "Something in this request does not fit",
    429: "Too many attempts",
    500: "Something went wrong on the server",
    503: "The server is busy",
    507: "The disk is full",
}
MESSAGES = {
    404: "There is no such page.",
    405: "This address does not take this kind of request.",
    413: "The request is larger than this address takes.",
    415: "This address does not take this kind of content.",
}


def install(app: FastAPI) -> None:
    """Registers how each kind of refusal is shown."""
    app.add_exception_handler(PageNotFound, _page_not_found)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(OverflowError, _too_big_a_number)
    app.add_exception_handler(OperationalError, database_away)
    app.add_exception_handler(Exception, _our_fault)


def refusal(
    request: Request,
    status_code: int,
    message: str,
    *,
    code: str = "",
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The page or the JSON that says no."""
    return _answer(request, ApiError(status_code, code, message, fields, headers))


def _answer(request: Request, no: ApiError, error_id: str = "") -> Response:
    """`error_id` is set for faults of our own: it is in the log too."""
    if is_api(request.url.path):
        error: dict[str, Any] = {"code": no.code or CODES.get(no.status_code, "refused"), "message": no.message}
        error["fields"] = no.fields
        if error_id:
            error["id"] = error_id
        return JSONResponse({"error": error}, status_code=no.status_code, headers=no.headers)
    response = render(
        request,
        "errors/error.html",
        status_code=no.status_code,
        code=no.status_code,
        title=TITLES.get(no.status_code) or HTTPStatus(no.status_code).phrase,
        message=no.message,
        fields=no.fields,
        error_id=error_id,
    )
    response.headers.update(no.headers)
    return response


def is_api(path: str) -> bool:
    """Addresses for programs: the API, whose documentation is a page, and the resumable uploads."""
    return (path.startswith("/api/") and not path.startswith("/api/docs")) or path.startswith("/uploads/tus")


def messages_by_field(errors: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """pydantic's findings in plain words, the first of each field; "" is the whole body."""
    messages: dict[str, str] = {}
    for error in errors:
        place = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header", "cookie")]
        messages.setdefault(place[0] if place else "", _in_words(error))
    return messages


def _page_not_found(request: Request, error: Exception) -> Response:
    return refusal(request, 404, str(error))


def _not_allowed(request: Request, error: Exception) -> Response:
    return refusal(request, 403, str(error) or "Only its owner or an administrator may do this.")


def _api_error(request: Request, error: Exception) -> Response:
    return _answer(request, cast(ApiError, error))


def _not_valid(request: Request, error: Exception) -> Response:
    errors = cast(RequestValidationError, error).errors()
    if any(found["loc"][:1] == ("path",) for found in errors):
        return refusal(request, 404, MESSAGES[404])
    if any(found["type"] == "json_invalid" for found in errors):
        return refusal(request, 400, f"Expected a JSON body. {_in_words(errors[0])}")
    fields = messages_by_field(errors)
    message = fields.pop("", "") if set(fields) == {""} else "Some fields do not fit: " + ", ".join(fields) + "."
    return refusal(request, 422, message, fields=fields)


def _http_exception(request: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    if found.status_code in (204, 304):
        return Response(status_code=found.status_code, headers=found.headers)
    is_default = found.detail == HTTPStatus(found.status_code).phrase or not found.detail
    message = MESSAGES.get(found.status_code, str(found.detail)) if is_default else str(found.detail)
    return refusal(request, found.status_code, message, headers=found.headers)


def _too_big_a_number(request: Request, error: Exception) -> Response:
    """SQLite takes numbers up to 2**63 only; an id beyond is nobody's."""
    if "SQLite INTEGER" in str(error):
        return refusal(request, 404, MESSAGES[404])
    return _our_fault(request, error)


def database_away(request: Request, error: Exception) -> Response:
    """The answer when the database cannot be asked or written just now."""
    error_id = _logged(request, error)
    if "disk is full" in str(error):
        message = "The server's disk is full; nothing was changed. Please delete something or make room."
        return _answer(request, ApiError(507, "", message), error_id)
    message = "The database is busy or away; nothing was changed. Please try again in a moment."
    return _answer(request, ApiError(503, "", message, headers={"Retry-After": "5"}), error_id)


def _our_fault(request: Request, error: Exception) -> Response:
    message = "This is a fault of the server, not yours. What you did may not have been saved."
    response = _answer(request, ApiError(500, "", message), _logged(request, error))
    add_headers(response.headers, request.url.path)  # outside of all middleware nobody else would
    return response


def _logged(request: Request, error: Exception) -> str:
    error_id = secrets.token_hex(4)
    log.error("error %s in %s %s", error_id, request.method, request.url.path, exc_info=error)
    return error_id


def _in_words(error: Mapping[str, Any]) -> str:
    kind, context = str(error["type"]), cast(dict[str, Any], error.get("ctx") or {})
    found = _shown(error.get("input"))
    match kind:
        case "missing":
            return "This is required."
        case "extra_forbidden":
            return "There is no such field."
        case "json_invalid":
            return f"{context.get('error', 'It is damaged')} at character {error['loc'][-1]}."
        case "string_type":
            return f"Expected text, found {found}."
        case "string_too_short":
            return f"Expected at least {context['min_length']} characters, found {len(str(error.get('input')))}."
        case "string_too_long":
            return f"Expected at most {context['max_length']} characters, found {len(str(error.get('input')))}."
        case "int_parsing" | "int_type" | "int_from_float":
            return f"Expected a whole number, found {found}."
        case "float_parsing" | "float_type" | "finite_number":
            return f"Expected a number, found {found}."
        case "bool_parsing" | "bool_type":
            return f"Expected true or false, found {found}."
        case "greater_than_equal":
            return f"Expected at least {context['ge']}, found {found}."
        case "less_than_equal":
            return f"Expected at most {context['le']}, found {found}."
        case "enum" | "literal_error":
            return f"Expected {context.get('expected')}, found {found}."
        case "model_attributes_type" | "dict_type" | "model_type":
            return "Expected a JSON object."
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case _:
            return str(error["msg"])


def _shown(value: object, longest: int = 40) -> str:
    if value is None or value == "":
        return "nothing"
    text = f"“{value}”" if isinstance(value, str) else str(value)
    return text if len(text) <= longest else text[:longest] + "…"
