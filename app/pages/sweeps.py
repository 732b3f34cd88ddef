"""Pages of sweeps: the list, and one sweep with its models side by side."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from sqlalchemy.orm import Session

from app.download_forms import attachment
from app.models import curves, models, sweeps
from app.web import CurrentUser, DatabaseDep, ReadSession, redirect, render

router = APIRouter(include_in_schema=False)


@router.get("/sweeps")
def index(request: Request, session: ReadSession, after: str = "") -> HTMLResponse:
    found, following = sweeps.list_sweeps(session, models.row_id(after))
    return render(request, "sweeps/index.html", sweeps=found, next=following, counts_of=sweeps.counts_of)


@router.get("/sweeps/{sweep_id:int}")
def show(request: Request, session: ReadSession, sweep_id: int) -> HTMLResponse:
    return render(request, "sweeps/show.html", **_state(session, sweep_id))


@router.get("/sweeps/{sweep_id:int}/_state")
def state(request: Request, session: ReadSession, sweep_id: int) -> HTMLResponse:
    """Its models and the comparison, drawn anew while one of them is queued or being trained."""
    context = _state(session, sweep_id)
    response = render(request, "sweeps/_state.html", **context)
    if not context["is_active"]:
        response.headers["X-Live"] = "end"
    return response


@router.get("/sweeps/{sweep_id:int}/chart.json")
def chart(session: ReadSession, sweep_id: int) -> JSONResponse:
    return JSONResponse(curves.sweep_chart(session, models.get_sweep(session, sweep_id)))


@router.get("/sweeps/{sweep_id:int}/metrics.csv")
def metrics_csv(session: ReadSession, database: DatabaseDep, sweep_id: int) -> StreamingResponse:
    sweep = models.get_sweep(session, sweep_id)
    headers = {"Content-Disposition": attachment(f"{sweep.name}.csv")}
    text = curves.csv_of_models(database, {model.id: model.name for model in sweep.models})
    return StreamingResponse(text, media_type="text/csv", headers=headers)


@router.post("/sweeps/{sweep_id:int}/stop")
def stop(database: DatabaseDep, user: CurrentUser, sweep_id: int) -> Response:
    models.stop_sweep(database, user, sweep_id)
    return redirect(f"/sweeps/{sweep_id}")


def _state(session: Session, sweep_id: int) -> dict[str, Any]:
    sweep = models.get_sweep(session, sweep_id)
    results = sweeps.results(session, sweep)
    return {
        "sweep": sweep,
        "results": results,
        "heat": sweeps.heat_map(results),
        "summary": sweeps.summary(results),
        "counts": sweeps.counts_of(sweep),
        "is_active": any(model.status.is_active for model in sweep.models),
    }
