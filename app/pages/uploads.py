"""Pages of uploads: sending files, the list, and what an archive holds. Resumable sending is in `app/api/tus.py`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer
from starlette.concurrency import run_in_threadpool

from app.api import tus
from app.db import Database, Dataset, Status, Upload
from app.schemas.uploads import percent_received
from app.uploads import uploads
from app.uploads.receiving import LineCut, Place
from app.uploads.receiving_form import receive_form
from app.web import (
    ApiError,
    CurrentUser,
    DatabaseDep,
    PageNotFound,
    ReadSession,
    StorageDep,
    redirect,
    render,
    require_owner,
)

router = APIRouter(include_in_schema=False)
router.include_router(tus.router)

WAIT_FOR_CHECK_S = 3.0  # small archives are shown checked at once
CLASSES_SHOWN = 1_000


class Wanted:
    """The list's filter; a word that is not known counts as not given, so that an old link still opens."""

    def __init__(self, q: str = "", status: str = "", after: str = "") -> None:
        self.text = q.strip()[:200]
        self.status = Status(status) if status in list(Status) else None
        self.after = int(after) if after.isdecimal() and len(after) < 18 else None


WantedDep = Annotated[Wanted, Depends()]


@router.get("/uploads")
def index(request: Request, session: ReadSession, wanted: WantedDep) -> HTMLResponse:
    return _index(request, session, wanted)


@router.get("/uploads/_table")
def table(request: Request, session: ReadSession, wanted: WantedDep) -> HTMLResponse:
    return render(request, "uploads/_table.html", **_table(session, wanted))


@router.post("/uploads")
async def create(request: Request, user: CurrentUser) -> Response:
    """A form with a file, for browsers without JavaScript."""
    place = Place.of(request)
    try:
        upload = await receive_form(place, request, user.id)
    except LineCut as error:
        raise ApiError(400, "line_cut", "The file did not arrive whole.") from error
    except ApiError as error:
        form = {"values": {}, "errors": error.fields or {"file": error.message}}
        return await run_in_threadpool(_form_again, request, place.database, form, error.status_code)
    await uploads.checks_of(request.app).ended(upload.id, WAIT_FOR_CHECK_S)
    return redirect(f"/uploads/{upload.id}")


@router.post("/uploads/sample")
def create_sample(database: DatabaseDep, storage: StorageDep, user: CurrentUser) -> Response:
    return redirect(f"/uploads/{uploads.add_sample(database, storage, user.id).id}")


@router.get("/uploads/{upload_id:int}")
def show(request: Request, session: ReadSession, upload_id: int, q: str = "") -> HTMLResponse:
    return _show(request, session, _get(session, upload_id), q)


@router.get("/uploads/{upload_id:int}/_status")
def status(request: Request, session: ReadSession, upload_id: int) -> HTMLResponse:
    upload = _get(session, upload_id)
    response = render(request, "uploads/_status.html", upload=upload, percent=percent_received(upload))
    if upload.status.has_ended:
        response.headers["X-Live"] = "reload"
    return response


@router.post("/uploads/{upload_id:int}/delete")
def delete(request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, upload_id: int) -> Response:
    with database.read() as session:
        upload = _get(session, upload_id)
    require_owner(user, upload.user_id)
    try:
        uploads.delete_upload(database, storage, upload_id)
    except ApiError as error:
        with database.read() as session:
            flash = {"kind": "error", "text": error.message}
            return _show(request, session, upload, status_code=error.status_code, flashes=[flash])
    return redirect("/uploads")


def _get(session: Session, upload_id: int) -> Upload:
    upload = session.get(Upload, upload_id, options=[undefer(Upload.holds)])
    if upload is None:
        raise PageNotFound("upload")
    return upload


def _form_again(request: Request, database: Database, form: dict[str, Any], status_code: int) -> HTMLResponse:
    with database.read() as session:
        return _index(request, session, Wanted(), form=form, status_code=status_code)


def _index(
    request: Request, session: Session, wanted: Wanted, *, form: dict[str, Any] | None = None, status_code: int = 200
) -> HTMLResponse:
    most_bytes = uploads.max_bytes(request.app.state.settings)
    return render(
        request,
        "uploads/index.html",
        status_code=status_code,
        form=form,
        statuses=list(Status),
        most_bytes=most_bytes,
        **_table(session, wanted),
    )


def _table(session: Session, wanted: Wanted) -> dict[str, Any]:
    rows, next_id = uploads.list_uploads(session, text=wanted.text, status=wanted.status, after=wanted.after)
    percents = {row.upload.id: percent_received(row.upload) for row in rows}
    counts = uploads.count_uploads(session)
    return {"rows": rows, "percents": percents, "next": next_id, "counts": counts, "wanted": wanted}


def _show(
    request: Request, session: Session, upload: Upload, q: str = "", *, status_code: int = 200, **context: Any
) -> HTMLResponse:
    sought = q.strip().casefold()
    found = [entry for entry in upload.classes if sought in str(entry["name"]).casefold()]
    made = select(Dataset).where(uploads.is_made_of(upload.id)).order_by(Dataset.id.desc()).limit(20)
    return render(
        request,
        "uploads/show.html",
        status_code=status_code,
        upload=upload,
        percent=percent_received(upload),
        holdings=upload.holdings,
        classes=found[:CLASSES_SHOWN],
        found_count=len(found),
        q=q.strip(),
        datasets=list(session.scalars(made)),
        **context,
    )
