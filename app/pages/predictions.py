"""Pages of predictions: the form, the list, one prediction with its layers, whose pictures are drawn when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from app import activations, filters, layer_views, predictions
from app.db import Prediction, Snapshot
from app.errors import messages_by_field
from app.layer_views import LayerView
from app.models import get_model
from app.pictures import PictureError, preview
from app.predictions import InvalidPrediction, PictureTest
from app.schemas.predictions import NewPrediction
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep, redirect, render
from app.weights_files import WeightsError

router = APIRouter(prefix="/models/{model_id:int}/predictions", include_in_schema=False)
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


@router.get("")
def index(request: Request, session: ReadSession, model_id: int, after: str = "") -> HTMLResponse:
    return _index(request, session, model_id, {}, after=after)


@router.post("")
def create(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, model_id: int,
    form: Annotated[SentForm, Depends(sent_form)],
) -> Response:  # fmt: skip
    try:
        wanted = NewPrediction.model_validate({"layers": "", **form.values})
        if form.data is None:
            raise InvalidPrediction({"image": "Choose a picture first."})
        test = PictureTest(model_id, form.filename, form.data, wanted)
        made = predictions.create_prediction(database, storage, request.app.state.queue, user, test)
        return redirect(f"/models/{model_id}/predictions/{made}")
    except ValidationError as error:
        errors = messages_by_field(error.errors())
    except InvalidPrediction as error:
        errors = error.fields
    with database.read() as session:
        refused = {"values": form.values, "errors": errors}
        return _index(request, session, model_id, refused, status_code=422)


@router.get("/{prediction_id:int}")
def show(
    request: Request, session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int
) -> HTMLResponse:
    prediction = predictions.get_prediction(session, model_id, prediction_id)
    return render(request, "predictions/show.html", **_result_context(storage, prediction))


@router.get("/{prediction_id:int}/_result")
def result(
    request: Request, session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int
) -> HTMLResponse:
    prediction = predictions.get_prediction(session, model_id, prediction_id)
    response = render(request, "predictions/_result.html", **_result_context(storage, prediction))
    if prediction.status.has_ended:
        response.headers["X-Live"] = "end"
    return response


@router.get("/{prediction_id:int}/picture.png")
def picture(session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int) -> Response:
    """The picture as it was sent, small enough for the page."""
    prediction = predictions.get_prediction(session, model_id, prediction_id)
    try:
        data = (storage.prediction_dir(model_id, prediction.id) / predictions.IMAGE).read_bytes()
        return _png(preview(data))
    except (OSError, PictureError):
        raise PageNotFound("picture") from None


@router.get("/{prediction_id:int}/input.png")
def input_picture(session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int) -> FileResponse:
    """The picture as the net sees it: channels, size and crop, before the mean is taken off."""
    prediction = predictions.get_prediction(session, model_id, prediction_id)
    path = storage.prediction_dir(model_id, prediction.id) / predictions.INPUT
    if not path.is_file():
        raise PageNotFound("picture")
    return FileResponse(path, media_type="image/png", headers=KEPT)


@router.get("/{prediction_id:int}/layers/{number:int}/output.png")
def output(session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int, number: int) -> Response:
    """What a layer made of the picture."""
    prediction = predictions.get_prediction(session, model_id, prediction_id)
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


@router.get("/{prediction_id:int}/layers/{number:int}/_weights")
def weights(
    request: Request, session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int, number: int
) -> HTMLResponse:
    """The numbers of a layer's weights, and its filters where they can be seen."""
    prediction, layer = _layer(session, storage, model_id, prediction_id, number)
    try:
        summary = filters.summarize(_weights_file(storage, prediction), layer.name)
    except WeightsError:
        raise PageNotFound("layer") from None
    return render(request, "predictions/_weights.html", prediction=prediction, layer=layer, summary=summary)


@router.get("/{prediction_id:int}/layers/{number:int}/filters.png")
def filter_picture(
    session: ReadSession, storage: StorageDep, model_id: int, prediction_id: int, number: int
) -> Response:
    prediction, layer = _layer(session, storage, model_id, prediction_id, number)
    if layer.filters is None:
        raise PageNotFound("picture of these weights")
    try:
        picture = filters.draw_filters(_weights_file(storage, prediction), layer.name, layer.filters)
    except WeightsError:
        raise PageNotFound("layer") from None
    return _png(activations.png(picture))


@router.post("/{prediction_id:int}/delete")
def delete(
    database: DatabaseDep, storage: StorageDep, user: CurrentUser, model_id: int, prediction_id: int
) -> Response:
    predictions.delete_prediction(database, storage, user, model_id, prediction_id)
    return redirect(f"/models/{model_id}/predictions")


def _index(
    request: Request, session: Session, model_id: int, form: dict[str, Any], *, after: str = "", status_code: int = 200
) -> HTMLResponse:
    key = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
    page = predictions.list_predictions(session, model_id, key)
    model = get_model(session, model_id)
    snapshots = Snapshot.of_model(session, model_id)
    return render(request, "predictions/index.html", status_code=status_code, model=model, snapshots=snapshots,
                  page=page, form=form)  # fmt: skip


def _result_context(storage: Storage, prediction: Prediction) -> dict[str, Any]:
    folder = storage.prediction_dir(prediction.model_id, prediction.id)
    return {
        "prediction": prediction,
        "model": prediction.model,
        "job": prediction.job,
        "layers": layer_views.view_layers(prediction.layers, _shapes(storage, prediction)),
        "has_input": (folder / predictions.INPUT).is_file(),
    }


def _layer(
    session: Session, storage: Storage, model_id: int, prediction_id: int, number: int
) -> tuple[Prediction, LayerView]:
    prediction = predictions.get_prediction(session, model_id, prediction_id)
    views = layer_views.view_layers(prediction.layers, _shapes(storage, prediction))
    if not 0 <= number < len(views) or views[number].weights is None:
        raise PageNotFound("layer with weights")
    return prediction, views[number]


def _shapes(storage: Storage, prediction: Prediction) -> dict[str, filters.Weights]:
    """Of the snapshot's parameters; none when its files are gone or damaged, and the page opens without them."""
    if not prediction.layers:
        return {}
    try:
        return filters.read_shapes(_weights_file(storage, prediction))
    except WeightsError:
        return {}


def _weights_file(storage: Storage, prediction: Prediction) -> Path:
    return storage.absolute(prediction.snapshot.path) / "weights.safetensors"


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers=KEPT)
