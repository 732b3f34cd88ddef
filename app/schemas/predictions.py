"""What a client may say about a prediction, and what it gets back; used by pages and API alike."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.db import Prediction, Status
from app.schemas.fields import refusal

TRUE, FALSE = frozenset({"true", "on", "1", "yes"}), frozenset({"", "false", "off", "0", "no"})


def _yes_or_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold()
    if word not in TRUE | FALSE:
        raise refusal(f"Expected true or false, found “{word[:40]}”.")
    return word in TRUE


def _snapshot(value: object) -> str:
    return str(value).strip()[:40] or "last"


class NewPrediction(BaseModel):
    """What is asked of a model besides the picture itself."""

    model_config = ConfigDict(extra="ignore")

    snapshot: Annotated[str, BeforeValidator(_snapshot)] = "last"
    layers: Annotated[bool, BeforeValidator(_yes_or_no)] = True


class LabelProbability(BaseModel):
    label: str
    probability: float


class Histogram(BaseModel):
    counts: list[float]
    edges: list[float]


class LayerOut(BaseModel):
    name: str
    type: str
    shape: list[int] = Field(description="Of the layer's output for this one picture")
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    histogram: Histogram | None
    activation: str = Field(description="Address of the output itself, float16, in NumPy's format")


class PredictionOut(BaseModel):
    id: int
    model_id: int | None = Field(description="null for a test of a pretrained net")
    pretrained_id: int | None = Field(description="null for a test of a model")
    status: Status
    error: str | None
    filename: str
    snapshot: str = Field(description="Epoch of the weights; empty for a pretrained net")
    top: list[LabelProbability] = Field(description="The most probable classes, the best first; empty until it is done")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def facts(cls, prediction: Prediction) -> dict[str, Any]:
        return {
            "id": prediction.id,
            "model_id": prediction.model_id,
            "pretrained_id": prediction.pretrained_id,
            "status": prediction.status,
            "error": prediction.job.error,
            "filename": prediction.filename,
            "snapshot": prediction.epoch_label,
            "top": prediction.top,
            "created_at": prediction.created_at,
            "finished_at": prediction.job.finished_at,
        }

    @classmethod
    def of(cls, prediction: Prediction) -> PredictionOut:
        return cls(**cls.facts(prediction))


class PredictionDetail(PredictionOut):
    has_activations: bool = Field(description="Whether the layers' outputs are kept: they are deleted after some days")
    layers: list[LayerOut] = Field(description="Every layer in the order of the net; empty if not asked for")

    @classmethod
    def of_one(cls, prediction: Prediction) -> PredictionDetail:
        base = f"/api/v1{prediction.address}/activations"
        layers = [
            LayerOut(**{**layer, "activation": f"{base}/{number}.npy"})
            for number, layer in enumerate(prediction.layers)
        ]
        return cls(**cls.facts(prediction), has_activations=prediction.has_arrays, layers=layers)


class PredictionList(BaseModel):
    items: list[PredictionOut]
    next: str | None = Field(description="For `after`; null on the last page")
