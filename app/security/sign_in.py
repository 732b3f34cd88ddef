"""Signing in and setting up: how often somebody may try, counted in rows so that it holds for every process.

An attempt is written down before it is looked at, so that many at once do not slip through; a right one takes its
own mark away again. The answer to a wrong name and to a wrong password is the same, in text and in time.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db import Database, SignInAttempt, User
from app.db.base import now
from app.security.accounts import find_user, has_users, prepare_user, save_user
from app.security.passwords import hash_password, is_outdated, is_right, username_key

WINDOW = timedelta(minutes=15)
KEPT = timedelta(days=1)
LONGEST_WAIT_S = 300.0
FIRST_WAIT_S = 15.0
# Tries in the window before waiting begins; then 15 s, 30 s, 60 s … up to five minutes between two tries.
FREE_TRIES = {"user": 5, "address": 20, "setup": 10}

WRONG = "User name and password do not fit together."
WRONG_CODE = "This is not the code that the server printed when it started."


class SignInRefused(Exception):
    """Not signed in; `retry_after_s` is set when it was not even tried."""

    def __init__(self, message: str, retry_after_s: int | None = None, field: str = "") -> None:
        self.message, self.retry_after_s, self.field = message, retry_after_s, field
        super().__init__(message)


def sign_in(database: Database, username: str, password: str, address: str) -> User:
    """The user whom name and password belong to; raises SignInRefused."""
    keys = [f"user:{username_key(username)[:150]}", _address_key(address)]
    marks = _note_attempt(database, keys)
    with database.read() as session:
        user = find_user(session, username)
    known = user if user is not None and not user.is_disabled else None
    if not is_right(known.password_hash if known else None, password) or known is None:
        raise SignInRefused(WRONG)
    better_hash = hash_password(password) if is_outdated(known.password_hash) else None
    with database.write() as session:
        session.execute(delete(SignInAttempt).where(SignInAttempt.key == keys[0]))
        _forget(session, marks)
        if better_hash is not None:
            session.get_one(User, known.id).password_hash = better_hash
    return known


def set_up(database: Database, expected_code: str, code: str, username: str, password: str, address: str) -> User:
    """The first user, an administrator. Raises SignInRefused for a wrong code, AccountError for name and password."""
    marks = _note_attempt(database, ["setup:", _address_key(address)])
    if not expected_code or not hmac.compare_digest(_bare(expected_code).encode(), _bare(code).encode()):
        raise SignInRefused(WRONG_CODE, field="code")
    with database.write() as session:
        _forget(session, marks)
    user = prepare_user(username, password, is_admin=True)
    with database.write() as session:
        if has_users(session):
            raise SignInRefused("Somebody else has just set this server up. Please sign in.")
        return save_user(session, user)


def check_password(database: Database, user: User, password: str, address: str) -> bool:
    """Whether this is the user's password; counted like an attempt to sign in, raises SignInRefused after too many."""
    marks = _note_attempt(database, [f"user:{user.username_key}", _address_key(address)])
    if not is_right(user.password_hash, password):
        return False
    with database.write() as session:
        _forget(session, marks)
    return True


def wait_s(kind: str, attempts: list[datetime], moment: datetime) -> float:
    """How long the next try has to wait, given those of the window."""
    excess = len(attempts) - FREE_TRIES[kind]
    if excess < 0:
        return 0.0
    pause = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(excess, 20))
    return max(0.0, pause - (moment - max(attempts)).total_seconds())


def _note_attempt(database: Database, keys: list[str]) -> list[int]:
    """Writes the attempt down under every key and gives the ids of the rows; raises SignInRefused if it must wait."""
    moment = now()
    with database.write() as session:
        session.execute(delete(SignInAttempt).where(SignInAttempt.at < moment - KEPT))
        waits = [_wait_of(session, key, moment) for key in keys]
        if max(waits) > 0:
            raise SignInRefused(_too_many(max(waits)), retry_after_s=math.ceil(max(waits)))
        rows = [SignInAttempt(key=key, at=moment) for key in keys]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def _wait_of(session: Session, key: str, moment: datetime) -> float:
    recent = select(SignInAttempt.at).where(SignInAttempt.key == key, SignInAttempt.at > moment - WINDOW)
    return wait_s(key.split(":", 1)[0], list(session.scalars(recent)), moment)


def _forget(session: Session, marks: list[int]) -> None:
    session.execute(delete(SignInAttempt).where(SignInAttempt.id.in_(marks)))


def _too_many(seconds: float) -> str:
    rest = f"{math.ceil(seconds)} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
    return f"Too many attempts to sign in. Please try again in {rest}."


def _address_key(address: str) -> str:
    """One key for an IPv4 address, one for a whole IPv6 /64: that is what one customer holds."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return f"address:{address[:150]}"
    if ip.version == 6:
        return f"address:{ipaddress.ip_network((int(ip) >> 64 << 64, 64))}"
    return f"address:{ip}"


def _bare(code: str) -> str:
    """A code without what people add or lose when they copy it."""
    return "".join(code.split()).replace("-", "").casefold()
