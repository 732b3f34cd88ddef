"""The gate: who gets in, and who may change anything. The matrix asks every route that there is."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.db import ApiToken, Database, User, WebSession
from app.db.base import now
from app.security.gate import MAX_BODY_BYTES, safe_next
from tests import factories
from tests.conftest import Browser, sign_in

PUBLIC = {("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/setup"), ("POST", "/setup"), ("GET", "/api/v1/health"),
          ("POST", "/api/v1/tokens"), ("GET", "/static/vendor/plotly.min.js")}  # fmt: skip
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}


def every_route(app: FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path) of all endpoints, with 1 for each parameter."""
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"\{[^}]+\}", "1", str(getattr(route, "path", "") or ""))
        for method in sorted(getattr(route, "methods", None) or ()):
            if method != "HEAD" or "tus" in path:
                yield method, path


def test_the_matrix_knows_the_routes(app: FastAPI) -> None:
    routes = set(every_route(app))
    assert len(routes) > 60
    assert {
        ("POST", "/uploads"),
        ("PATCH", "/uploads/tus/1"),
        ("DELETE", "/api/v1/uploads/1"),
        ("POST", "/jobs/1/stop"),
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/account/users/1/disable"),
    } <= routes


def test_without_a_session_or_a_token_nothing_is_shown_or_changed(
    app: FastAPI, anonymous: TestClient, admin: User
) -> None:
    for method, path in every_route(app):
        if (method, path) in PUBLIC:
            continue
        answer = anonymous.request(method, path, headers={"Tus-Resumable": "1.0.0"})
        if path.startswith("/api/v1") or path.startswith("/uploads/tus"):
            assert answer.status_code == 401, (method, path)
        else:
            assert answer.status_code == 303, (method, path)
            assert answer.headers["location"].startswith("/sign-in"), (method, path)


def test_no_change_is_made_without_the_csrf_token(app: FastAPI, client: Browser) -> None:
    for method, path in every_route(app):
        if method in CHANGING and path != "/api/v1/tokens":
            answer = client.request(method, path, headers={"Tus-Resumable": "1.0.0"})
            assert answer.status_code == 403, (method, path)
            wrong = client.request(method, path, headers={"X-CSRF-Token": "x" * 43, "Tus-Resumable": "1.0.0"})
            assert wrong.status_code == 403, (method, path)


def test_no_answer_is_stored_or_framed_or_sniffed(app: FastAPI, client: Browser) -> None:
    for path in ("/", "/uploads", "/api/v1/jobs", "/nowhere", "/api/v1/nowhere", "/sign-in"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "script-src" not in headers["content-security-policy"], path  # so default-src 'self' holds for scripts
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path


def test_static_files_need_no_session_but_are_asked_for_again(anonymous: TestClient) -> None:
    answer = anonymous.get("/static/css/main.css")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/static/../app/main.py", "/static/%2e%2e/app/main.py", "/static/..%2f..%2fetc/passwd"]
)
def test_static_files_are_only_those(anonymous: TestClient, path: str) -> None:
    assert anonymous.get(path).status_code in (303, 404)


def test_the_sign_in_page_is_shown_the_way_back(anonymous: TestClient, admin: User) -> None:
    answer = anonymous.get("/models/3?tab=log")
    assert answer.headers["location"] == "/sign-in?next=/models/3%3Ftab%3Dlog"


def test_while_there_is_no_user_everything_leads_to_set_up(anonymous: TestClient) -> None:
    assert anonymous.get("/models").headers["location"] == "/setup"
    assert anonymous.get("/api/v1/models").status_code == 401


def test_what_a_page_fetches_is_refused_and_not_sent_to_the_sign_in_page(anonymous: TestClient, admin: User) -> None:
    assert anonymous.get("/uploads/_table", headers={"Sec-Fetch-Dest": "empty"}).status_code == 401


def test_a_token_opens_the_api_and_needs_no_csrf_token(api: TestClient) -> None:
    assert api.get("/api/v1/uploads").status_code == 200
    assert api.post("/api/v1/uploads/sample").status_code == 201


@pytest.mark.parametrize("header", ["Bearer ", "Bearer wrong", "Basic YTpi", "ty_x", "bearer\tx"])
def test_a_wrong_token_is_not_made_good_by_a_session(client: Browser, header: str) -> None:
    assert client.get("/api/v1/uploads", headers={"Authorization": header}).status_code == 401


