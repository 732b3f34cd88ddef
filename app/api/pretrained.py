"""Pretrained nets as JSON: send, keep a snapshot, list, change, delete, download. Rules are in `app/pretrained`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.db import Database, PretrainedNet
from app.download_forms import Form
from app.errors import messages_by_field
from app.pretrained import download as pretrained_download
from app.pretrained import pretrained
from app.pretrained.facts import InvalidPretrained
from app.pretrained.pretrained import Filter, PretrainedBusy
from app.schemas.errors import refuses
from app.schemas.pretrained import (
    FromSnapshot,
    NewPretrained,
    PretrainedChanges,
    PretrainedDetail,
    PretrainedList,
    PretrainedOut,
)
from app.uploads.receiving_files import receive_files
from app.web import ApiError, CurrentUser, DatabaseDep, ReadSession, StorageDep

router = APIRouter(prefix="/api/v1/pretrained", tags=["pretrained nets"])
MAX_ID = 2**63 - 1
FILE = {"type": "string", "format": "binary"}
FIELDS = NewPretrained.model_json_schema()["properties"]
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "weights", "prototxt"],
                    "properties": {
                        "weights": FILE | {"description": "A .caffemodel or a .safetensors"},
                        "mean": FILE | {"description": "mean.binaryproto"},
                        **{name: {"type": "string", "description": facts.get("description", "")}
                           for name, facts in FIELDS.items()},
                    },
                }
            }
        },
    }
}  # fmt: skip


@router.post("", status_code=201, openapi_extra=BODY, responses=refuses(400, 413, 507))
async def create(request: Request, user: CurrentUser) -> PretrainedDetail:
    """Sends weights with their prototxt (a file or a field, like `labels`); its status is done once it is imported."""
    state = request.app.state
    with pretrained.incoming_folder(state.storage) as folder:
        received = await receive_files(request, folder, pretrained.limits(state.settings))
        try:
            form = NewPretrained.model_validate(pretrained.texts_of(received))
            made = await run_in_threadpool(
                pretrained.create_pretrained, state.database, state.storage, state.queue, user, form, received
            )
        except ValidationError as error:
            raise _invalid(messages_by_field(error.errors())) from error
        except InvalidPretrained as error:
            raise _invalid(error.fields) from error
    return await run_in_threadpool(_detail, state.database, made)


@router.post("/from-snapshot", status_code=201, responses=refuses())
def add_snapshot(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, form: FromSnapshot
) -> PretrainedDetail:
    """Keeps a snapshot of a model in the library, whatever becomes of the model."""
    try:
        made = pretrained.add_snapshot(database, storage, request.app.state.queue, user, form)
    except InvalidPretrained as error:
        raise _invalid(error.fields) from error
    return _detail(database, made)


@router.get("", responses=refuses())
def index(
    session: ReadSession,
    q: Annotated[str, Query(max_length=200, description="Part of the name")] = "",
    sort: Annotated[str, Query(description="-created, created, name, source, topology, parameters, size")] = "-created",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> PretrainedList:
    if sort.removeprefix("-") not in pretrained.ORDERS:
        raise _invalid({"sort": f"Expected one of {', '.join(pretrained.ORDERS)}, found “{sort[:40]}”."})
    page = pretrained.list_pretrained(session, Filter(q.strip(), sort, after, limit))
    return PretrainedList(items=[PretrainedOut.of(net, page.classes[net.id]) for net in page.nets], next=page.next)


@router.get("/{pretrained_id}", responses=refuses(404))
def show(session: ReadSession, pretrained_id: int) -> PretrainedDetail:
    net = pretrained.get_pretrained(session, pretrained_id)
    return PretrainedDetail.of_one(net, pretrained.used_by(session, net)[0])


@router.patch("/{pretrained_id}", responses=refuses(403, 404))
def change(
    database: DatabaseDep, user: CurrentUser, pretrained_id: int, changes: PretrainedChanges
) -> PretrainedDetail:
    pretrained.change_pretrained(database, user, pretrained_id, changes)
    return _detail(database, pretrained_id)


@router.delete("/{pretrained_id}", status_code=204, responses=refuses(403, 404, 409))
def delete(database: DatabaseDep, storage: StorageDep, user: CurrentUser, pretrained_id: int) -> Response:
    """Refused while a queued or running model starts from it."""
    try:
        pretrained.delete_pretrained(database, storage, user, pretrained_id)
    except PretrainedBusy as refusal:
        raise ApiError(409, "busy", str(refusal)) from refusal
    return Response(status_code=204)


@router.get("/{pretrained_id}/download", response_class=StreamingResponse, responses=refuses(404, 409))
def download(
    session: ReadSession,
    storage: StorageDep,
    pretrained_id: int,
    form: Annotated[Form, Query(alias="format", description="zip: everything; or what one program needs")] = Form.ZIP,
) -> StreamingResponse:
    """A zip with the weights and everything needed to use them elsewhere, as of a model.

    409 where the net cannot be written in the form that is asked for; the message names the layer and the reason.
    """
    return pretrained_download.response(storage, pretrained.get_pretrained(session, pretrained_id), form)


def _detail(database: Database, pretrained_id: int) -> PretrainedDetail:
    with database.read() as session:
        net: PretrainedNet = pretrained.get_pretrained(session, pretrained_id)
        return PretrainedDetail.of_one(net, pretrained.used_by(session, net)[0])


def _invalid(fields: dict[str, str]) -> ApiError:
    return ApiError(422, "invalid", "Some fields do not fit: " + ", ".join(fields) + ".", fields)
