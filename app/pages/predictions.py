"""Pages of predictions: the form, the list, one prediction with its layers, whose pictures are drawn when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from app.db import Prediction, Subject
from app.errors import messages_by_field, refusal
from app.predictions import activations, filters, layer_views, predictions
from app.predictions.layer_views import LayerView
from app.predictions.pictures import PictureError, preview
from app.predictions.predictions import CannotLookAgain, InvalidPrediction, PictureTest
from app.predictions.tested import SubjectDep, under_both
from app.pretrained.weights_files import WeightsError
from app.schemas.predictions import NewPrediction
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep, redirect, render

pages = APIRouter(include_in_schema=False)
# The address holds the moment of the prediction, so that a picture may be kept for as long as the browser likes.
KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}


@dataclass(frozen=True)
class SentForm:
    values: dict[str, str]
    filename: str = ""
    data: bytes | None = None  # None: no file was chosen


async def sent_form(request: Request) -> SentForm:
    form = await request.form()
    values = {name: value for name, value in form.items() if isinstance(value, str)}
    image = form.get("image")
    if not isinstance(image, UploadFile) or (not image.filename and not image.size):
        return SentForm(values)
    return SentForm(values, image.filename or "", await image.read())


@pages.get("")
def index(request: Request, session: ReadSession, subject: SubjectDep, after: str = "") -> HTMLResponse:
    return _index(request, session, subject, {}, after=after)


@pages.post("")
def create(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, subject: SubjectDep,
    form: Annotated[SentForm, Depends(sent_form)],
) -> Response:  # fmt: skip
    try:
        wanted = NewPrediction.model_validate({"layers": "", **form.values})
        if form.data is None:
            raise InvalidPrediction({"image": "Choose a picture first."})
        test = PictureTest(subject, form.filename, form.data, wanted)
        made = predictions.create_prediction(database, storage, request.app.state.queue, user, test)
        return redirect(f"{subject.address}/predictions/{made}")
    except ValidationError as error:
        errors = messages_by_field(error.errors())
    except InvalidPrediction as error:
        errors = error.fields
    with database.read() as session:
        refused = {"values": form.values, "errors": errors}
        return _index(request, session, subject, refused, status_code=422)


@pages.get("/{prediction_id:int}")
def show(
    request: Request, session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int
) -> HTMLResponse:
    prediction = predictions.get_prediction(session, subject, prediction_id)
    return render(request, "predictions/show.html", **_result_context(request, session, storage, prediction))


@pages.get("/{prediction_id:int}/_result")
def result(
    request: Request, session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int
) -> HTMLResponse:
    prediction = predictions.get_prediction(session, subject, prediction_id)
    response = render(request, "predictions/_result.html", **_result_context(request, session, storage, prediction))
    if prediction.status.has_ended:
        response.headers["X-Live"] = "end"
    return response


@pages.get("/{prediction_id:int}/picture.png")
def picture(session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int) -> Response:
    """The picture as it was sent, small enough for the page."""
    prediction = predictions.get_prediction(session, subject, prediction_id)
    try:
        data = (predictions.folder_of(storage, prediction) / predictions.IMAGE).read_bytes()
        return _png(preview(data))
    except (OSError, PictureError):
        raise PageNotFound("picture") from None


@pages.get("/{prediction_id:int}/input.png")
def input_picture(session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int) -> FileResponse:
    """The picture as the net sees it: channels, size and crop, before the mean is taken off."""
    prediction = predictions.get_prediction(session, subject, prediction_id)
    path = predictions.folder_of(storage, prediction) / predictions.INPUT
    if not path.is_file():
        raise PageNotFound("picture")
    return FileResponse(path, media_type="image/png", headers=KEPT)


@pages.get("/{prediction_id:int}/layers/{number:int}/output.png")
def output(session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int, number: int) -> Response:
    """What a layer made of the picture."""
    prediction = predictions.get_prediction(session, subject, prediction_id)
    layer, path = predictions.activation_file(storage, prediction, number)
    try:
        values = activations.load(path)
    except (OSError, ValueError):
        raise PageNotFound("activation") from None
    view = LayerView(number, layer["name"], layer["type"], values.shape, layer)
    if view.is_picture:
        maps = values.reshape(1, *view.maps)
        return _png(activations.png(activations.draw_colors(maps, view.tiling, activations.Scale.span(values))))
    return _png(activations.png(activations.draw(values, view.scale)))


@pages.get("/{prediction_id:int}/layers/{number:int}/_weights")
def weights(
    request: Request, session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int, number: int
) -> HTMLResponse:
    """The numbers of a layer's weights, and its filters where they can be seen."""
    prediction, layer = _layer(session, storage, subject, prediction_id, number)
    try:
        summary = filters.summarize(predictions.weights_of(storage, prediction), layer.name)
    except WeightsError:
        raise PageNotFound("layer") from None
    return render(request, "predictions/_weights.html", prediction=prediction, layer=layer, summary=summary)


