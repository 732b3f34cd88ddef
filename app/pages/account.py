"""One's own account: password, API tokens, sessions; for administrators also who else may sign in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.db import Database, User
from app.errors import messages_by_field
from app.pages import sign_in
from app.schemas.account import TokenLabel
from app.security.accounts import (
    AccountError,
    disable_user,
    enable_user,
    list_users,
    prepare_user,
    save_user,
    set_password,
)
from app.security.gate import address_of, set_session_cookie, visitor_of
from app.security.passwords import hash_password, password_fault
from app.security.sessions import (
    close_other_sessions,
    new_api_token,
    revoke_api_token,
    rotate_session,
    sessions_of,
    tokens_of,
)
from app.security.sign_in import SignInRefused, check_password
from app.web import CurrentUser, DatabaseDep, NotAllowed, PageNotFound, ReadSession, SettingsDep, redirect, render

router = APIRouter(include_in_schema=False)
router.include_router(sign_in.router)

Field = Annotated[str, Form()]
TOKENS_SHOWN = 100
DONE = {
    "password": "Your password is changed. Your other sessions are signed out; API tokens still work.",
    "sessions": "Your other sessions are signed out.",
    "revoked": "The token is revoked.",
    "user": "The user may now sign in.",
    "disabled": "The user is disabled, signed out everywhere, and the user's tokens are revoked.",
    "enabled": "The user may sign in again.",
}


@router.get("/account")
def show(request: Request, session: ReadSession, user: CurrentUser, done: str = "") -> HTMLResponse:
    return _page(request, session, user, flashes=[DONE[done]] if done in DONE else [])


@router.post("/account/password")
def change_password(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    user: CurrentUser,
    current_password: Field = "",
    new_password: Field = "",
) -> Response:
    errors, status_code = _password_errors(request, database, user, current_password, new_password)
    if errors:
        return _again(request, database, user, status_code, password_form={"errors": errors})
    new_hash, visitor = hash_password(new_password), visitor_of(request)
    response = redirect("/account?done=password")
    with database.write() as session:
        set_password(session, user.id, new_hash, visitor.session_id)
        if visitor.session_id is not None:
            set_session_cookie(response, settings, rotate_session(session, visitor.session_id))
    return response


def _password_errors(
    request: Request, database: Database, user: User, current: str, new: str
) -> tuple[dict[str, str], int]:
    try:
        is_known = check_password(database, user, current, address_of(request))
    except SignInRefused as refusal:
        return {"": refusal.message}, 429
    errors = {} if is_known else {"current_password": "This is not your password."}
    fault = password_fault(new, user.username)
    return (errors | {"new_password": fault} if fault else errors), 422


@router.post("/account/tokens")
def create_token(request: Request, database: DatabaseDep, user: CurrentUser, label: Field = "") -> Response:
    """Answers with the page itself, not with 303: the token is shown this once and kept nowhere."""
    try:
        wanted = TokenLabel.model_validate({"label": label})
    except ValidationError as error:
        form = {"values": {"label": label}, "errors": messages_by_field(error.errors())}
        return _again(request, database, user, 422, token_form=form)
    with database.write() as session:
        if any(token.label == wanted.label for token in tokens_of(session, user.id)):
            token = ""  # also what a reload of the answer comes to
        else:
            token = new_api_token(session, user.id, wanted.label)[1]
    if not token:
        fault = "You have a token with this label already. Revoke it first, or choose another label."
        form = {"values": {"label": label}, "errors": {"label": fault}}
        return _again(request, database, user, 422, token_form=form)
    return _again(request, database, user, 201, new_token={"label": wanted.label, "token": token})


@router.post("/account/tokens/{token_id:int}/revoke")
def revoke_token(database: DatabaseDep, user: CurrentUser, token_id: int) -> Response:
    with database.write() as session:
        if not revoke_api_token(session, user.id, token_id):
            raise PageNotFound("token")
    return redirect("/account?done=revoked#tokens")


@router.post("/account/sessions/sign-out-others")
def sign_out_others(request: Request, database: DatabaseDep, user: CurrentUser) -> Response:
    visitor = visitor_of(request)
    if visitor.session_id is not None:
        with database.write() as session:
            close_other_sessions(session, user.id, visitor.session_id)
    return redirect("/account?done=sessions#sessions")


@router.post("/account/users")
def create_user(
    request: Request,
    database: DatabaseDep,
    user: CurrentUser,
    username: Field = "",
    password: Field = "",
    is_admin: Field = "",
) -> Response:
    _require_admin(user)
    try:
        added = prepare_user(username, password, is_admin=is_admin == "true")
        with database.write() as session:
            save_user(session, added)
    except AccountError as error:
        form = {"values": {"username": username, "is_admin": is_admin}, "errors": error.fields}
        return _again(request, database, user, 422, user_form=form)
    return redirect("/account?done=user#users")


@router.post("/account/users/{user_id:int}/disable")
def disable(request: Request, database: DatabaseDep, user: CurrentUser, user_id: int) -> Response:
    _require_admin(user)
    if user_id == user.id:
        flash = {"kind": "error", "text": "You cannot disable yourself; another administrator can."}
        return _again(request, database, user, 409, flashes=[flash])
    with database.write() as session:
        _require_user(session, user_id)
        disable_user(session, user_id)
    return redirect("/account?done=disabled#users")


@router.post("/account/users/{user_id:int}/enable")
def enable(database: DatabaseDep, user: CurrentUser, user_id: int) -> Response:
    _require_admin(user)
    with database.write() as session:
        _require_user(session, user_id)
        enable_user(session, user_id)
    return redirect("/account?done=enabled#users")


def _require_admin(user: User) -> None:
    if not user.is_admin:
        raise NotAllowed("Only an administrator may do this.")


def _require_user(session: Session, user_id: int) -> None:
    if session.get(User, user_id) is None:
        raise PageNotFound("user")


def _again(request: Request, database: Database, user: User, status_code: int, **context: Any) -> HTMLResponse:
    """The page with what a form came to."""
    with database.read() as session:
        return _page(request, session, user, status_code=status_code, **context)


def _page(request: Request, session: Session, user: User, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    shared = {
        "tokens": tokens_of(session, user.id, TOKENS_SHOWN),
        "sessions": [(row, browser_name(row.browser)) for row in sessions_of(session, user.id)],
        "current_session_id": visitor_of(request).session_id,
        "users": list_users(session) if user.is_admin else [],
        "password_form": None,
        "token_form": None,
        "user_form": None,
        "new_token": None,
    }
    return render(request, "account/show.html", status_code=status_code, **(shared | context))


def browser_name(user_agent: str) -> str:
    """ "Firefox on Linux"; the beginning of what the browser says of itself when it is none that we know."""
    browsers = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
    systems = {"Windows": "Windows", "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Mac OS": "macOS",
               "CrOS": "ChromeOS", "Linux": "Linux"}  # fmt: skip
    browser = next((name for word, name in browsers.items() if f"{word}/" in user_agent), "")
    system = next((name for word, name in systems.items() if word in user_agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return user_agent[:60] or "unknown"
