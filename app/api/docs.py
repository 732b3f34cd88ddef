"""The documentation of the API: its OpenAPI document, and Swagger UI from the installed package instead of a CDN."""

from __future__ import annotations

import copy
from typing import Any, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from swagger_ui_bundle import swagger_ui_path

from app.web import PageNotFound, render

router = APIRouter(include_in_schema=False)

ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
DESCRIPTION = (
    "Every request but the health check needs `Authorization: Bearer TOKEN`; a token is made on the account page or "
    "by `POST /api/v1/tokens`. Refusals are `{error: {code, message, fields}}`. Lists are `{items, next}`: give `next` "
    "back as `after` to go on."
)


@router.get("/api/docs")
def show(request: Request) -> HTMLResponse:
    return render(request, "docs/show.html")


@router.get("/api/docs/assets/{name}")
def asset(name: str) -> FileResponse:
    if name not in ASSETS:
        raise PageNotFound("file")
    headers = {"Cache-Control": "private, max-age=86400"}
    return FileResponse(swagger_ui_path / name, media_type=ASSETS[name], headers=headers)


@router.get("/api/v1/openapi.json")
def document(request: Request) -> JSONResponse:
    return JSONResponse(openapi_document(request.app))


@router.get("/api/docs/openapi.json")
def document_for_swagger(request: Request) -> JSONResponse:
    """In OpenAPI 3.0: the packaged Swagger UI 4 cannot read 3.1."""
    return JSONResponse(as_version_3_0(openapi_document(request.app)))


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of everything under /api/v1."""
    found = copy.deepcopy(app.openapi())
    found["info"]["description"] = DESCRIPTION
    found["paths"] = {path: item for path, item in found["paths"].items() if path.startswith("/api/v1/")}
    components = found.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}]
    for path in ("/api/v1/health", "/api/v1/tokens"):
        for method, operation in found["paths"].get(path, {}).items():
            if path == "/api/v1/health" or method == "post":
                operation["security"] = []
    return found


def as_version_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """The same document in the words of OpenAPI 3.0.3."""
    return cast(dict[str, Any], _older(document)) | {"openapi": "3.0.3"}


def _older(node: Any) -> Any:
    if isinstance(node, list):
        return [_older(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    older = {key: _older(value) for key, value in node.items()}
    for union in ("anyOf", "oneOf"):
        if isinstance(older.get(union), list) and {"type": "null"} in older[union]:
            _make_nullable(older, union)
    if "const" in older and "properties" not in older:
        older["enum"] = [older.pop("const")]
    if isinstance(older.get("prefixItems"), list):
        older["items"] = {"anyOf": older.pop("prefixItems")}
    for limit in ("Minimum", "Maximum"):
        bound = older.get(f"exclusive{limit}")
        if isinstance(bound, int | float) and not isinstance(bound, bool):
            older[limit.lower()], older[f"exclusive{limit}"] = bound, True
    if "contentMediaType" in older and older.get("type") == "string":
        del older["contentMediaType"]
        older["format"] = "binary"
    return older


def _make_nullable(node: dict[str, Any], union: str) -> None:
    others = [entry for entry in node.pop(union) if entry != {"type": "null"}]
    node["nullable"] = True
    if len(others) == 1 and "$ref" not in others[0]:
        node.update(others[0])
    elif len(others) == 1:
        node["allOf"] = others
    else:
        node[union] = others
