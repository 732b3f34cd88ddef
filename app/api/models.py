"""Models as JSON: launch, list, follow, stop, resume, change, delete, download. The rules are in `app/models`."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from app import live
from app.db import Database, Metric, Snapshot, Status
from app.download_forms import Form
from app.live_reading import point_dict
from app.models import download as downloads
from app.models import models
from app.models.launch import InvalidModel, launch
from app.models.models import Filter, ModelBusy
from app.schemas.models import (
    MAX_ID,
    Launched,
    MetricPage,
    MetricPoint,
    ModelChanges,
    ModelDetail,
    ModelList,
    ModelOut,
    NewModel,
)
from app.web import ApiError, CurrentUser, DatabaseDep, ReadSession, StorageDep

router = APIRouter(prefix="/api/v1/models", tags=["models"])
MOST_POINTS = 10_000


@router.post("", status_code=201)
def create(request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, form: NewModel) -> Launched:
    """Queues one model, or one for every learning rate × batch size."""
    try:
        sweep_id = launch(database, storage, request.app.state.queue, user, form)
    except InvalidModel as error:
        message = "Some fields do not fit: " + ", ".join(error.fields) + "."
        raise ApiError(422, "invalid", message, error.fields) from error
    with database.read() as session:
        made = models.get_sweep(session, sweep_id).models
        return Launched(sweep_id=sweep_id, models=[ModelOut.of(model) for model in made])


@router.get("")
def index(
    session: ReadSession,
    q: Annotated[str, Query(max_length=200, description="Part of the name")] = "",
    status: Status | None = None,
    dataset_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    sort: Annotated[str, Query(description="-created, created, name, val, test, …")] = "-created",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> ModelList:
    if sort.removeprefix("-") not in models.ORDERS:
        raise ApiError(422, "invalid", "Some fields do not fit: sort.",
                       {"sort": f"Expected one of {', '.join(models.ORDERS)}, found “{sort[:40]}”."})  # fmt: skip
    page = models.list_models(session, Filter(q.strip(), status, dataset_id, sort, after, limit))
    return ModelList(items=[ModelOut.of(model) for model in page.models], next=page.next)


@router.get("/{model_id}")
def show(session: ReadSession, model_id: int) -> ModelDetail:
    model = models.get_model(session, model_id)
    return ModelDetail.of_one(model, Snapshot.of_model(session, model.id))


@router.patch("/{model_id}")
def change(database: DatabaseDep, user: CurrentUser, model_id: int, changes: ModelChanges) -> ModelDetail:
    models.change_model(database, user, model_id, changes)
    with database.read() as session:
        return ModelDetail.of_one(models.get_model(session, model_id), Snapshot.of_model(session, model_id))


@router.delete("/{model_id}", status_code=204)
def delete(database: DatabaseDep, storage: StorageDep, user: CurrentUser, model_id: int) -> Response:
    try:
        models.delete_model(database, storage, user, model_id)
    except ModelBusy as refusal:
        raise ApiError(409, "busy", str(refusal)) from refusal
    return Response(status_code=204)


@router.get("/{model_id}/metrics")
def metrics(
    session: ReadSession,
    model_id: int,
    since: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_POINTS)] = MOST_POINTS,
) -> MetricPage:
    """The numbers that came after the one with the id `since`, in order."""
    model = models.get_model(session, model_id)
    rows = Metric.since(session, model.id, since, limit)
    return MetricPage(
        points=[MetricPoint(**point_dict(row)) for row in rows],
        next=rows[-1].id if rows else since,
        attempt=model.job.attempt,
        status=model.status,
    )


@router.get("/{model_id}/events")
async def events(
    request: Request,
    model_id: int,
    since: Annotated[str, Query(max_length=40, description="Id of the last event seen")] = "",
    only: Annotated[str, Query(max_length=40, description="points, state, log; left out: points and state")] = "",
    log: Annotated[int, Query(ge=0, le=MAX_ID, description="Place in the log to go on from")] = 0,
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> StreamingResponse:
    """Server-sent events: `points`, `state`, `log`; `rewind` when points after an iteration no longer count."""
    kinds = frozenset(only.split(",")) if only else frozenset({"points", "state"})
    await asyncio.to_thread(_require_model, request.app.state.database, model_id)
    feed = request.app.state.live.follow_model(model_id, last_event_id or since, kinds, log)
    return live.event_stream(feed)


@router.post("/{model_id}/stop-request", status_code=202)
def stop(database: DatabaseDep, user: CurrentUser, model_id: int) -> ModelOut:
    """Asks the run to stop at its next iteration; what was learnt stays as a snapshot."""
    if not models.stop_model(database, user, model_id):
        raise ApiError(409, "ended", "This model has already ended.")
    with database.read() as session:
        return ModelOut.of(models.get_model(session, model_id))


@router.post("/{model_id}/resume-request", status_code=202)
def resume(request: Request, database: DatabaseDep, user: CurrentUser, model_id: int) -> ModelOut:
    """Queues a stopped or failed model again; it goes on from its last snapshot."""
    try:
        models.resume_model(database, request.app.state.queue, user, model_id)
    except ModelBusy as refusal:
        raise ApiError(409, "busy", str(refusal)) from refusal
    with database.read() as session:
        return ModelOut.of(models.get_model(session, model_id))


@router.get("/{model_id}/download", response_class=StreamingResponse)
def download(
    session: ReadSession,
    storage: StorageDep,
    model_id: int,
    snapshot: Annotated[str, Query(max_length=20, description="last, best, or an epoch")] = "last",
    form: Annotated[Form, Query(alias="format", description="zip: everything; or what one program needs")] = Form.ZIP,
) -> StreamingResponse:
    """A zip with the weights of one snapshot and everything needed to use them elsewhere, made while it is sent.

    409 where the net cannot be written in the form that is asked for; the message names the layer and the reason.
    """
    return downloads.response(session, storage, models.get_model(session, model_id), snapshot, form)


def _require_model(database: Database, model_id: int) -> None:
    with database.read() as session:
        models.get_model(session, model_id)
