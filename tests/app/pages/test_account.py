import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import ApiToken, Database, User, WebSession
from app.pages.account import browser_name
from app.security.passwords import is_right
from tests import factories
from tests.conftest import PASSWORD, Browser, sign_in


def sent(client: Browser, path: str, **fields: str) -> Any:
    return client.send_form(path, **fields)


def password_of(database: Database, user: User) -> str:
    with database.read() as session:
        return session.get_one(User, user.id).password_hash


def test_a_new_password_replaces_the_old_one_and_ends_the_other_sessions(
    client: Browser, database: Database, admin: User
) -> None:
    factories.web_session(database, admin)
    answer = sent(client, "/account/password", current_password=PASSWORD, new_password="another good one")
    assert answer.status_code == 303
    assert is_right(password_of(database, admin), "another good one")
    with database.read() as session:
        assert len(session.scalars(select(WebSession)).all()) == 1
    name, _, rest = answer.headers["set-cookie"].partition("=")
    client.cookies.delete(name, domain="localhost.local")
    assert client.get("/").status_code == 303  # the old cookie is worth nothing any more
    client.cookies.set(name, rest.partition(";")[0])
    assert "is changed" in client.get(answer.headers["location"]).text


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong", "another good one", "current_password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, "admin", "new_password"),
    ],
)
def test_a_refused_password_is_said_at_its_field(
    client: Browser, database: Database, admin: User, current: str, new: str, field: str
) -> None:
    answer = sent(client, "/account/password", current_password=current, new_password=new)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert is_right(password_of(database, admin), PASSWORD)


def test_guessing_the_current_password_is_slowed_down(client: Browser) -> None:
    for _ in range(5):
        assert (
            sent(client, "/account/password", current_password="wrong", new_password="another good one").status_code
            == 422
        )
    assert (
        sent(client, "/account/password", current_password=PASSWORD, new_password="another good one").status_code == 429
    )


def test_a_token_is_shown_once_and_opens_the_api(app: FastAPI, client: Browser) -> None:
    answer = sent(client, "/account/tokens", label="夜のスクリプト")
    assert answer.status_code == 201
    found = re.search(r'id="new-token">([^<]+)<', answer.text)
    assert found is not None
    script = TestClient(app, base_url="http://localhost")
    script.headers["Authorization"] = f"Bearer {found[1]}"
    assert script.get("/api/v1/jobs").status_code == 200
    page = client.get("/account").text
    assert "夜のスクリプト" in page
    assert found[1] not in page


def test_a_reloaded_answer_makes_no_second_token(client: Browser, database: Database) -> None:
    sent(client, "/account/tokens", label="script")
    assert sent(client, "/account/tokens", label="script").status_code == 422
    with database.read() as session:
        assert len(session.scalars(select(ApiToken)).all()) == 1


@pytest.mark.parametrize("label", ["", "   ", "x" * 201, "a\nb"])
def test_a_label_that_cannot_be_shown_is_refused(client: Browser, label: str) -> None:
    answer = sent(client, "/account/tokens", label=label)
    assert answer.status_code == 422
    assert 'id="label-error"' in answer.text


def test_a_revoked_token_is_gone_and_others_cannot_revoke_it(client: Browser, database: Database, admin: User) -> None:
    factories.api_token(database, admin)
    factories.api_token(database, factories.user(database))
    with database.read() as session:
        own, foreign = session.scalars(select(ApiToken.id).order_by(ApiToken.id)).all()
    assert sent(client, f"/account/tokens/{foreign}/revoke").status_code == 404
    assert sent(client, f"/account/tokens/{own}/revoke").status_code == 303
    with database.read() as session:
        assert session.scalars(select(ApiToken.id)).all() == [foreign]


def test_the_others_are_signed_out(client: Browser, database: Database, admin: User) -> None:
    factories.web_session(database, admin)
    assert "Sign out the others" in client.get("/account").text
    sent(client, "/account/sessions/sign-out-others")
    page = client.get("/account").text
    assert "Sign out the others" not in page
    assert "(this one)" in page


def test_an_administrator_adds_a_user_who_can_sign_in(client: Browser, database: Database) -> None:
    assert sent(client, "/account/users", username="青木", password="correct horse").status_code == 303
    with database.read() as session:
        user = session.scalars(select(User).where(User.username == "青木")).one()
    assert not user.is_admin
    assert is_right(user.password_hash, "correct horse")
    assert sent(client, "/account/users", username="青木", password="correct horse").status_code == 422


def test_a_disabled_user_is_out_and_can_be_enabled_again(client: Browser, database: Database) -> None:
    user = factories.user(database)
    factories.web_session(database, user)
    assert sent(client, f"/account/users/{user.id}/disable").status_code == 303
    with database.read() as session:
        assert session.get_one(User, user.id).is_disabled
        assert session.scalars(select(WebSession).where(WebSession.user_id == user.id)).all() == []
    assert sent(client, f"/account/users/{user.id}/enable").status_code == 303
    with database.read() as session:
        assert not session.get_one(User, user.id).is_disabled


def test_nobody_disables_oneself(client: Browser, database: Database, admin: User) -> None:
    assert sent(client, f"/account/users/{admin.id}/disable").status_code == 409
    assert sent(client, "/account/users/999/disable").status_code == 404
    assert client.get("/account").status_code == 200


def test_others_see_no_users_and_change_none(app: FastAPI, database: Database, admin: User) -> None:
    guest = factories.user(database)
    with Browser(app, base_url="http://localhost", follow_redirects=False) as browser:
        sign_in(browser, database, guest)
        page = browser.get("/account").text
        assert "Add a user" not in page
        assert admin.username not in re.sub(r"administrators?", "", page)
        for path in ("/account/users", f"/account/users/{admin.id}/disable", f"/account/users/{guest.id}/enable"):
            assert sent(browser, path, username="x", password="correct horse").status_code == 403


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) AppleWebKit/605.1 Version/18 Safari/605.1", "Safari on macOS"),
        ("curl/8.0", "curl/8.0"),
        ("", "unknown"),
    ],
)
def test_a_browser_is_called_by_its_name(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
