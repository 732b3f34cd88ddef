import logging
import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from app.errors import is_api, messages_by_field
from app.web import ApiError, NotAllowed, PageNotFound
from tests import factories
from tests.conftest import Browser

RAISED: dict[str, tuple[Exception, int, str]] = {
    "missing": (PageNotFound("dataset"), 404, "There is no such dataset."),
    "foreign": (NotAllowed("Only its owner may."), 403, "Only its owner may."),
    "refused": (ApiError(409, "in_use", "It is needed."), 409, "It is needed."),
    "teapot": (HTTPException(415), 415, "content"),
    "locked": (OperationalError("UPDATE", {}, Exception("database is locked")), 503, "busy"),
    "full": (OperationalError("UPDATE", {}, Exception("database or disk is full")), 507, "disk"),
    "fault": (RuntimeError("secret detail"), 500, "fault of the server"),
}


class Body(BaseModel):
    name: str = Field(max_length=5)
    count: int = Field(default=1, ge=1, le=9)


@pytest.fixture
def faulty(app: FastAPI) -> FastAPI:
    """The application with endpoints that fail in every way."""

    @app.get("/api/v1/raise/{kind}")
    @app.get("/raise/{kind}")
    def raise_it(kind: str) -> None:
        raise RAISED[kind][0]

    @app.post("/api/v1/check")
    def check(body: Body) -> Body:
        return body

    @app.get("/api/v1/page")
    def page(limit: int = 1) -> int:
        return limit

    return app


@pytest.fixture
def script(faulty: FastAPI, database: Any, admin: Any) -> TestClient:
    client = TestClient(faulty, base_url="http://localhost", raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {factories.api_token(database, admin)}"
    return client


@pytest.mark.parametrize("kind", RAISED)
def test_programs_get_json_of_one_shape(script: TestClient, kind: str) -> None:
    _, status_code, words = RAISED[kind]
    answer = script.get(f"/api/v1/raise/{kind}")
    assert answer.status_code == status_code
    error = answer.json()["error"]
    assert words in error["message"]
    assert re.fullmatch(r"[a-z_]+", error["code"])
    assert error["fields"] == {}
    assert "secret detail" not in answer.text


@pytest.mark.parametrize("kind", RAISED)
def test_people_get_a_page(script: TestClient, kind: str) -> None:
    _, status_code, words = RAISED[kind]
    answer = script.get(f"/raise/{kind}")
    assert answer.status_code == status_code
    assert "<h1 " in answer.text
    assert words in answer.text
    assert "secret detail" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "content-security-policy" in answer.headers


def test_our_own_fault_has_an_id_that_is_in_the_log(script: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = script.get("/api/v1/raise/fault").json()["error"]
    assert len(error["id"]) == 8
    assert any(error["id"] in record.getMessage() and record.exc_info for record in caplog.records)


def test_fields_are_named_with_what_was_expected_and_found(script: TestClient) -> None:
    answer = script.post("/api/v1/check", json={"name": "much too long", "count": "many"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert error["fields"] == {
        "name": "Expected at most 5 characters, found 13.",
        "count": "Expected a whole number, found “many”.",
    }


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "name", "This is required."),
        ({"name": None}, "name", "Expected text, found nothing."),
        ({"name": "a", "count": 0}, "count", "Expected at least 1, found 0."),
        ({"name": "a", "count": 10**30}, "count", "Expected at most 9, found 1000"),
        ({"name": "a", "count": 1.5}, "count", "Expected a whole number, found 1.5."),
        ({"name": "\ud800"}, "name", ""),
    ],
)
def test_every_kind_of_wrong_value_has_its_words(script: TestClient, body: Any, field: str, message: str) -> None:
    import json

    answer = script.post("/api/v1/check", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert message in answer.json()["error"]["fields"][field]


@pytest.mark.parametrize("content", [b"", b"[1, 2", b"not json", b"\xff\xfe", b'{"name": "a",}'])
def test_what_is_not_json_is_a_request_that_cannot_be_read(script: TestClient, content: bytes) -> None:
    answer = script.post("/api/v1/check", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"[]", b"3", b'"text"', b"null"])
def test_json_that_is_no_object_is_refused(script: TestClient, content: bytes) -> None:
    answer = script.post("/api/v1/check", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_an_address_with_a_word_for_a_number_leads_nowhere(script: TestClient) -> None:
    for path in (
        "/api/v1/uploads/abc",
        "/api/v1/uploads/-1",
        f"/api/v1/uploads/{10**30}",
        "/uploads/abc",
        f"/uploads/{2**64}",
    ):
        assert script.get(path).status_code == 404, path


def test_a_query_that_does_not_fit_is_named(script: TestClient) -> None:
    answer = script.get("/api/v1/page?limit=many")
    assert answer.status_code == 422
    assert "limit" in answer.json()["error"]["fields"]


def test_unknown_pages_and_wrong_methods_have_their_answers(client: Browser) -> None:
    assert "There is no such page" in client.get("/nowhere").text
    assert client.get("/api/v1/nowhere").json()["error"]["code"] == "not_found"
    answer = client.put("/uploads", headers={"X-CSRF-Token": client.csrf})
    assert answer.status_code == 405
    assert client.get("/api/v1/nowhere").json()["error"]["message"] == "There is no such page."


def test_the_documentation_is_a_page_and_the_uploads_protocol_is_for_programs() -> None:
    assert is_api("/api/v1/models")
    assert is_api("/uploads/tus/x")
    assert not is_api("/api/docs")
    assert not is_api("/uploads/3")


def test_the_first_finding_of_a_field_is_told() -> None:
    class Sweep(BaseModel):
        base_lr: list[float]

    with pytest.raises(ValidationError) as error:
        Sweep.model_validate({"base_lr": ["x", "y"]})
    assert messages_by_field(error.value.errors()) == {"base_lr": "Expected a number, found “x”."}
