"""Users as the pages, the command line and the set-up need them: added, changed, disabled. The rows are in `app/db`.

Sessions and tokens are in `app/security/sessions.py`, signing in is in `app/security/sign_in.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import ApiToken, User, WebSession
from app.db.base import now
from app.security.passwords import hash_password, password_fault, username_fault, username_key


class AccountError(Exception):
    """What is wrong, by field: "username", "password", or "" for the whole."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__(" ".join(self.fields.values()))


def has_users(session: Session) -> bool:
    return session.scalar(select(User.id).limit(1)) is not None


def find_user(session: Session, username: str) -> User | None:
    return session.scalars(select(User).where(User.username_key == username_key(username))).first()


def add_user(session: Session, username: str, password: str, *, is_admin: bool = False) -> User:
    """A new user, flushed; raises AccountError. Hash first, lock later: see `prepare_user`."""
    return save_user(session, prepare_user(username, password, is_admin=is_admin))


def prepare_user(username: str, password: str, *, is_admin: bool = False) -> User:
    """A checked user with a hashed password, not yet in any session: the slow part, done outside of transactions."""
    faults = {"username": username_fault(username), "password": password_fault(password, username)}
    if any(faults.values()):
        raise AccountError({field: fault for field, fault in faults.items() if fault})
    return User(
        username=username.strip(),
        username_key=username_key(username),
        password_hash=hash_password(password),
        is_admin=is_admin,
    )


def save_user(session: Session, user: User) -> User:
    taken = AccountError({"username": f"There is already a user “{user.username}”."})
    if session.scalar(select(User.id).where(User.username_key == user.username_key)) is not None:
        raise taken
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:  # PostgreSQL: somebody else was faster
        raise taken from error
    return user


def set_password(session: Session, user_id: int, password_hash: str, kept_session_id: int | None = None) -> None:
    """Ends the user's other sessions: whoever knew the old password is out. API tokens stay."""
    session.get_one(User, user_id).password_hash = password_hash
    others = delete(WebSession).where(WebSession.user_id == user_id)
    if kept_session_id is not None:
        others = others.where(WebSession.id != kept_session_id)
    session.execute(others)


def disable_user(session: Session, user_id: int) -> None:
    """Ends all sessions and tokens of the user; what the user made stays."""
    user = session.get_one(User, user_id)
    user.disabled_at = user.disabled_at or now()
    session.execute(delete(WebSession).where(WebSession.user_id == user_id))
    session.execute(delete(ApiToken).where(ApiToken.user_id == user_id))


def enable_user(session: Session, user_id: int) -> None:
    session.get_one(User, user_id).disabled_at = None


def list_users(session: Session) -> list[User]:
    return list(session.scalars(select(User).order_by(User.username_key)))
