"""The pages that need no session: sign-in and set-up; and the way out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.db import User
from app.security.accounts import AccountError, has_users
from app.security.gate import address_of, clear_session_cookie, safe_next, set_session_cookie
from app.security.sessions import close_session, cookie_name, open_session
from app.security.sign_in import SignInRefused, set_up, sign_in
from app.web import DatabaseDep, ReadSession, SettingsDep, redirect, render

router = APIRouter(include_in_schema=False)

Field = Annotated[str, Form()]


@router.get("/sign-in")
def show_sign_in(request: Request, session: ReadSession, next: str = "") -> Response:
    if request.state.user is not None:
        return redirect(safe_next(next))
    if not has_users(session):
        return redirect("/setup")
    return render(request, "account/sign_in.html", form=None, next=safe_next(next))


@router.post("/sign-in")
def submit_sign_in(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    username: Field = "",
    password: Field = "",
    next: Field = "",
) -> Response:
    try:
        user = sign_in(database, username, password, address_of(request))
    except SignInRefused as refusal:
        form = {"values": {"username": username}, "errors": {"": refusal.message}}
        return _refused(render(
            request, "account/sign_in.html", status_code=_status(refusal), form=form, next=safe_next(next)
        ), refusal)  # fmt: skip
    with database.write() as session:
        token = _fresh_session(request, session, user)
    response = redirect(safe_next(next))
    set_session_cookie(response, settings, token)
    return response


@router.post("/sign-out")
def submit_sign_out(request: Request, database: DatabaseDep, settings: SettingsDep) -> Response:
    token = request.cookies.get(cookie_name(settings))
    if token:
        with database.write() as session:
            close_session(session, token)
    response = redirect("/sign-in")
    clear_session_cookie(response, settings)
    return response


@router.get("/setup")
def show_setup(request: Request, session: ReadSession) -> Response:
    if has_users(session):
        return redirect("/")
    return render(request, "account/setup.html", form=None, has_code=bool(request.app.state.setup_code))


@router.post("/setup")
def submit_setup(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    code: Field = "",
    username: Field = "",
    password: Field = "",
) -> Response:
    with database.read() as session:
        if has_users(session):
            return redirect("/")
    expected = request.app.state.setup_code
    refusal: SignInRefused | None = None
    try:
        user = set_up(database, expected, code, username, password, address_of(request))
    except AccountError as error:
        errors = error.fields
    except SignInRefused as error:
        refusal, errors = error, {error.field: error.message}
    else:
        with database.write() as session:
            token = _fresh_session(request, session, user)
        response = redirect("/")
        set_session_cookie(response, settings, token)
        return response
    form = {"values": {"code": code, "username": username}, "errors": errors}
    status_code = _status(refusal) if refusal else 422
    page = render(request, "account/setup.html", status_code=status_code, form=form, has_code=bool(expected))
    return _refused(page, refusal)


def _fresh_session(request: Request, session: Session, user: User) -> str:
    """A session with a new token; the one the browser had, if any, ends."""
    old = request.cookies.get(cookie_name(request.app.state.settings))
    if old:
        close_session(session, old)
    return open_session(session, user.id, request.app.state.settings, request.headers.get("user-agent", ""))


def _status(refusal: SignInRefused) -> int:
    return 422 if refusal.retry_after_s is None else 429


def _refused(response: Response, refusal: SignInRefused | None) -> Response:
    if refusal is not None and refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response
