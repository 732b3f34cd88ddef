import pytest
from sqlalchemy import select

from app.db import ApiToken, Database, WebSession
from app.security.accounts import AccountError, add_user, disable_user, enable_user, find_user, has_users, set_password
from app.security.passwords import hash_password, is_right
from tests import factories


def test_an_added_user_is_found_by_a_name_that_looks_the_same(any_database: Database) -> None:
    with any_database.write() as session:
        assert not has_users(session)
        add_user(session, "Ａoki", "correct horse battery", is_admin=True)
    with any_database.read() as session:
        user = find_user(session, "aoki")
        assert user is not None
        assert user.is_admin
        assert is_right(user.password_hash, "correct horse battery")
        assert has_users(session)


def test_a_name_is_given_once(any_database: Database) -> None:
    with any_database.write() as session:
        add_user(session, "aoki", "correct horse battery")
    with pytest.raises(AccountError) as refused, any_database.write() as session:
        add_user(session, "AOKI", "correct horse battery")
    assert "username" in refused.value.fields


def test_what_is_wrong_is_said_by_field(database: Database) -> None:
    with pytest.raises(AccountError) as refused, database.write() as session:
        add_user(session, "", "short")
    assert set(refused.value.fields) == {"username", "password"}


def test_a_disabled_user_loses_sessions_and_tokens_and_keeps_the_rest(database: Database) -> None:
    user = factories.user(database)
    factories.web_session(database, user)
    factories.api_token(database, user)
    upload = factories.upload(database, user_id=user.id)
    with database.write() as session:
        disable_user(session, user.id)
    with database.read() as session:
        assert session.scalars(select(WebSession)).all() == []
        assert session.scalars(select(ApiToken)).all() == []
        found = find_user(session, user.username)
        assert found is not None
        assert found.is_disabled
        assert session.get(type(upload), upload.id) is not None
    with database.write() as session:
        enable_user(session, user.id)
    with database.read() as session:
        found = find_user(session, user.username)
        assert found is not None
        assert not found.is_disabled


def test_a_new_password_ends_the_other_sessions_only(database: Database) -> None:
    user, other = factories.user(database), factories.user(database)
    kept, _ = factories.web_session(database, user)
    factories.web_session(database, user)
    foreign, _ = factories.web_session(database, other)
    with database.write() as session:
        set_password(session, user.id, hash_password("another password"), kept.id)
    with database.read() as session:
        assert set(session.scalars(select(WebSession.id))) == {kept.id, foreign.id}
