"""Browser sessions and API tokens: made, found, ended. Their secrets are 256 random bits and stored as SHA-256.

Which request carries which is decided in `app/security/gate.py`.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.db import ApiToken, Database, User, WebSession
from app.db.base import now
from app.settings import Settings

IDLE_LIMIT = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)
TOKEN_PREFIX = "ty_"  # lets secret scanners and people recognise one


@dataclass(frozen=True)
class Visitor:
    """Who sends a request: a user by a session or by an API token."""

    user: User
    session_id: int | None = None
    token_id: int | None = None
    csrf_token: str = ""
    is_stale: bool = False  # last seen long enough ago to be written down again


def cookie_name(settings: Settings) -> str:
    """Browsers keep cookies by host, not by port: two Trainyards on one machine must not end each other's sessions."""
    return "__Host-trainyard" if settings.secure_cookies else f"trainyard_{settings.port}"


def open_session(session: Session, user_id: int, settings: Settings, browser: str = "") -> str:
    """The token for the cookie of a new session."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(WebSession).where(WebSession.expires_at < now()))
    session.add(
        WebSession(
            user_id=user_id,
            token_hash=digest(token),
            csrf_token=secrets.token_urlsafe(32),
            browser=browser[:255],
            expires_at=now() + timedelta(days=settings.session_days),
        )
    )
    return token


def find_session(session: Session, token: str) -> Visitor | None:
    moment = now()
    row = session.scalars(select(WebSession).where(WebSession.token_hash == digest(token))).first()
    if row is None or row.user.is_disabled or row.expires_at <= moment or row.last_seen_at <= moment - IDLE_LIMIT:
        return None
    is_stale = row.last_seen_at <= moment - SEEN_EVERY
    return Visitor(user=row.user, session_id=row.id, csrf_token=row.csrf_token, is_stale=is_stale)


def close_session(session: Session, token: str) -> None:
    session.execute(delete(WebSession).where(WebSession.token_hash == digest(token)))


def rotate_session(session: Session, session_id: int) -> str:
    """A new token for the cookie of a session; the old one is worth nothing any more."""
    token = secrets.token_urlsafe(32)
    session.get_one(WebSession, session_id).token_hash = digest(token)
    return token


def close_other_sessions(session: Session, user_id: int, kept_id: int) -> None:
    session.execute(delete(WebSession).where(WebSession.user_id == user_id, WebSession.id != kept_id))


def sessions_of(session: Session, user_id: int) -> list[WebSession]:
    moment = now()
    alive = (WebSession.expires_at > moment, WebSession.last_seen_at > moment - IDLE_LIMIT)
    statement = select(WebSession).where(WebSession.user_id == user_id, *alive)
    return list(session.scalars(statement.order_by(WebSession.last_seen_at.desc())))


def new_api_token(session: Session, user_id: int, label: str) -> tuple[ApiToken, str]:
    """The row, flushed, and the token itself, which is shown once."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(user_id=user_id, label=label, token_hash=digest(token))
    session.add(row)
    session.flush()
    return row, token


def find_api_token(session: Session, token: str) -> Visitor | None:
    row = session.scalars(select(ApiToken).where(ApiToken.token_hash == digest(token))).first()
    if row is None or row.user.is_disabled:
        return None
    is_stale = row.last_used_at is None or row.last_used_at <= now() - SEEN_EVERY
    return Visitor(user=row.user, token_id=row.id, is_stale=is_stale)


def tokens_of(session: Session, user_id: int, limit: int = 100, after: int | None = None) -> list[ApiToken]:
    """Newest first."""
    statement = select(ApiToken).where(ApiToken.user_id == user_id)
    if after is not None:
        statement = statement.where(ApiToken.id < after)
    return list(session.scalars(statement.order_by(ApiToken.id.desc()).limit(limit)))


def revoke_api_token(session: Session, user_id: int, token_id: int) -> bool:
    """False if the user has no such token."""
    row = session.get(ApiToken, token_id)
    if row is None or row.user_id != user_id:
        return False
    session.delete(row)
    return True


def write_seen(database: Database, visitor: Visitor) -> None:
    """Notes when this session or token was last used: the only thing that reading a page may write."""
    with database.write() as session:
        if visitor.session_id is not None:
            where = WebSession.id == visitor.session_id
            session.execute(update(WebSession).where(where).values(last_seen_at=now()))
        elif visitor.token_id is not None:
            session.execute(update(ApiToken).where(ApiToken.id == visitor.token_id).values(last_used_at=now()))


def digest(token: str) -> str:
    """A fast hash is right for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
