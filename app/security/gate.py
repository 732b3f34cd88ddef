"""Who a request comes from and whether it may change anything: one gate in front of every page and every file.

Without a session or an API token there are only sign-in, set-up, health and static files. A request that may change
something and is not authenticated by an API token must carry the CSRF token and come from one of our own pages. The
gate is plain ASGI: it passes event streams and 50 GB bodies through untouched.

Passwords are in `passwords.py`, attempts in `sign_in.py`, sessions and tokens in `sessions.py`, the search for the CSRF
token in `csrf.py`, all beside this file.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import cast
from urllib.parse import quote, urlsplit

from fastapi import FastAPI
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db import Database
from app.errors import database_away, is_api, refusal
from app.security import csrf
from app.security.accounts import has_users
from app.security.headers import add_headers
from app.security.sessions import Visitor, cookie_name, find_api_token, find_session, write_seen
from app.settings import Settings

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SIGN_IN_PAGES = frozenset({"/sign-in", "/setup"})
TOKENS_PATH = "/api/v1/tokens"
HEALTH_PATH = "/api/v1/health"
# Everything else is read into memory or a temporary file somewhere; uploads are streamed and limited by themselves.
MAX_BODY_BYTES = 64 * 1024 * 1024
STREAMED = ("/uploads", "/api/v1/uploads")
STREAMED_EXACTLY = frozenset({"/pretrained", "/api/v1/pretrained"})


def install(app: FastAPI) -> None:
    app.add_middleware(Gate)


def is_public(method: str, path: str) -> bool:
    if path in SIGN_IN_PAGES or path == HEALTH_PATH or path.startswith("/static/"):
        return True
    return path == TOKENS_PATH and method == "POST"


def safe_next(wanted: str | None) -> str:
    """Where to go after signing in: a page of this site, or home."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return "/"
    if any(ord(char) < 32 or char == "\\" for char in wanted) or len(wanted) > 2000:
        return "/"
    parts = urlsplit(wanted)
    if parts.scheme or parts.netloc or parts.path in SIGN_IN_PAGES or parts.path == "/sign-out":
        return "/"
    return wanted


def set_session_cookie(response: Response, settings: Settings, token: str) -> None:
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=settings.session_days * 86_400,
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


def clear_session_cookie(response: Response, settings: Settings) -> None:
    response.delete_cookie(
        cookie_name(settings), path="/", secure=settings.secure_cookies, httponly=True, samesite="lax"
    )


def visitor_of(request: Request) -> Visitor:
    """Who the gate let in."""
    return cast(Visitor, request.state.visitor)


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


