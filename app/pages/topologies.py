"""Pages of topologies: the zoo and the custom ones, one topology with its layers, the editor."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from markupsafe import Markup
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import topologies
from app.errors import messages_by_field
from app.forms import Typed
from app.schemas.topologies import CheckReport, CheckRequest, InputShape, NewTopology
from app.topologies import Found, InvalidTopology
from app.web import CurrentUser, DatabaseDep, PageNotFound, ReadSession, redirect, render

router = APIRouter(include_in_schema=False)
SHAPE = ("channels", "width", "height", "classes", "batch_size")
FIELDS = ("name", "prototxt", "original", *SHAPE)
BLANK = 'name: "New net"\n'


@router.get("/topologies")
def index(
    request: Request,
    session: ReadSession,
    q: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str, Query(max_length=30)] = "",
) -> HTMLResponse:
    text = q.strip()
    custom, next_page = topologies.custom_topologies(session, text, after, limit=50)
    return render(
        request,
        "topologies/index.html",
        zoo=[found for found in topologies.zoo_topologies() if text.casefold() in found.name.casefold()],
        custom=custom,
        next=next_page,
        text=text,
    )


@router.get("/topologies/new")
def new(request: Request, session: ReadSession, original: str = "") -> HTMLResponse:
    """The editor, with the text of the topology that is edited."""
    found = topologies.find_topology(session, original) if original else None
    values = {"original": found.key, "name": f"{found.name} edited", "prototxt": found.prototxt} if found else {}
    shape = found.input_shape if found else InputShape()
    return _editor(request, session, {"name": "", "original": "", "prototxt": BLANK} | _shown(shape) | values, {})


@router.post("/topologies")
def create(request: Request, database: DatabaseDep, user: CurrentUser, form: Typed) -> Response:
    values = {field: form.get(field, "") for field in (*FIELDS, "view")}
    if "check" in form:
        with database.read() as session:
            return _editor(request, session, values, {})
    status_code, errors = 422, {}
    try:
        wanted = NewTopology.model_validate({field: values[field] for field in FIELDS if field != "batch_size"})
        return redirect(f"/topologies/{topologies.create_topology(database, user, wanted)}")
    except ValidationError as error:
        errors = messages_by_field(error.errors())
    except InvalidTopology as error:
        status_code, errors = 409 if error.is_taken else 422, error.fields
    with database.read() as session:
        return _editor(request, session, values, errors, status_code)


@router.post("/topologies/_report")
def report(request: Request, session: ReadSession, form: Typed) -> HTMLResponse:
    """What the check says of the text as it is typed; the same partial as on the page."""
    return render(request, "topologies/_report.html", **_viewed(session, form))


@router.get("/topologies/compare")
def compare(request: Request, session: ReadSession, old: str = "", new: str = "") -> HTMLResponse:
    """Two topologies side by side: what changed layer by layer and line by line."""
    before, after = topologies.find_topology(session, old), topologies.find_topology(session, new)
    reports = [topologies.check_text(found.prototxt, after.input_shape) for found in (before, after)]
    return render(
        request,
        "topologies/compare.html",
        old=before,
        new=after,
        shape=after.input_shape,
        reports=reports,
        difference=topologies.compare_texts(before.prototxt, after.prototxt),
    )


@router.get("/topologies/{key}")
def show(request: Request, session: ReadSession, key: str) -> HTMLResponse:
    found = _find(session, key)
    values = _shown(found.input_shape) | {name: text for name, text in request.query_params.items() if name in SHAPE}
    checked = _checked(found.prototxt, values)
    diagram = Markup(topologies.draw_text(found.prototxt, checked["shape"])) if checked["shape"] else ""
    return render(
        request,
        "topologies/show.html",
        topology=found,
        original=_original(session, found.original),
        others=[*topologies.zoo_topologies(), *topologies.custom_topologies(session)[0]],
        diagram=diagram,
        **checked,
    )


@router.get("/topologies/{key}/train_val.prototxt")
def download(session: ReadSession, key: str) -> PlainTextResponse:
    found = _find(session, key)
    return PlainTextResponse(
        found.prototxt, headers={"Content-Disposition": 'attachment; filename="train_val.prototxt"'}
    )


@router.post("/topologies/{topology_id:int}/delete")
def delete(database: DatabaseDep, user: CurrentUser, topology_id: int) -> Response:
    topologies.delete_topology(database, user, topology_id)
    return redirect("/topologies")


def _find(session: Session, key: str) -> Found:
    """Pages have one address each: a custom topology's is its number, not its name."""
    found = topologies.find_topology(session, key)
    if found.key != key:
        raise PageNotFound("topology")
    return found


def _editor(
    request: Request, session: Session, values: dict[str, str], errors: dict[str, str], status_code: int = 200
) -> HTMLResponse:
    viewed = _viewed(session, values)
    form = {"values": values, "errors": viewed["shape_errors"] | errors}
    original = _original(session, values["original"])
    return render(
        request, "topologies/new.html", status_code=status_code, **(viewed | {"form": form, "original": original})
    )


def _viewed(session: Session, values: dict[str, str]) -> dict[str, Any]:
    """The check of the editor's text, seen as its layers, as a diagram, or as changes to its original."""
    text = values.get("prototxt", "")
    context = _checked(text, values)
    view = values.get("view", "")
    if view == "diagram" and context["shape"]:
        context["diagram"] = Markup(topologies.draw_text(text, context["shape"]))
    elif view == "changes":
        original = _original(session, values.get("original", ""))
        context["difference"] = topologies.compare_texts(original.prototxt, text) if original else None
    return context | {"view": view}


def _original(session: Session, key: str) -> Found | None:
    try:
        return topologies.find_topology(session, key) if key else None
    except PageNotFound:
        return None


def _checked(prototxt: str, values: dict[str, str]) -> dict[str, Any]:
    """The report on a text for the input that was typed, or what is wrong with that input."""
    shape = {name: values[name] for name in SHAPE if values.get(name)}
    try:
        wanted = CheckRequest.model_validate(shape | {"prototxt": prototxt})
    except ValidationError as error:
        return {"report": None, "shape": None, "shape_errors": messages_by_field(error.errors()), "form": _form(values)}
    report: CheckReport = topologies.check_text(wanted.prototxt, wanted)
    return {"report": report, "shape": wanted, "shape_errors": {}, "form": _form(values)}


def _form(values: dict[str, str]) -> dict[str, Any]:
    return {"values": values, "errors": {}}


def _shown(shape: InputShape) -> dict[str, str]:
    return {name: str(getattr(shape, name)) for name in SHAPE}
