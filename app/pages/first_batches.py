"""What the model form shows of the first batch: the part that asks for it and follows it, and its images."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import ValidationError

from app.db import Database, User
from app.errors import messages_by_field
from app.forms import Typed
from app.models.first_batches import ask_for_first_batch, get_first_batch, image_file
from app.models.launch import InvalidModel
from app.queue import Queue
from app.schemas.first_batches import NewFirstBatch
from app.web import CurrentUser, DatabaseDep, ReadSession, StorageDep, render

router = APIRouter(prefix="/first-batches", include_in_schema=False)
FIELDS = tuple(NewFirstBatch.model_fields)
KEPT = {"Cache-Control": "private, max-age=3600, immutable"}


@router.post("/_ask")
def ask(request: Request, database: DatabaseDep, user: CurrentUser, form: Typed) -> HTMLResponse:
    """The part of the form, with the batch on its way, or with what stands against it."""
    made, problems = asked(database, request.app.state.queue, user, form)
    with database.read() as session:
        first_batch = get_first_batch(session, made) if made is not None else None
        return render(request, "models/_first_batch.html", first_batch=first_batch, first_batch_problems=problems)


@router.get("/{first_batch_id:int}/_state")
def state(request: Request, session: ReadSession, first_batch_id: int) -> HTMLResponse:
    first_batch = get_first_batch(session, first_batch_id)
    response = render(request, "models/_first_batch_state.html", first_batch=first_batch)
    if first_batch.status.has_ended:
        response.headers["X-Live"] = "end"
    return response


@router.get("/{first_batch_id:int}/{number:int}.png")
def image(session: ReadSession, storage: StorageDep, first_batch_id: int, number: int) -> FileResponse:
    path = image_file(storage, get_first_batch(session, first_batch_id), number)
    return FileResponse(path, media_type="image/png", headers=KEPT)


def asked(database: Database, queue: Queue, user: User, form: Mapping[str, str]) -> tuple[int | None, dict[str, str]]:
    """The id of the batch that the form's fields describe, or what is wrong with them, by field."""
    sent = {field: form[field] for field in FIELDS if field in form}
    try:
        return ask_for_first_batch(database, queue, user, NewFirstBatch.model_validate(sent)), {}
    except ValidationError as error:
        return None, messages_by_field(error.errors())
    except InvalidModel as error:
        return None, error.fields