class Gate:
    """The middleware. What it finds lies on request.state: user, visitor, csrf_token."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        send = _with_headers(send, request.url.path)
        if request.url.path.startswith("/static/"):
            await self.app(scope, receive, send)
            return
        try:
            await self._admit(request, send)
        except ClientDisconnect:
            log.debug("%s %s: the client went away", request.method, request.url.path)

    async def _admit(self, request: Request, send: Send) -> None:
        scope, receive = request.scope, request.receive
        try:
            visitor = await run_in_threadpool(_identify, request)
        except OperationalError as error:  # out here nobody else would turn it into an answer
            request.state.user = None
            await database_away(request, error)(scope, receive, send)
            return
        is_sign_in = request.url.path in SIGN_IN_PAGES
        request.state.visitor = visitor
        request.state.user = visitor.user if visitor else None
        # The sign-in page of a second tab still holds its own token after the first one has signed in.
        request.state.csrf_token = visitor.csrf_token if visitor and not is_sign_in else _visit_token(request)
        if visitor is None and not is_public(request.method, request.url.path):
            response = await run_in_threadpool(_turned_away, request)
            await response(scope, receive, send)
            return
        if _must_be_ours(request):
            no, receive = await _check_origin_and_token(request)
            if no is not None:
                await no(scope, receive, send)
                return
        if is_sign_in:
            send = _with_visit_cookie(send, request)
        if not request.url.path.startswith(STREAMED) and request.url.path not in STREAMED_EXACTLY:
            receive = _limited(receive)
        await self.app(scope, receive, send)
        if visitor is not None and visitor.is_stale:
            await run_in_threadpool(_note_seen, request.app.state.database, visitor)


def _identify(request: Request) -> Visitor | None:
    """The visitor by API token or by session; a wrong token is not made good by a session."""
    authorization = request.headers.get("authorization")
    token = request.cookies.get(cookie_name(request.app.state.settings))
    if authorization is None and not token:
        return None
    database: Database = request.app.state.database
    with database.read() as session:
        if authorization is not None:
            scheme, _, secret = authorization.partition(" ")
            return find_api_token(session, secret.strip()) if scheme.lower() == "bearer" else None
        return find_session(session, token or "")


def _turned_away(request: Request) -> Response:
    """401 for programs and for what pages fetch, the sign-in (or set-up) page for people."""
    path = request.url.path
    wants_page = request.headers.get("sec-fetch-dest", "document") == "document"
    if is_api(path) or not wants_page:
        message = "Expected a session or an “Authorization: Bearer …” header with a valid API token."
        return refusal(request, 401, message, headers={"WWW-Authenticate": "Bearer"})
    database: Database = request.app.state.database
    with database.read() as session:
        if not has_users(session):
            return RedirectResponse("/setup", status_code=303)
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = safe_next(path + query) if request.method in ("GET", "HEAD") else "/"
    return RedirectResponse("/sign-in" + (f"?next={quote(wanted)}" if wanted != "/" else ""), status_code=303)


def _must_be_ours(request: Request) -> bool:
    """Whether this is something that another site could make a browser send, and that may change something."""
    if request.method in SAFE_METHODS:
        return False
    visitor: Visitor | None = request.state.visitor
    return visitor is None or visitor.token_id is None


async def _check_origin_and_token(request: Request) -> tuple[Response | None, Receive]:
    """A refusal or None, and the way to read the body from its start."""
    if not _is_own_origin(request):
        log.warning("refused %s %s from origin %r", request.method, request.url.path, request.headers.get("origin"))
        return refusal(request, 403, "This request comes from another site.", code="foreign_origin"), request.receive
    if request.url.path == TOKENS_PATH and request.state.visitor is None:
        return None, request.receive  # carries its own name and password
    try:
        found = await csrf.find_token(request)
    except csrf.FormTooLarge:
        return refusal(request, 413, "The form is larger than 8 MB."), request.receive
    expected = cast(str, request.state.csrf_token)
    if expected and hmac.compare_digest(expected.encode(), found.token.encode("utf-8", "replace")):
        return None, found.receive
    message = (
        "The mark that says that this comes from your own page is missing or old. Please go back, load the page again "
        "and repeat what you did."
    )
    return refusal(request, 403, message, code="csrf"), found.receive


def _is_own_origin(request: Request) -> bool:
    """By Origin, which browsers send with everything but GET; scripts send none."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if site in ("same-origin", "none") and origin in (None, "null"):
        return True
    if site == "cross-site" or origin == "null":
        return False
    if origin is None:
        return True
    # A proxy may pass its own name as Host; another site's page cannot make a browser send X-Forwarded-Host.
    own = {request.headers.get("host", "").lower(), request.headers.get("x-forwarded-host", "").lower()}
    return urlsplit(origin).netloc.lower() in own - {""}


def _visit_cookie_name(settings: Settings) -> str:
    return cookie_name(settings) + "_visit"


def _visit_token(request: Request) -> str:
    """Before there is a session the CSRF token is one that a cookie of the sign-in page carries."""
    known = request.cookies.get(_visit_cookie_name(request.app.state.settings), "")
    return known if len(known) == 43 else secrets.token_urlsafe(32)


def _with_visit_cookie(send: Send, request: Request) -> Send:
    settings: Settings = request.app.state.settings
    visit = cast(str, request.state.csrf_token)

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and request.method in ("GET", "HEAD"):
            carrier = Response()
            carrier.set_cookie(
                _visit_cookie_name(settings),
                visit,
                path="/",
                secure=settings.secure_cookies,
                httponly=True,
                samesite="lax",
            )
            MutableHeaders(scope=message).append("set-cookie", carrier.headers["set-cookie"])
        await send(message)

    return sending


def _with_headers(send: Send, path: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            add_headers(MutableHeaders(scope=message), path)
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, f"The request is larger than {MAX_BODY_BYTES // 2**20} MiB.")
        return message

    return receiving


def _note_seen(database: Database, visitor: Visitor) -> None:
    try:
        write_seen(database, visitor)
    except SQLAlchemyError as error:
        log.warning("could not note when a session was last used: %s", error)
