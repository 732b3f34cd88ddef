"""Pages of models: the list, one model as it is trained, what can be done to it. The form is in `model_wizard.py`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Dataset, Model, Noun, Snapshot, Status, Subject
from app.download_forms import Form, attachment
from app.errors import messages_by_field, refusal
from app.forms import Typed
from app.models import curves, models
from app.models import download as downloads
from app.models import facts as model_facts
from app.models.models import Filter, ModelBusy, row_id
from app.pages import model_previews, model_wizard
from app.predictions import predictions
from app.schemas.models import ModelChanges
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep, redirect, render

router = APIRouter(include_in_schema=False)
router.include_router(model_wizard.router)
router.include_router(model_previews.router)
LOG_LINES = 200
RECENT = 10  # predictions
MOST_DATASETS = 200


def wanted(q: str = "", status: str = "", dataset: str = "", sort: str = "-created", after: str = "") -> Filter:
    """The list's filter; a word that is not known counts as not given, so that an old link still opens."""
    return Filter(
        text=q.strip()[:200],
        status=Status(status) if status in list(Status) else None,
        dataset_id=row_id(dataset),
        sort=sort if sort.removeprefix("-") in models.ORDERS else "-created",
        after=row_id(after),
    )


Wanted = Annotated[Filter, Depends(wanted)]


@router.get("/models")
def index(request: Request, session: ReadSession, wanted: Wanted) -> HTMLResponse:
    datasets = session.scalars(select(Dataset).order_by(Dataset.id.desc()).limit(MOST_DATASETS)).all()
    return render(request, "models/index.html", datasets=datasets, **_table(session, wanted))


@router.get("/models/_table")
def table(request: Request, session: ReadSession, wanted: Wanted) -> HTMLResponse:
    context = _table(session, wanted)
    response = render(request, "models/_table.html", **context)
    if not context["counts"].get("running") and not context["counts"].get("queued"):
        response.headers["X-Live"] = "end"
    return response


@router.get("/models/{model_id:int}")
def show(request: Request, session: ReadSession, storage: StorageDep, model_id: int) -> HTMLResponse:
    return _show(request, session, storage, model_id)


@router.get("/models/{model_id:int}/_status")
def status(request: Request, session: ReadSession, model_id: int) -> HTMLResponse:
    """Status and figures, drawn anew while the model is trained."""
    model = models.get_model(session, model_id)
    return _ending(render(request, "models/_status.html", **_state(session, model)), model.status)


@router.get("/models/{model_id:int}/_snapshots")
def snapshots(request: Request, session: ReadSession, model_id: int) -> HTMLResponse:
    model = models.get_model(session, model_id)
    found = Snapshot.of_model(session, model.id)
    return _ending(render(request, "models/_snapshots.html", model=model, snapshots=found), model.status)


@router.get("/models/{model_id:int}/_summary")
def summary(request: Request, session: ReadSession, model_id: int) -> HTMLResponse:
    model = models.get_model(session, model_id)
    words = curves.summary_of(session, model)
    return _ending(render(request, "models/_summary.html", chart_summary=words), model.status)


@router.get("/models/{model_id:int}/_origin")
def origin(request: Request, session: ReadSession, model_id: int) -> HTMLResponse:
    """What it was made with, asked for until its run has said so."""
    model = models.get_model(session, model_id)
    response = render(request, "models/_origin.html", model=model)
    if model.run_info.get("torch") or model.status.has_ended:
        response.headers["X-Live"] = "end"
    return response


@router.get("/models/{model_id:int}/_uses")
def uses(request: Request, session: ReadSession, model_id: int) -> HTMLResponse:
    """Download and fine-tuning, asked for until there is a snapshot."""
    model = models.get_model(session, model_id)
    found = Snapshot.of_model(session, model.id)
    response = render(request, "models/_uses.html", model=model, snapshots=found)
    if found or model.status.has_ended:
        response.headers["X-Live"] = "end"
    return response


@router.get("/models/{model_id:int}/_test")
def test_form(request: Request, session: ReadSession, model_id: int) -> HTMLResponse:
    """The form that tests a picture, asked for until there is a snapshot to test it with."""
    model = models.get_model(session, model_id)
    tested = predictions.tested_of(session, Subject(Noun.MODELS, model.id))
    response = render(request, "models/_test.html", tested=tested, predictions=[])
    if tested.snapshots or model.status.has_ended:
        response.headers["X-Live"] = "end"
    return response


