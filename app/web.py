"""What every page and API file shares: dependencies, templates, redirects, and the two kinds of refusal.

Who somebody is and whether a request may change anything is decided in `app/security/gate.py`; it is only passed on
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy.orm import Session

from app.db import Database, User
from app.settings import Settings
from app.storage import Storage

ROOT = Path(__file__).resolve().parent.parent
templates = Jinja2Templates(directory=ROOT / "templates")
templates.env.trim_blocks = True
templates.env.lstrip_blocks = True


class PageNotFound(Exception):
    """There is no such thing; `what` names it in words for the person who asked."""

    def __init__(self, what: str = "page") -> None:
        self.what = what
        super().__init__(f"There is no such {what}.")


class NotAllowed(Exception):
    """Signed in, but this belongs to somebody else."""


class ApiError(Exception):
    """A refusal with a status, a code for programs, a message for people and, for forms, one message per field."""

    def __init__(
        self,
        status_code: int,
        code: str,
        message: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code, self.code, self.message, self.fields = status_code, code, message, dict(fields or {})
        self.headers = dict(headers or {})
        super().__init__(message)


def get_settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def get_database(request: Request) -> Database:
    return cast(Database, request.app.state.database)


def get_storage(request: Request) -> Storage:
    return cast(Storage, request.app.state.storage)


def get_read_session(request: Request) -> Iterator[Session]:
    with get_database(request).read() as session:
        yield session


def get_current_user(request: Request) -> User:
    """The signed-in user; `app/security/` has put it on the request, or answered before anybody asks here."""
    return cast(User, request.state.user)


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
StorageDep = Annotated[Storage, Depends(get_storage)]
ReadSession = Annotated[Session, Depends(get_read_session)]
CurrentUser = Annotated[User, Depends(get_current_user)]


def render(request: Request, template: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    """A page; every template also gets `current_user`, `csrf_token`, `path` and the moment it was drawn."""
    shared = {
        "current_user": getattr(request.state, "user", None),
        "csrf_token": getattr(request.state, "csrf_token", ""),
        "path": request.url.path,
        "drawn_at": datetime.now(UTC),
    }
    return templates.TemplateResponse(request, template, shared | context, status_code=status_code)


def redirect(path: str) -> RedirectResponse:
    """After a POST that worked: 303, so that a reload repeats nothing."""
    return RedirectResponse(path, status_code=303)


def require_owner(user: User, owner_id: int | None) -> None:
    if not user.may_change(owner_id):
        raise NotAllowed("Only its owner or an administrator may do this.")
