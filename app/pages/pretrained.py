"""Pages of pretrained nets: the library, the form that sends one, one with its layers, what can be done to it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import State

from app.db import Noun, PretrainedNet, Status, Subject, User
from app.download_forms import Form
from app.errors import messages_by_field, refusal
from app.forms import Typed
from app.models import facts as model_facts
from app.models.models import row_id
from app.predictions import activations, filters, predictions
from app.preprocessing import ResizeMode
from app.pretrained import download as pretrained_download
from app.pretrained import pretrained
from app.pretrained.facts import InvalidPretrained, facts_of
from app.pretrained.pretrained import Filter, Pair, PretrainedBusy
from app.pretrained.weights_files import WeightsError
from app.schemas.pretrained import FromSnapshot, MatchBy, NewPretrained, PretrainedChanges
from app.uploads.receiving_files import ReceivedForm, receive_files
from app.web import ApiError, CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep, redirect, render

router = APIRouter(prefix="/pretrained", include_in_schema=False)
RECENT = 10  # predictions
FIELDS = tuple(NewPretrained.model_fields)


def wanted(q: str = "", sort: str = "-created", after: str = "") -> Filter:
    """The list's filter; a word that is not known counts as not given, so that an old link still opens."""
    known = sort if sort.removeprefix("-") in pretrained.ORDERS else "-created"
    return Filter(q.strip()[:200], known, row_id(after))


Wanted = Annotated[Filter, Depends(wanted)]


@router.get("")
def index(request: Request, session: ReadSession, wanted: Wanted) -> HTMLResponse:
    return render(request, "pretrained/index.html", **_table(session, wanted))


@router.get("/_table")
def table(request: Request, session: ReadSession, wanted: Wanted) -> HTMLResponse:
    context = _table(session, wanted)
    response = render(request, "pretrained/_table.html", **context)
    if not context["counts"].get("running") and not context["counts"].get("queued"):
        response.headers["X-Live"] = "end"
    return response


@router.get("/new")
def new(request: Request, session: ReadSession, again: str = "") -> HTMLResponse:
    """Empty, or with what was typed for a net whose import failed."""
    number = row_id(again)
    if number is None:
        return _form(request, {"values": {}, "errors": {}})
    net = pretrained.get_pretrained(session, number)
    values = pretrained.form_values(net) | {"again": str(net.id), "kept_name": net.origin_title}
    return _form(request, {"values": values, "errors": {}})


@router.post("")
async def create(request: Request, user: CurrentUser) -> Response:
    state = request.app.state
    texts: dict[str, str] = {}
    try:
        with pretrained.incoming_folder(state.storage) as folder:
            received = await receive_files(request, folder, pretrained.limits(state.settings))
            pretrained.take_kept(state.storage, received, folder)
            failed = await run_in_threadpool(
                pretrained.take_failed, state.database, state.storage, user, received, folder
            )
            texts = pretrained.texts_of(received)
            pairs = await run_in_threadpool(_unseen_pairs, texts, received)
            if pairs:
                texts |= pretrained.keep_files(state.storage, received, {}) | {"seen": _mark(pairs)}
                return await run_in_threadpool(_form, request, {"values": texts, "errors": {}}, 200, pairs)
            made, errors = await run_in_threadpool(_create, state, user, texts, received)
            if not errors and failed is not None:
                await run_in_threadpool(pretrained.delete_pretrained, state.database, state.storage, user, failed)
            if not errors:
                return redirect(f"/pretrained/{made}")
            texts |= pretrained.keep_files(state.storage, received, errors)
            status_code = 422
    except ApiError as error:
        errors, status_code = error.fields or {"weights": error.message}, error.status_code
    return await run_in_threadpool(_form, request, {"values": texts, "errors": errors}, status_code)


def _unseen_pairs(texts: dict[str, str], received: ReceivedForm) -> list[Pair]:
    """What matching by order comes to, to be looked at before the import; nothing where it was, or there is a fault."""
    try:
        form = NewPretrained.model_validate({name: texts[name] for name in FIELDS if name in texts})
        if form.match is not MatchBy.ORDER or pretrained.weights_problems(received):
            return []
        pairs = pretrained.pairs_by_order(facts_of(form), received.files["weights"].path)
    except (ValidationError, InvalidPretrained):
        return []  # said with all other faults
    return pairs if texts.get("seen") != _mark(pairs) else []


def _mark(pairs: Sequence[Pair]) -> str:
    return hashlib.sha256(repr(pairs).encode()).hexdigest()[:32]


def _create(state: State, user: User, texts: dict[str, str], received: ReceivedForm) -> tuple[int, dict[str, str]]:
    """The id of the new pretrained net, or a message for every field."""
    try:
        form = NewPretrained.model_validate({name: texts[name] for name in FIELDS if name in texts})
        made = pretrained.create_pretrained(state.database, state.storage, state.queue, user, form, received)
        return made, {}
    except ValidationError as error:
        return 0, pretrained.weights_problems(received) | messages_by_field(error.errors())
    except InvalidPretrained as error:
        return 0, error.fields