@pages.get("/{prediction_id:int}/layers/{number:int}/filters.png")
def filter_picture(
    session: ReadSession, storage: StorageDep, subject: SubjectDep, prediction_id: int, number: int
) -> Response:
    prediction, layer = _layer(session, storage, subject, prediction_id, number)
    if layer.filters is None:
        raise PageNotFound("picture of these weights")
    try:
        picture = filters.draw_filters(predictions.weights_of(storage, prediction), layer.name, layer.filters)
    except WeightsError:
        raise PageNotFound("layer") from None
    return _png(activations.png(picture))


@pages.post("/{prediction_id:int}/look-again")
def look_again(
    request: Request, database: DatabaseDep, storage: StorageDep, subject: SubjectDep, prediction_id: int
) -> Response:
    try:
        predictions.look_again(database, storage, request.app.state.queue, subject, prediction_id)
    except CannotLookAgain as reason:
        return refusal(request, 409, str(reason))
    return redirect(f"{subject.address}/predictions/{prediction_id}")


@pages.post("/{prediction_id:int}/delete")
def delete(
    database: DatabaseDep, storage: StorageDep, user: CurrentUser, subject: SubjectDep, prediction_id: int
) -> Response:
    predictions.delete_prediction(database, storage, user, subject, prediction_id)
    return redirect(f"{subject.address}/predictions")


def _index(
    request: Request,
    session: Session,
    subject: Subject,
    form: dict[str, Any],
    *,
    after: str = "",
    status_code: int = 200,
) -> HTMLResponse:
    key = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
    page, tested = predictions.list_predictions(session, subject, key), predictions.tested_of(session, subject)
    arrays_bytes = Prediction.arrays_bytes_of(session, subject)
    return render(
        request, "predictions/index.html", status_code=status_code, tested=tested, page=page, form=form,
        arrays_bytes=arrays_bytes, activation_days=request.app.state.settings.activation_days,
    )  # fmt: skip


def _result_context(request: Request, session: Session, storage: Storage, prediction: Prediction) -> dict[str, Any]:
    folder = predictions.folder_of(storage, prediction)
    return {
        "prediction": prediction,
        "tested": predictions.tested_of(session, prediction.subject),
        "job": prediction.job,
        "layers": layer_views.view_layers(prediction.layers, _shapes(storage, prediction)),
        "kept_until": _kept_until(prediction, request.app.state.settings.activation_days),
        "can_look_again": predictions.can_look_again(storage, prediction),
        "has_input": (folder / predictions.INPUT).is_file(),
    }


def _kept_until(prediction: Prediction, days: int) -> datetime | None:
    """When the layers' arrays will be deleted."""
    if prediction.arrays_made_at is None or not days:
        return None
    return prediction.arrays_made_at + timedelta(days=days)


def _layer(
    session: Session, storage: Storage, subject: Subject, prediction_id: int, number: int
) -> tuple[Prediction, LayerView]:
    prediction = predictions.get_prediction(session, subject, prediction_id)
    views = layer_views.view_layers(prediction.layers, _shapes(storage, prediction))
    if not 0 <= number < len(views) or views[number].weights is None:
        raise PageNotFound("layer with weights")
    return prediction, views[number]


def _shapes(storage: Storage, prediction: Prediction) -> dict[str, filters.Weights]:
    """Of the snapshot's parameters; none when its files are gone or damaged, and the page opens without them."""
    if not prediction.layers:
        return {}
    try:
        return filters.read_shapes(predictions.weights_of(storage, prediction))
    except WeightsError:
        return {}


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers=KEPT)


router = under_both(pages, converter=":int")
