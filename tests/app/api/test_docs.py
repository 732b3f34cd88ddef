import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.docs import as_version_3_0, openapi_document
from tests.conftest import Browser


def test_the_documentation_comes_from_this_server_alone(client: Browser) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(address.startswith(("/", "#")) for address in addresses)
    assert "<script>" not in page.text
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/api/docs/assets/{name}" in addresses
        assert client.get(f"/api/docs/assets/{name}").status_code == 200


def test_no_other_file_of_the_package_is_served(client: Browser) -> None:
    for name in ("index.html", "..%2f__init__.py", "oauth2-redirect.html"):
        assert client.get(f"/api/docs/assets/{name}").status_code == 404


def test_the_document_describes_the_api_and_nothing_else(api: TestClient) -> None:
    document = api.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    assert {"/api/v1/uploads", "/api/v1/jobs/{job_id}", "/api/v1/health", "/api/v1/tokens"} <= set(document["paths"])
    assert document["paths"]["/api/v1/health"]["get"]["security"] == []
    assert document["security"] == [{"token": []}]
    file = document["paths"]["/api/v1/uploads"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert file["properties"]["file"]["format"] == "binary"


def test_swagger_gets_words_that_it_knows(app: FastAPI, api: TestClient) -> None:
    text = json.dumps(as_version_3_0(openapi_document(app)))
    assert '"type": "null"' not in text
    assert '"const"' not in text
    assert api.get("/api/docs/openapi.json").json()["openapi"] == "3.0.3"


def test_every_difference_between_the_versions_is_translated() -> None:
    newer: dict[str, Any] = {
        "a": {"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}], "title": "A"},
        "b": {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]},
        "c": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        "d": {"const": "x"},
        "e": {"prefixItems": [{"type": "integer"}, {"type": "string"}], "type": "array"},
        "f": {"type": "number", "exclusiveMinimum": 0},
        "g": {"type": "string", "contentMediaType": "application/octet-stream"},
    }
    assert as_version_3_0(newer) == {
        "openapi": "3.0.3",
        "a": {"type": "integer", "maximum": 3, "nullable": True, "title": "A"},
        "b": {"allOf": [{"$ref": "#/x"}], "nullable": True},
        "c": {"anyOf": [{"type": "integer"}, {"type": "string"}], "nullable": True},
        "d": {"enum": ["x"]},
        "e": {"items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "type": "array"},
        "f": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "g": {"type": "string", "format": "binary"},
    }