@router.post("/from-snapshot")
def add_snapshot(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, form: Typed
) -> Response:
    values = {name: form[name] for name in ("model_id", "snapshot", "name") if name in form}
    try:
        wanted = FromSnapshot.model_validate(values)
        made = pretrained.add_snapshot(database, storage, request.app.state.queue, user, wanted)
    except ValidationError as error:
        return refusal(request, 422, "; ".join(messages_by_field(error.errors()).values()))
    except InvalidPretrained as error:
        return refusal(request, 422, str(error))
    return redirect(f"/pretrained/{made}")


@router.get("/{pretrained_id:int}")
def show(request: Request, session: ReadSession, pretrained_id: int) -> HTMLResponse:
    return _show(request, session, pretrained_id)


@router.get("/{pretrained_id:int}/_status")
def status(request: Request, session: ReadSession, pretrained_id: int) -> HTMLResponse:
    net = pretrained.get_pretrained(session, pretrained_id)
    response = render(request, "pretrained/_status.html", net=net)
    if net.status.has_ended:
        response.headers["X-Live"] = "reload"
    return response


@router.get("/{pretrained_id:int}/filters.png")
def filter_picture(session: ReadSession, storage: StorageDep, pretrained_id: int) -> Response:
    """The filters of the first convolution."""
    net = pretrained.get_pretrained(session, pretrained_id)
    seen = _first_filters(net)
    if seen is None:
        raise PageNotFound("picture of these weights")
    try:
        path = storage.pretrained_dir(net.id) / pretrained.WEIGHTS
        picture = filters.draw_filters(path, seen["layer"], seen["view"])
    except WeightsError:
        raise PageNotFound("layer") from None
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}  # the page asks with the moment of its making
    return Response(activations.png(picture), media_type="image/png", headers=headers)


@router.get("/{pretrained_id:int}/download")
def download(
    session: ReadSession, storage: StorageDep, pretrained_id: int,
    form: Annotated[str, Query(alias="format")] = Form.ZIP,
) -> StreamingResponse:  # fmt: skip
    if form not in list(Form):
        raise PageNotFound(f"format: expected {', '.join(Form)}, found “{form[:20]}”")
    return pretrained_download.response(storage, pretrained.get_pretrained(session, pretrained_id), Form(form))


@router.post("/{pretrained_id:int}/edit")
def edit(request: Request, database: DatabaseDep, user: CurrentUser, pretrained_id: int, form: Typed) -> Response:
    values = {field: form[field] for field in ("name", "notes") if field in form}
    try:
        changes = PretrainedChanges.model_validate(values)
    except ValidationError as error:
        state = {"values": values, "errors": messages_by_field(error.errors())}
        with database.read() as session:
            return _show(request, session, pretrained_id, form=state, status_code=422)
    pretrained.change_pretrained(database, user, pretrained_id, changes)
    return redirect(f"/pretrained/{pretrained_id}")


@router.post("/{pretrained_id:int}/delete")
def delete(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, pretrained_id: int
) -> Response:
    try:
        pretrained.delete_pretrained(database, storage, user, pretrained_id)
    except PretrainedBusy as busy:
        return refusal(request, 409, str(busy))
    return redirect("/pretrained")


def _table(session: Session, wanted: Filter) -> dict[str, Any]:
    return {
        "page": pretrained.list_pretrained(session, wanted),
        "counts": pretrained.count_pretrained(session),
        "wanted": wanted,
    }


def _form(request: Request, form: dict[str, Any], status_code: int = 200, pairs: Sequence[Pair] = ()) -> HTMLResponse:
    limits = pretrained.limits(request.app.state.settings)
    return render(request, "pretrained/new.html", status_code=status_code, form=form, limits=limits,
                  resize_modes=list(ResizeMode), pairs=pairs)  # fmt: skip


def _show(
    request: Request,
    session: Session,
    pretrained_id: int,
    *,
    form: dict[str, Any] | None = None,
    status_code: int = 200,
) -> HTMLResponse:
    net = pretrained.get_pretrained(session, pretrained_id)
    subject = Subject(Noun.PRETRAINED, net.id)
    count, models = pretrained.used_by(session, net)
    return render(
        request,
        "pretrained/show.html",
        status_code=status_code,
        net=net,
        form=form,
        input_facts=model_facts.input_facts(net.preprocessing_value),
        layers=[_layer(layer) for layer in net.layers],
        filters=_first_filters(net),
        used_count=count,
        models=models,
        is_done=net.status == Status.DONE,
        tested=predictions.tested_of(session, subject),
        predictions=predictions.list_predictions(session, subject, limit=RECENT).predictions,
    )


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    """With the sum of its parameters, and what the file calls the module that it came from, if otherwise."""
    sent_as = next((weight["sent_as"].rpartition(".")[0] for weight in layer["weights"] if "sent_as" in weight), "")
    return layer | {
        "parameters": sum(math.prod(weight["shape"]) for weight in layer["weights"]),
        "sent_as": "" if sent_as == layer["name"] else sent_as,
    }


def _first_filters(net: PretrainedNet) -> dict[str, Any] | None:
    """Layer and view of the first convolution, where it looks at a picture."""
    for layer in net.layers:
        shapes = {weight["name"].rpartition(".")[2]: weight["shape"] for weight in layer["weights"]}
        if layer["type"] == "Convolution" and "weight" in shapes:
            view = filters.view_filters("Convolution", shapes["weight"])
            return {"layer": layer["name"], "view": view} if view else None
    return None
