"""What a client may say about a pretrained net, and what it gets back; used by pages and API alike."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from app.db import PretrainedNet
from app.preprocessing import Channels, ResizeMode
from app.schemas.fields import decimal, found, lines, one_line, refusal, whole
from app.schemas.lists import any_number
from app.schemas.models import MAX_PROTOTXT
from app.schemas.typed import named, optional

MOST_LABELS = 100_000
MOST_LABEL_TEXT = 4_000_000
LARGEST_SIDE = 4096

Name = Annotated[str, BeforeValidator(one_line(200)), Field(min_length=1, max_length=200)]
Notes = Annotated[str, BeforeValidator(lines(10_000)), Field(max_length=10_000)]
Side = Annotated[int | None, optional(whole(1, LARGEST_SIDE))]


class ChannelOrder(StrEnum):
    BGR = "bgr"
    RGB = "rgb"


class MatchBy(StrEnum):
    NAME = "name"
    ORDER = "order"


def _label_lines(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(one).strip() for one in value]
    text = lines(MOST_LABEL_TEXT)("" if value is None else value)
    return [line.strip() for line in text.split("\n")] if text else []


class NewPretrained(BaseModel):
    """The fields beside the files. What is left out is taken from the prototxt."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    notes: Notes = ""
    prototxt: str = Field(description="The net's own text: deploy.prototxt or train_val.prototxt")
    labels: Annotated[list[str], BeforeValidator(_label_lines)] = Field([], description="One line for each output")
    channels: Annotated[Channels | None, optional(lambda value: Channels(str(value).lower()))] = None
    channel_order: Annotated[ChannelOrder, named(ChannelOrder)] = Field(
        ChannelOrder.BGR, description="What it was trained on; a net for rgb is turned round on import"
    )
    width: Side = Field(None, description="Images are resized to this, before the crop")
    height: Side = None
    crop_size: Side = Field(None, description="Side of the square that the net is fed, from the centre")
    resize_mode: Annotated[ResizeMode, named(ResizeMode)] = ResizeMode.SQUASH
    mean_values: Annotated[list[float], BeforeValidator(any_number(decimal(-1e4, 1e4)))] = Field(
        [], description="Per channel, in 0–255 and in the order of `channel_order`"
    )
    std_values: Annotated[list[float], BeforeValidator(any_number(decimal(1e-3, 1e4)))] = Field(
        [],
        description="Standard deviation per channel, to be divided by: like `mean_values`, in place of `scale`",
    )
    match: Annotated[MatchBy, named(MatchBy)] = Field(
        MatchBy.NAME, description="order: weights of the same net under other names, from a .safetensors of PyTorch"
    )
    scale: Annotated[float | None, optional(decimal(1e-9, 1e6))] = Field(
        None, description="After the mean is taken off"
    )

    @field_validator("prototxt")
    @classmethod
    def _given(cls, value: str) -> str:
        if not value.strip():
            raise refusal("Choose a .prototxt, or paste it: the weights alone do not say what the net computes.")
        if len(value) > MAX_PROTOTXT:
            raise refusal(f"Expected at most {MAX_PROTOTXT:,} characters, found {len(value):,}.")
        return value.replace("\r\n", "\n").replace("\x00", "")

    @field_validator("labels")
    @classmethod
    def _not_too_many(cls, value: list[str]) -> list[str]:
        if len(value) > MOST_LABELS:
            raise refusal(f"Expected at most {MOST_LABELS:,} labels, found {len(value):,}.")
        return value

    @field_validator("channels", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        if value not in (None, "") and str(value).lower() not in list(Channels):
            raise refusal(f"Expected gray or color, found {found(value)}.")
        return value


class FromSnapshot(BaseModel):
    """A snapshot of a model, to be kept in the library."""

    model_config = ConfigDict(extra="forbid")

    model_id: Annotated[int, BeforeValidator(whole(1, 2**63 - 1))]
    snapshot: str = Field("last", max_length=20, description="last, best or an epoch")
    name: Annotated[str | None, optional(one_line(200))] = Field(None, description="Left out: the model's")


class PretrainedChanges(BaseModel):
    """What may change once a pretrained net is there."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    notes: Notes | None = None

    @model_validator(mode="after")
    def _says_something(self) -> PretrainedChanges:
        if self.name is None and self.notes is None:
            raise refusal("Expected name or notes, found neither.")
        return self


class PretrainedOut(BaseModel):
    id: int
    name: str
    notes: str
    status: str
    error: str | None
    source: str = Field(description="caffemodel, safetensors or snapshot")
    origin: str = Field(description="The name of the file, or the model and its epoch")
    topology: str
    classes: int
    parameters: int | None = Field(description="Numbers in the file of weights; null until it is imported")
    size_bytes: int | None
    sha256: str | None
    is_complete: bool = Field(description="Whether a picture can be tested on it")
    owner: str | None
    created_at: datetime

    @classmethod
    def fields_of(cls, net: PretrainedNet, classes: int) -> dict[str, Any]:
        return {
            "id": net.id,
            "name": net.name,
            "notes": net.notes,
            "status": str(net.status),
            "error": net.job.error,
            "source": str(net.source),
            "origin": net.origin_title,
            "topology": net.topology_name,
            "classes": classes,
            "parameters": net.parameters,
            "size_bytes": net.size_bytes,
            "sha256": net.sha256,
            "is_complete": net.is_complete,
            "owner": net.user.username if net.user else None,
            "created_at": net.created_at,
        }

    @classmethod
    def of(cls, net: PretrainedNet, classes: int) -> PretrainedOut:
        return cls(**cls.fields_of(net, classes))


class PretrainedDetail(PretrainedOut):
    """One with everything that is known of it."""

    labels: list[str]
    preprocessing: dict[str, Any]
    layers: list[dict[str, Any]] = Field(
        description="Layers with weights: names, shapes, and `sent_as` where the file calls one otherwise"
    )
    remarks: list[str]
    prototxt: str
    used_by: int = Field(description="How many models started from it")

    @classmethod
    def of_one(cls, net: PretrainedNet, used_by: int) -> PretrainedDetail:
        return cls(
            **cls.fields_of(net, net.class_count),
            labels=net.labels,
            preprocessing=net.preprocessing,
            layers=net.layers,
            remarks=net.remarks,
            prototxt=net.prototxt,
            used_by=used_by,
        )


class PretrainedList(BaseModel):
    items: list[PretrainedOut]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last")
