"""What a client may say about a topology, and what a check tells it; used by pages and API alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.preprocessing import Channels
from app.schemas.fields import found, one_line, refusal, whole
from app.topology.check import Report
from app.topology.errors import Issue

MAX_PROTOTXT = 1_000_000  # characters; ResNet-152's, spelt out, has 90,000
MAX_SIDE = 4096
MAX_CLASSES = 100_000
MAX_BATCH = 100_000

Name = Annotated[str, BeforeValidator(one_line(200)), Field(min_length=1, max_length=200)]
Side = Annotated[int, BeforeValidator(whole(1, MAX_SIDE)), Field(ge=1, le=MAX_SIDE)]
Classes = Annotated[int, BeforeValidator(whole(2, MAX_CLASSES)), Field(ge=2, le=MAX_CLASSES)]
Batch = Annotated[int, BeforeValidator(whole(1, MAX_BATCH)), Field(ge=1, le=MAX_BATCH)]


def line_ends(value: object) -> str:
    """Reads a text as it is, but for its line ends; what it means is `app/topology`'s."""
    if not isinstance(value, str):
        raise refusal(f"Expected text, found {found(value)}.")
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if "\x00" in text:
        raise refusal("Expected text, found a zero byte: is this a binary file?")
    if len(text) > MAX_PROTOTXT:
        raise refusal(f"Expected at most {MAX_PROTOTXT:,} characters, found {len(text):,}.")
    return text


def prototxt(value: object) -> str:
    text = line_ends(value)
    if not text.strip():
        raise refusal("Expected a prototxt, found nothing.")
    return text


Prototxt = Annotated[str, BeforeValidator(prototxt), Field(min_length=1, max_length=MAX_PROTOTXT)]


def channel_count(value: object) -> int:
    """1 or 3, also by name: "gray" or "color"."""
    if isinstance(value, str) and value in list(Channels):
        return Channels(value).number
    number = whole(1, 3)(value)
    if number == 2:
        raise refusal("Expected 1 (gray) or 3 (color) channels, found 2.")
    return number


def _optional(parse: Callable[[object], int]) -> Callable[[object], int | None]:
    return lambda value: None if value in (None, "") else parse(value)


class InputShape(BaseModel):
    """What a net is fed, and how many classes it tells apart."""

    model_config = ConfigDict(extra="forbid")

    channels: Annotated[int, BeforeValidator(channel_count)] = Field(default=3, description="1 or 3, or gray or color")
    height: Side = 256
    width: Side = 256
    classes: Classes = 10
    batch_size: Batch = 1

    @property
    def image_size(self) -> str:
        return f"{self.width} × {self.height} ({'gray' if self.channels == 1 else 'color'})"


class CheckRequest(InputShape):
    """An empty text is fine: what is wrong with it is the answer."""

    prototxt: Annotated[str, BeforeValidator(line_ends), Field(max_length=MAX_PROTOTXT)]


class NewTopology(BaseModel):
    """A custom topology, edited from another one or written from nothing; checked for the shape that is given."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    prototxt: Prototxt
    original: Annotated[str, Field(max_length=255, description="Id or name of what it was edited from")] = ""
    channels: Annotated[int | None, BeforeValidator(_optional(channel_count))] = None
    height: Annotated[int | None, BeforeValidator(_optional(whole(1, MAX_SIDE)))] = None
    width: Annotated[int | None, BeforeValidator(_optional(whole(1, MAX_SIDE)))] = None
    classes: Annotated[int | None, BeforeValidator(_optional(whole(2, MAX_CLASSES)))] = None

    @property
    def shape(self) -> InputShape:
        given = {"channels": self.channels, "height": self.height, "width": self.width, "classes": self.classes}
        return InputShape(**{name: value for name, value in given.items() if value is not None})

    @property
    def image_size(self) -> str:
        """Empty when no size was given."""
        return self.shape.image_size if None not in (self.channels, self.height, self.width) else ""


class IssueOut(BaseModel):
    line: int
    column: int
    message: str

    @classmethod
    def of(cls, issue: Issue) -> IssueOut:
        return cls(line=issue.line, column=issue.column, message=issue.message)


class LayerOut(BaseModel):
    name: str
    type: str
    shapes: list[list[int]] = Field(description="Shape of each top, batch first")
    parameters: int
    activations_bytes: int = Field(description="Of all tops at the batch size, as float32; 0 when it works in place")
    multiply_adds: int = Field(description="For one image")
    line: int
    phases: list[str] = Field(description="TRAIN, TEST or both")


class CheckReport(BaseModel):
    name: str
    layers: list[LayerOut]
    parameters: int = Field(description="Learnable, while training")
    deployed_parameters: int = Field(description="Learnable, in the net that predicts")
    activations_bytes: int
    multiply_adds: int = Field(description="For one image")
    errors: list[IssueOut]
    warnings: list[IssueOut]

    @classmethod
    def of(cls, report: Report) -> CheckReport:
        layers = [
            LayerOut(
                name=layer.name,
                type=layer.type,
                shapes=[list(shape) for shape in layer.shapes],
                parameters=layer.parameters,
                activations_bytes=layer.activations_bytes,
                multiply_adds=layer.multiply_adds,
                line=layer.line,
                phases=[phase.value for phase in layer.phases],
            )
            for layer in report.layers
        ]
        return cls(
            name=report.name,
            layers=layers,
            parameters=report.parameters,
            deployed_parameters=report.deployed_parameters,
            activations_bytes=report.activations_bytes,
            multiply_adds=report.multiply_adds,
            errors=[IssueOut.of(issue) for issue in report.errors],
            warnings=[IssueOut.of(issue) for issue in report.warnings],
        )


class TopologyOut(BaseModel):
    id: str = Field(description="The zoo's id, or the number of a custom topology")
    name: str
    is_custom: bool
    original: str
    image_size: str
    owner: str | None
    created_at: datetime | None = Field(description="Null for the zoo")


class TopologyDetail(TopologyOut):
    prototxt: str


class TopologyList(BaseModel):
    items: list[TopologyOut]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last")
