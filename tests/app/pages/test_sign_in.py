"""Sign-in, set-up and the way out, as a browser without JavaScript meets them."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import Database, User, WebSession
from tests.conftest import PASSWORD, Browser

COOKIE = "trainyard_8080"


def csrf_in(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def sent(browser: TestClient, path: str, **fields: str) -> Any:
    """Opens the page and sends its form."""
    return browser.post(path, data={"csrf_token": csrf_in(browser.get(path).text), **fields})


def test_the_right_password_opens_a_session_and_leads_back(anonymous: TestClient, admin: User) -> None:
    answer = sent(anonymous, "/sign-in", username="admin", password=PASSWORD, next="/models?q=犬")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models?q=%E7%8A%AC")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert anonymous.get("/").status_code == 200


def test_behind_tls_the_cookie_is_for_tls_only(app: FastAPI, admin: User) -> None:
    from dataclasses import replace

    app.state.settings = replace(app.state.settings, secure_cookies=True)
    with TestClient(app, base_url="https://localhost", follow_redirects=False) as browser:
        cookie = sent(browser, "/sign-in", username="admin", password=PASSWORD).headers["set-cookie"]
    assert cookie.startswith("__Host-trainyard=")
    assert "Secure" in cookie


def test_a_wrong_password_comes_back_with_the_name_and_without_the_password(anonymous: TestClient, admin: User) -> None:
    answer = sent(anonymous, "/sign-in", username="admin", password="my secret try")
    assert answer.status_code == 422
    assert "do not fit together" in answer.text
    assert 'value="admin"' in answer.text
    assert "my secret try" not in answer.text
    assert COOKIE not in anonymous.cookies


def test_an_unknown_name_is_answered_like_a_wrong_password(anonymous: TestClient, admin: User) -> None:
    pages = [sent(anonymous, "/sign-in", username=name, password="wrong").text for name in ("admin", "nimda")]
    assert pages[0].replace("admin", "nimda") == pages[1].replace("admin", "nimda")


def test_too_many_attempts_have_to_wait(anonymous: TestClient, admin: User) -> None:
    for _ in range(5):
        sent(anonymous, "/sign-in", username="admin", password="wrong")
    answer = sent(anonymous, "/sign-in", username="admin", password=PASSWORD)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "try again in" in answer.text


def test_every_sign_in_gets_a_new_session_and_ends_the_old_one(
    anonymous: TestClient, admin: User, database: Database
) -> None:
    sent(anonymous, "/sign-in", username="admin", password=PASSWORD)
    first = anonymous.cookies[COOKIE]
    page = anonymous.cookies.pop(COOKIE, None) and anonymous.get("/sign-in").text
    anonymous.cookies.set(COOKIE, str(first), domain="localhost.local")
    form = {"csrf_token": csrf_in(str(page)), "username": "admin", "password": PASSWORD}
    answer = anonymous.post("/sign-in", data=form)
    assert answer.status_code == 303
    assert f"{COOKIE}={first}" not in answer.headers["set-cookie"]
    with database.read() as session:
        assert len(session.scalars(select(WebSession)).all()) == 1


def test_a_session_that_somebody_planted_is_not_taken_over(anonymous: TestClient, admin: User) -> None:
    anonymous.cookies.set(COOKIE, "chosen-by-an-attacker")
    answer = sent(anonymous, "/sign-in", username="admin", password=PASSWORD)
    assert "chosen-by-an-attacker" not in answer.headers["set-cookie"]


def test_the_sign_in_form_needs_its_own_csrf_token(anonymous: TestClient, admin: User) -> None:
    form = {"username": "admin", "password": PASSWORD}
    assert anonymous.post("/sign-in", data=form).status_code == 403
    anonymous.get("/sign-in")
    assert anonymous.post("/sign-in", data=form | {"csrf_token": "x" * 43}).status_code == 403
    assert anonymous.post("/sign-in", data=form | {"csrf_token": ""}).status_code == 403


def test_whoever_is_signed_in_needs_no_sign_in_page(client: Browser) -> None:
    assert client.get("/sign-in?next=/jobs").headers["location"] == "/jobs"
    assert client.get("/setup").headers["location"] == "/"


def test_signing_out_ends_the_session_on_the_server(client: Browser, database: Database) -> None:
    kept = dict(client.cookies)
    assert client.send_form("/sign-out").headers["location"] == "/sign-in"  # type: ignore[attr-defined]
    with database.read() as session:
        assert session.scalars(select(WebSession)).all() == []
    client.cookies.update(kept)  # a copy of the cookie is worth nothing
    assert client.get("/").status_code == 303


def test_the_first_visit_sets_up_an_administrator_and_signs_in(anonymous: TestClient, database: Database) -> None:
    assert anonymous.get("/").headers["location"] == "/setup"
    assert anonymous.get("/sign-in").headers["location"] == "/setup"
    answer = sent(anonymous, "/setup", code="setup code", username="青木", password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert anonymous.get("/").status_code == 200
    with database.read() as session:
        user = session.scalars(select(User)).one()
    assert (user.username, user.is_admin) == ("青木", True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"code": "wrong", "username": "admin", "password": PASSWORD}, "code"),
        ({"code": "SETUP-CODE", "username": "admin", "password": "short"}, "password"),
        ({"code": "SETUP-CODE", "username": "", "password": PASSWORD}, "username"),
    ],
)
def test_a_refused_set_up_says_where_and_makes_nobody(
    anonymous: TestClient, database: Database, fields: dict[str, str], field: str
) -> None:
    answer = sent(anonymous, "/setup", **fields)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    with database.read() as session:
        assert session.scalars(select(User)).all() == []


def test_once_there_is_a_user_the_set_up_is_closed(anonymous: TestClient, database: Database) -> None:
    csrf = csrf_in(anonymous.get("/setup").text)
    form = {"csrf_token": csrf, "code": "SETUP-CODE", "username": "first", "password": PASSWORD}
    assert anonymous.post("/setup", data=form).status_code == 303
    anonymous.cookies.delete(COOKIE)
    assert anonymous.get("/setup").headers["location"] == "/"
    assert anonymous.post("/setup", data=form | {"username": "second"}).headers["location"] == "/"
    with database.read() as session:
        assert session.scalars(select(User.username)).all() == ["first"]


def test_without_a_code_the_page_says_how_to_add_a_user(app: FastAPI, anonymous: TestClient) -> None:
    app.state.setup_code = ""
    page = anonymous.get("/setup").text
    assert "trainyard user add" in page
    assert "<form" not in page