@router.get("/models/{model_id:int}/chart.json")
def chart(session: ReadSession, model_id: int) -> JSONResponse:
    return JSONResponse(curves.training_chart(session, models.get_model(session, model_id)))


@router.get("/models/{model_id:int}/metrics.csv")
def metrics_csv(session: ReadSession, database: DatabaseDep, model_id: int) -> StreamingResponse:
    model = models.get_model(session, model_id)
    headers = {"Content-Disposition": attachment(f"{model.name}.csv")}
    return StreamingResponse(curves.csv_text(database, model.id), media_type="text/csv", headers=headers)


@router.get("/models/{model_id:int}/log")
def log(session: ReadSession, storage: StorageDep, model_id: int) -> Response:
    model = models.get_model(session, model_id)
    path = storage.model_log(model.id)
    if not path.is_file():
        raise PageNotFound("log yet: this model has not begun")
    return FileResponse(path, media_type="text/plain; charset=utf-8")


@router.get("/models/{model_id:int}/download")
def download(
    session: ReadSession,
    storage: StorageDep,
    model_id: int,
    snapshot: str = "last",
    form: Annotated[str, Query(alias="format")] = Form.ZIP,
) -> StreamingResponse:
    if form not in list(Form):
        raise PageNotFound(f"format: expected {', '.join(Form)}, found “{form[:20]}”")
    return downloads.response(session, storage, models.get_model(session, model_id), snapshot, Form(form))


@router.post("/models/{model_id:int}/edit")
def edit(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, model_id: int, form: Typed
) -> Response:
    values = {field: form[field] for field in ("name", "notes") if field in form}
    try:
        changes = ModelChanges.model_validate(values)
    except ValidationError as error:
        state = {"values": values, "errors": messages_by_field(error.errors())}
        with database.read() as session:
            return _show(request, session, storage, model_id, form=state, status_code=422)
    models.change_model(database, user, model_id, changes)
    return redirect(f"/models/{model_id}")


@router.post("/models/{model_id:int}/stop")
def stop(database: DatabaseDep, user: CurrentUser, model_id: int) -> Response:
    models.stop_model(database, user, model_id)
    return redirect(f"/models/{model_id}")


@router.post("/models/{model_id:int}/resume")
def resume(request: Request, database: DatabaseDep, user: CurrentUser, model_id: int) -> Response:
    try:
        models.resume_model(database, request.app.state.queue, user, model_id)
    except ModelBusy as busy:
        return refusal(request, 409, str(busy))
    return redirect(f"/models/{model_id}")


@router.post("/models/{model_id:int}/delete")
def delete(request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, model_id: int) -> Response:
    try:
        models.delete_model(database, storage, user, model_id)
    except ModelBusy as busy:
        return refusal(request, 409, str(busy))
    return redirect("/models")


def _table(session: Session, wanted: Filter) -> dict[str, Any]:
    return {
        "page": models.list_models(session, wanted),
        "counts": models.count_models(session),
        "wanted": wanted,
        "statuses": list(Status),
    }


def _show(
    request: Request, session: Session, storage: Storage, model_id: int, *, status_code: int = 200, **context: Any
) -> HTMLResponse:
    model = models.get_model(session, model_id)
    subject = Subject(Noun.MODELS, model.id)
    lines, log_offset = model_facts.log_tail(storage.model_log(model.id), LOG_LINES)
    shared = _state(session, model) | {
        "chart_summary": curves.summary_of(session, model),
        "snapshots": Snapshot.of_model(session, model.id),
        "sweep": model.sweep if model.sweep is not None and len(model.sweep.models) > 1 else None,
        "log_lines": lines,
        "log_offset": log_offset,
        "tested": predictions.tested_of(session, subject),
        "predictions": predictions.list_predictions(session, subject, limit=RECENT).predictions,
        "solver_facts": model_facts.solver_facts(model.solver_spec),
        "input_facts": model_facts.input_facts(model.preprocessing_value)
        + model_facts.variation_facts(model.augmentation_value),
        "form": None,
    }
    return render(request, "models/show.html", status_code=status_code, **(shared | context))


def _state(session: Session, model: Model) -> dict[str, Any]:
    return {
        "model": model,
        "job": model.job,
        "waits_for": model_facts.waits_for(model),
        "advice": model_facts.advice(model, Snapshot.last(session, model.id)),
    }


def _ending(response: HTMLResponse, status: Status) -> HTMLResponse:
    if status.has_ended:
        response.headers["X-Live"] = "end"
    return response
