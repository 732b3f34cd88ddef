"""The tus 1.0 protocol for uploads (https://tus.io/protocols/resumable-upload): core, creation, creation-with-upload,
termination, checksum. Here headers are read and written; bytes are received in `app/uploads/receiving.py`.

Further than the protocol: Upload-Page names the page of the upload. It is no noun of the API because its addresses are
part of the pages' form, but answers like it, in JSON.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.db import Status, Upload
from app.errors import refusal
from app.uploads import uploads
from app.uploads.receiving import Checksum, ChecksumDiffers, LineCut, OtherOffset, Place, receive_piece
from app.web import ApiError, CurrentUser, PageNotFound

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,checksum"
ALGORITHMS = ("sha1", "sha256", "md5")
PIECE_TYPE = "application/offset+octet-stream"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class TusRoute(APIRoute):
    """Every answer names the version; a client of another version is turned away."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            if request.method != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
                response = refusal(request, 412, f"Expected the header Tus-Resumable: {VERSION}.")
                response.headers["Tus-Version"] = VERSION
            else:
                response = await _refusing(request, handler)
            response.headers["Tus-Resumable"] = VERSION
            return response

        return answer


async def _refusing(request: Request, handler: Handler) -> Response:
    """Refusals become answers here already, so that they carry the protocol's headers."""
    try:
        return await handler(request)
    except ApiError as error:
        return refusal(request, error.status_code, error.message, code=error.code, fields=error.fields)
    except PageNotFound as error:
        return refusal(request, 404, str(error))
    except OtherOffset as error:
        message = f"Expected the piece that begins at byte {error.offset:,}, found another."
        headers = {"Upload-Offset": str(error.offset)}
        return refusal(request, 409, message, code="other_offset", headers=headers)
    except BlockingIOError:
        message = "Another request is sending to this upload just now."
        return refusal(request, 423, message, headers={"Retry-After": "2"})
    except FileNotFoundError:
        return refusal(request, 410, "This upload was stopped or deleted.")
    except ChecksumDiffers:
        return refusal(request, 460, "The checksum of the piece differs; it was not kept.")
    except LineCut:
        return refusal(request, 408, "The line fell silent; what had arrived is kept.")


router = APIRouter(prefix="/uploads/tus", include_in_schema=False, route_class=TusRoute)


async def find_own(request: Request, user: CurrentUser, token: str) -> Upload:
    upload = await run_in_threadpool(_find, Place.of(request), token)
    if upload is None:
        raise PageNotFound("upload")
    if not user.may_change(upload.user_id):
        raise ApiError(403, "not_allowed", "Only its owner or an administrator may do this.")
    return upload


OwnUpload = Annotated[Upload, Depends(find_own)]


@router.options("")
@router.options("/{token}")
async def describe(request: Request) -> Response:
    place = Place.of(request)
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(uploads.max_bytes(place.settings)),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


@router.post("")
async def create(request: Request, user: CurrentUser) -> Response:
    place = Place.of(request)
    size_bytes = _length(request)
    told = _metadata(request.headers.get("upload-metadata", ""))
    await run_in_threadpool(uploads.refuse_size, place.storage, place.settings, size_bytes)
    upload = await run_in_threadpool(
        lambda: uploads.announce(
            place.database, place.storage, user_id=user.id, filename=told.get("filename", ""),
            name=told.get("name", ""), size_bytes=size_bytes,
        )
    )  # fmt: skip
    headers = {"Location": f"/uploads/tus/{upload.token}"}
    if request.headers.get("content-type") == PIECE_TYPE:
        headers["Upload-Offset"] = str(await _receive(request, upload, 0))
    return Response(status_code=201, headers=headers | _page(upload))


@router.head("/{token}")
async def offset(request: Request, upload: OwnUpload) -> Response:
    _refuse_ended(upload)
    size = await run_in_threadpool(_size_on_disk, Place.of(request), upload)
    headers = {"Upload-Offset": str(size), "Upload-Length": str(upload.size_bytes), "Cache-Control": "no-store"}
    return Response(status_code=200, headers=headers | _page(upload))


@router.patch("/{token}")
async def append(request: Request, upload: OwnUpload) -> Response:
    _refuse_ended(upload)
    if request.headers.get("content-type") != PIECE_TYPE:
        raise ApiError(415, "unsupported_media_type", f"Expected Content-Type: {PIECE_TYPE}.")
    begins_at = _whole(request, "upload-offset")
    if upload.status == Status.DONE:
        raise OtherOffset(upload.size_bytes)
    reached = await _receive(request, upload, begins_at)
    return Response(status_code=204, headers={"Upload-Offset": str(reached)} | _page(upload))


@router.delete("/{token}")
async def terminate(request: Request, upload: OwnUpload) -> Response:
    _refuse_ended(upload)
    if upload.status == Status.DONE:
        raise ApiError(409, "conflict", "This upload is complete. Delete it on its page.")
    place = Place.of(request)
    await run_in_threadpool(uploads.stop_upload, place.database, place.storage, upload.id)
    return Response(status_code=204)


async def _receive(request: Request, upload: Upload, begins_at: int) -> int:
    reached = await receive_piece(Place.of(request), upload, request, begins_at, _checksum(request))
    if reached == upload.size_bytes:
        uploads.checks_of(request.app).start(upload.id)
    return reached


def _find(place: Place, token: str) -> Upload | None:
    with place.database.read() as session:
        return session.scalars(select(Upload).where(Upload.token == token)).first()


def _refuse_ended(upload: Upload) -> None:
    if upload.status in (Status.STOPPED, Status.FAILED):
        raise ApiError(410, "gone", upload.error or "This upload was stopped.")


def _size_on_disk(place: Place, upload: Upload) -> int:
    return place.storage.upload_file(upload.id).stat().st_size


def _page(upload: Upload) -> dict[str, str]:
    return {"Upload-Page": f"/uploads/{upload.id}"}


def _length(request: Request) -> int:
    if "upload-defer-length" in request.headers:
        raise ApiError(400, "bad_request", "Expected Upload-Length; a length that is told later is not supported.")
    size_bytes = _whole(request, "upload-length")
    if size_bytes == 0:
        message = "The file is empty (0 bytes)."
        raise ApiError(422, "invalid", message, {"file": message})
    return size_bytes


def _whole(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ApiError(400, "bad_request", f"Expected a whole number in {header.title()}, found {text[:40]!r}.")
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """`key base64,key base64,key`; raises ApiError."""
    told = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        told[key] = _decoded(value.strip(), "Upload-Metadata").decode("utf-8", "replace")
    return told


def _checksum(request: Request) -> Checksum | None:
    header = request.headers.get("upload-checksum")
    if header is None:
        return None
    algorithm, _, value = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise ApiError(400, "bad_request", f"Expected a checksum by {', '.join(ALGORITHMS)}, found {algorithm[:20]!r}.")
    return Checksum(algorithm, _decoded(value.strip(), "Upload-Checksum"))


def _decoded(text: str, header: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "bad_request", f"Expected base64 in {header}, found {text[:40]!r}.") from error
