import pytest
from fastapi.testclient import TestClient

from app.db import Database, User
from tests import factories
from tests.conftest import PASSWORD


def test_a_token_is_made_with_name_and_password_and_shown_once(anonymous: TestClient, admin: User) -> None:
    answer = anonymous.post(
        "/api/v1/tokens", json={"username": "Admin", "password": PASSWORD, "label": "夜のスクリプト"}
    )
    assert answer.status_code == 201
    token = answer.json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    listed = anonymous.get("/api/v1/tokens", headers=headers)
    assert [item["label"] for item in listed.json()["items"]] == ["夜のスクリプト"]
    assert token not in listed.text


def test_a_wrong_password_and_an_unknown_name_are_told_the_same(anonymous: TestClient, admin: User) -> None:
    answers = [
        anonymous.post("/api/v1/tokens", json={"username": name, "password": "wrong", "label": "x"})
        for name in ("admin", "nobody")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].content == answers[1].content


def test_guessing_is_slowed_down(anonymous: TestClient, admin: User) -> None:
    wrong = {"username": "admin", "password": "wrong", "label": "x"}
    statuses = [anonymous.post("/api/v1/tokens", json=wrong).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    late = anonymous.post("/api/v1/tokens", json=wrong | {"password": PASSWORD})
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 15
    page = anonymous.get("/sign-in").text  # the same count holds for the page
    csrf = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": csrf, "username": "admin", "password": PASSWORD}
    assert anonymous.post("/sign-in", data=form).status_code == 429


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "username"), ({"username": "admin"}, "password"), ({"username": "a", "password": "b", "label": ""}, "label"),
     ({"username": 3, "password": "b"}, "username"), ({"username": "a", "password": "b", "label": "x" * 201}, "label")],
)  # fmt: skip
def test_what_is_missing_is_named(anonymous: TestClient, admin: User, body: dict[str, object], field: str) -> None:
    answer = anonymous.post("/api/v1/tokens", json=body)
    assert answer.status_code == 422
    assert field in answer.json()["error"]["fields"]


def test_a_request_from_another_site_gets_no_token(anonymous: TestClient, admin: User) -> None:
    body = {"username": "admin", "password": PASSWORD, "label": "x"}
    answer = anonymous.post("/api/v1/tokens", json=body, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_one_revokes_one_s_own_tokens_only(api: TestClient, database: Database) -> None:
    own = api.get("/api/v1/tokens").json()["items"][0]
    factories.api_token(database, factories.user(database))
    assert api.delete(f"/api/v1/tokens/{own['id'] + 1}").status_code == 404
    assert api.delete(f"/api/v1/tokens/{own['id']}").status_code == 204
    assert api.get("/api/v1/tokens").status_code == 401


def test_tokens_are_paged(api: TestClient, database: Database, admin: User) -> None:
    for number in range(4):
        factories.api_token(database, admin, label=f"token {number}")
    page = api.get("/api/v1/tokens?limit=3").json()
    rest = api.get(f"/api/v1/tokens?limit=3&after={page['next']}").json()
    assert len(page["items"] + rest["items"]) == 5
    assert rest["next"] is None
