"""Predictions as JSON: test a picture on a model, look at what came out, delete it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import ValidationError

from app.errors import messages_by_field
from app.predictions import predictions
from app.predictions.predictions import CannotLookAgain, InvalidPrediction, PictureTest
from app.predictions.tested import SubjectDep, under_both
from app.schemas.predictions import NewPrediction, PredictionDetail, PredictionList, PredictionOut
from app.web import ApiError, CurrentUser, DatabaseDep, ReadSession, StorageDep

endpoints = APIRouter(tags=["predictions"])
MAX_ID = 2**63 - 1


@endpoints.post("", status_code=201)
def create(
    request: Request, response: Response, database: DatabaseDep, storage: StorageDep, user: CurrentUser,
    subject: SubjectDep,
    image: Annotated[UploadFile, File(description="PNG, JPEG, BMP, GIF, TIFF, WebP or PPM, at most 50 MB")],
    snapshot: Annotated[str, Form(description="last, best, or the epoch of a snapshot")] = "last",
    layers: Annotated[str, Form(description="true or false: what every layer makes of it")] = "true",
) -> PredictionDetail:  # fmt: skip
    """Queues a test of one picture. Ask for the prediction until its status is done: a fraction of a second."""
    try:
        form = NewPrediction.model_validate({"snapshot": snapshot, "layers": layers})
        test = PictureTest(subject, image.filename or "", image.file.read(), form)
        prediction_id = predictions.create_prediction(database, storage, request.app.state.queue, user, test)
    except ValidationError as error:
        raise _invalid(messages_by_field(error.errors())) from error
    except InvalidPrediction as error:
        raise _invalid(error.fields) from error
    response.headers["Location"] = f"/api/v1{subject.address}/predictions/{prediction_id}"
    with database.read() as session:
        return PredictionDetail.of_one(predictions.get_prediction(session, subject, prediction_id))


@endpoints.get("")
def index(
    session: ReadSession,
    subject: SubjectDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[int | None, Query(ge=1, le=MAX_ID, description="`next` of the page before")] = None,
) -> PredictionList:
    """The predictions of a model, the newest first, without their layers."""
    page = predictions.list_predictions(session, subject, after, limit)
    return PredictionList(items=[PredictionOut.of(one) for one in page.predictions], next=page.next)


@endpoints.get("/{prediction_id}")
def show(session: ReadSession, subject: SubjectDep, prediction_id: int) -> PredictionDetail:
    return PredictionDetail.of_one(predictions.get_prediction(session, subject, prediction_id))


@endpoints.get("/{prediction_id}/activations/{number}.npy")
def activation(
    session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int, number: int
) -> FileResponse:
    """The output of one layer, float16, in NumPy's format; `number` counts the entries of `layers` from 0."""
    prediction = predictions.get_prediction(session, subject, prediction_id)
    _, path = predictions.activation_file(storage, prediction, number)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@endpoints.post("/{prediction_id}/look-again", status_code=202)
def look_again(
    request: Request, database: DatabaseDep, storage: StorageDep, subject: SubjectDep, prediction_id: int
) -> PredictionDetail:
    """Makes the outputs of all layers anew, from the same picture and weights; nothing happens while they are there."""
    try:
        predictions.look_again(database, storage, request.app.state.queue, subject, prediction_id)
    except CannotLookAgain as reason:
        raise ApiError(409, "gone", str(reason)) from reason
    with database.read() as session:
        return PredictionDetail.of_one(predictions.get_prediction(session, subject, prediction_id))


@endpoints.delete("/{prediction_id}", status_code=204)
def delete(
    database: DatabaseDep, storage: StorageDep, user: CurrentUser, subject: SubjectDep, prediction_id: int
) -> Response:
    predictions.delete_prediction(database, storage, user, subject, prediction_id)
    return Response(status_code=204)


def _invalid(fields: dict[str, str]) -> ApiError:
    return ApiError(422, "invalid", "Some fields do not fit: " + ", ".join(fields) + ".", fields)


router = under_both(endpoints, prefix="/api/v1")
