"""Uploads as JSON. Resumable uploads are in `app/api/tus.py`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import undefer
from starlette.concurrency import run_in_threadpool

from app.db import Database, Status, Upload
from app.schemas.errors import refuses
from app.schemas.uploads import UploadDetails, UploadPage, UploadSummary
from app.uploads import uploads
from app.uploads.receiving import LineCut, Place
from app.uploads.receiving_form import receive_form
from app.web import ApiError, CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep, require_owner

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])

WAIT_FOR_CHECK_S = 30.0
FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "name": {"type": "string", "description": "What it is called here; else the file's name."},
                        "file": {"type": "string", "format": "binary", "description": "A zip or tar archive."},
                    },
                }
            }
        },
    }
}


@router.get("", responses=refuses())
def list_uploads(
    session: ReadSession,
    q: str = "",
    status: Status | None = None,
    after: int | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> UploadPage:
    """Uploads, the newest first."""
    listed, next_id = uploads.list_uploads(session, text=q, status=status, after=after, limit=limit)
    return UploadPage(items=[UploadSummary.of_listed(row) for row in listed], next=next_id)


@router.post("", status_code=201, openapi_extra=FILE_BODY, responses=refuses(400, 413, 507))
async def send_upload(request: Request, user: CurrentUser) -> UploadDetails:
    """Sends an archive; the answer comes once it is checked, or after 30 s with status running."""
    place = Place.of(request)
    try:
        upload = await receive_form(place, request, user.id)
    except LineCut as error:
        raise ApiError(400, "line_cut", "The body ended before the whole file had arrived.") from error
    await uploads.checks_of(request.app).ended(upload.id, WAIT_FOR_CHECK_S)
    checked = await run_in_threadpool(_get, place.database, upload.id)
    if checked.status == Status.FAILED:
        message = checked.error or "The archive was refused."
        raise ApiError(422, "bad_archive", message, {"file": message})
    return UploadDetails.of(checked)


@router.post("/sample", status_code=201, responses=refuses())
def add_sample(database: DatabaseDep, storage: StorageDep, user: CurrentUser) -> UploadDetails:
    """scikit-learn's 1,797 handwritten digits as an upload."""
    return UploadDetails.of(uploads.add_sample(database, storage, user.id))


@router.get("/{upload_id}", responses=refuses(404))
def get_upload(session: ReadSession, upload_id: int) -> UploadDetails:
    upload = session.get(Upload, upload_id)
    if upload is None:
        raise PageNotFound("upload")
    return UploadDetails.of(upload)


@router.delete("/{upload_id}", status_code=204, responses=refuses(403, 404, 409))
def delete_upload(database: DatabaseDep, storage: StorageDep, user: CurrentUser, upload_id: int) -> Response:
    """Refused while a build of a dataset needs it."""
    require_owner(user, _get(database, upload_id).user_id)
    uploads.delete_upload(database, storage, upload_id)
    return Response(status_code=204)


def _get(database: Database, upload_id: int) -> Upload:
    with database.read() as session:
        upload = session.get(Upload, upload_id, options=[undefer(Upload.holds)])
    if upload is None:
        raise PageNotFound("upload")
    return upload