def test_the_same_token_works_whatever_the_word_before_it_is_spelt(
    database: Database, anonymous: TestClient, admin: User
) -> None:
    token = factories.api_token(database, admin)
    assert anonymous.get("/api/v1/jobs", headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_a_form_of_another_site_is_refused_even_with_the_token(client: Browser) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:3000"},
                    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}):  # fmt: skip
        answer = client.post("/sign-out", data={"csrf_token": client.csrf}, headers=headers)
        assert answer.status_code == 403, headers
    assert client.get("/").status_code == 200


def test_behind_a_proxy_the_public_name_is_our_own(client: Browser) -> None:
    headers = {"Origin": "https://train.example", "X-Forwarded-Host": "train.example", "X-CSRF-Token": client.csrf}
    assert client.post("/account/sessions/sign-out-others", headers=headers).status_code == 303


def test_a_form_without_javascript_carries_its_token_in_a_field(client: Browser) -> None:
    assert client.send_form("/account/sessions/sign-out-others").status_code == 303  # type: ignore[attr-defined]


def test_another_session_s_csrf_token_is_worth_nothing(client: Browser, database: Database, admin: User) -> None:
    other, _ = factories.web_session(database, admin)
    answer = client.post("/account/sessions/sign-out-others", headers={"X-CSRF-Token": other.csrf_token})
    assert answer.status_code == 403


def test_a_large_body_is_refused_before_it_is_read_whole(client: Browser) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"[" * 2**20

    answer = client.post("/api/v1/datasets", content=endless(),
                         headers={"X-CSRF-Token": client.csrf, "Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == 413
    assert f"{MAX_BODY_BYTES // 2**20} MiB" in answer.json()["error"]["message"]


def test_reading_writes_nothing_within_a_minute(client: Browser, database: Database) -> None:
    assert client.get("/").status_code == 200
    with database.write():  # whoever wanted to write now would wait for us
        assert client.get("/uploads").status_code == 200


def test_a_session_is_noted_as_seen_after_a_minute(client: Browser, database: Database) -> None:
    with database.write() as session:
        row = session.query(WebSession).one()
        row.last_seen_at = now() - timedelta(minutes=5)
    client.get("/")
    with database.read() as session:
        assert session.query(WebSession).one().last_seen_at > now() - timedelta(minutes=1)


def test_a_token_s_use_is_noted(api: TestClient, database: Database) -> None:
    api.get("/api/v1/jobs")
    with database.read() as session:
        assert session.query(ApiToken).one().last_used_at is not None


def test_a_disabled_user_is_out_at_once(client: Browser, api: TestClient, database: Database, admin: User) -> None:
    with database.write() as session:
        session.get_one(User, admin.id).disabled_at = now()
    assert client.get("/").status_code == 303
    assert api.get("/api/v1/jobs").status_code == 401


def test_two_users_do_not_share_sessions(app: FastAPI, database: Database) -> None:
    one, two = factories.user(database), factories.user(database)
    with Browser(app, base_url="http://localhost", follow_redirects=False) as browser:
        sign_in(browser, database, one)
        assert one.username in browser.get("/account").text
        sign_in(browser, database, two)
        assert two.username in browser.get("/account").text


def test_a_database_that_is_away_is_said_plainly(app: FastAPI, client: Browser, tmp_path: Path) -> None:
    present = app.state.database
    app.state.database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'none.sqlite3'}")
    try:
        page, answer = client.get("/"), client.get("/api/v1/jobs")
    finally:
        app.state.database = present
    assert (page.status_code, answer.status_code) == (503, 503)
    assert "try again" in page.text
    assert answer.json()["error"]["code"] == "unavailable"


def test_a_web_socket_is_closed(anonymous: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), anonymous.websocket_connect("/"):
        pass


def test_an_event_stream_passes_the_gate_while_it_runs(app: FastAPI, client: Browser) -> None:
    sent: list[Any] = []

    @app.get("/api/v1/trickle")
    async def trickle(request: Request) -> Any:
        from starlette.responses import StreamingResponse

        async def lines() -> Any:
            for number in range(3):
                sent.append(number)
                yield f"data: {number}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    assert client.get("/api/v1/trickle").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize(
    ("wanted", "goes_to"),
    [
        ("/models/3?tab=log#x", "/models/3?tab=log#x"),
        ("/uploads?q=犬", "/uploads?q=犬"),
        (None, "/"),
        ("", "/"),
        ("models", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/sign-out", "/"),
        ("/sign-in?next=/", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_after_signing_in_one_stays_on_this_site(wanted: str | None, goes_to: str) -> None:
    assert safe_next(wanted) == goes_to
