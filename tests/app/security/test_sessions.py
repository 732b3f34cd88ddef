from datetime import timedelta

from sqlalchemy import select

from app.db import ApiToken, Database, WebSession
from app.db.base import now
from app.security.sessions import (
    IDLE_LIMIT,
    close_other_sessions,
    close_session,
    cookie_name,
    find_api_token,
    find_session,
    new_api_token,
    open_session,
    revoke_api_token,
    rotate_session,
    sessions_of,
    tokens_of,
    write_seen,
)
from app.settings import Settings
from tests import factories

SETTINGS = Settings(session_days=30)


def opened(database: Database, user_id: int) -> str:
    with database.write() as session:
        return open_session(session, user_id, SETTINGS, "Firefox")


def found(database: Database, token: str) -> int | None:
    with database.read() as session:
        visitor = find_session(session, token)
    return visitor.session_id if visitor else None


def changed(database: Database, token: str, **values: object) -> None:
    session_id = found(database, token)
    with database.write() as session:
        row = session.get_one(WebSession, session_id)
        for name, value in values.items():
            setattr(row, name, value)


def test_the_cookie_s_token_is_not_in_the_database(database: Database) -> None:
    token = opened(database, factories.user(database).id)
    assert len(token) == 43  # 256 bits
    with database.read() as session:
        row = session.scalars(select(WebSession)).one()
    assert token not in (row.token_hash, row.csrf_token)
    assert len(row.token_hash) == 64


def test_a_session_finds_its_user_until_it_is_closed(database: Database) -> None:
    user = factories.user(database)
    token = opened(database, user.id)
    with database.read() as session:
        visitor = find_session(session, token)
    assert visitor is not None
    assert visitor.user.id == user.id
    with database.write() as session:
        close_session(session, token)
    assert found(database, token) is None


def test_a_session_ends_when_it_is_old_and_when_it_is_idle(database: Database) -> None:
    user = factories.user(database)
    old, idle, fresh = (opened(database, user.id) for _ in range(3))
    changed(database, old, expires_at=now() - timedelta(seconds=1))
    changed(database, idle, last_seen_at=now() - IDLE_LIMIT - timedelta(seconds=1))
    assert found(database, old) is None
    assert found(database, idle) is None
    assert found(database, fresh) is not None
    with database.read() as session:
        assert len(sessions_of(session, user.id)) == 1


def test_a_session_of_a_disabled_user_is_none(database: Database) -> None:
    user = factories.user(database)
    token = opened(database, user.id)
    with database.write() as session:
        session.get_one(type(user), user.id).disabled_at = now()
    assert found(database, token) is None


def test_a_rotated_session_has_another_token(database: Database) -> None:
    token = opened(database, factories.user(database).id)
    session_id = found(database, token)
    assert session_id is not None
    with database.write() as session:
        newer = rotate_session(session, session_id)
    assert found(database, token) is None
    assert found(database, newer) == session_id


def test_others_are_signed_out_and_this_one_stays(database: Database) -> None:
    user, somebody = factories.user(database), factories.user(database)
    kept, other, foreign = opened(database, user.id), opened(database, user.id), opened(database, somebody.id)
    session_id = found(database, kept)
    assert session_id is not None
    with database.write() as session:
        close_other_sessions(session, user.id, session_id)
    assert [found(database, token) is not None for token in (kept, other, foreign)] == [True, False, True]


def test_a_session_is_noted_as_seen_at_most_once_a_minute(database: Database) -> None:
    token = opened(database, factories.user(database).id)
    with database.read() as session:
        visitor = find_session(session, token)
    assert visitor is not None
    assert not visitor.is_stale
    changed(database, token, last_seen_at=now() - timedelta(minutes=2))
    with database.read() as session:
        visitor = find_session(session, token)
    assert visitor is not None
    assert visitor.is_stale
    write_seen(database, visitor)
    with database.read() as session:
        again = find_session(session, token)
    assert again is not None
    assert not again.is_stale


def test_an_api_token_is_stored_hashed_and_works_until_it_is_revoked(database: Database) -> None:
    user, other = factories.user(database), factories.user(database)
    with database.write() as session:
        row, token = new_api_token(session, user.id, "night script")
    with database.read() as session:
        visitor = find_api_token(session, token)
        assert visitor is not None
        assert visitor.is_stale  # never used: its first use is written down
        assert visitor.user.id == user.id
        assert token not in session.scalars(select(ApiToken.token_hash)).all()
    write_seen(database, visitor)
    with database.read() as session:
        assert tokens_of(session, user.id)[0].last_used_at is not None
        assert tokens_of(session, other.id) == []
    with database.write() as session:
        assert not revoke_api_token(session, other.id, row.id)
        assert revoke_api_token(session, user.id, row.id)
    with database.read() as session:
        assert find_api_token(session, token) is None


def test_two_servers_on_one_machine_use_different_cookies() -> None:
    assert cookie_name(Settings(port=8080)) != cookie_name(Settings(port=8081))
    assert cookie_name(Settings(secure_cookies=True)).startswith("__Host-")
