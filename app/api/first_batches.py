"""First batches as JSON: what a model would be fed in its first iteration, before it is launched."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from app.models.first_batches import ask_for_first_batch, get_first_batch, image_file
from app.models.launch import InvalidModel
from app.schemas.first_batches import FirstBatchOut, NewFirstBatch
from app.web import ApiError, CurrentUser, DatabaseDep, ReadSession, StorageDep

router = APIRouter(prefix="/api/v1/first-batches", tags=["models"])


@router.post("", status_code=201)
def create(
    request: Request, response: Response, database: DatabaseDep, user: CurrentUser, form: NewFirstBatch
) -> FirstBatchOut:
    """Queues the drawing of it, which takes a moment; the same settings within half an hour give the same one."""
    try:
        made = ask_for_first_batch(database, request.app.state.queue, user, form)
    except InvalidModel as error:
        message = "Some fields do not fit: " + ", ".join(error.fields) + "."
        raise ApiError(422, "invalid", message, error.fields) from error
    response.headers["Location"] = f"{router.prefix}/{made}"
    with database.read() as session:
        return FirstBatchOut.of(get_first_batch(session, made))


@router.get("/{first_batch_id}")
def show(session: ReadSession, first_batch_id: int) -> FirstBatchOut:
    """Ask until its status is done. It is kept for an hour."""
    return FirstBatchOut.of(get_first_batch(session, first_batch_id))


@router.get("/{first_batch_id}/images/{number}.png", response_class=FileResponse)
def image(session: ReadSession, storage: StorageDep, first_batch_id: int, number: int) -> FileResponse:
    """One image as it is fed: cut and varied, before mean and scale; `number` counts from 0."""
    path = image_file(storage, get_first_batch(session, first_batch_id), number)
    return FileResponse(path, media_type="image/png")
