"""What a client gets of the pictures of a dataset, and of one that is not made yet."""

from __future__ import annotations

from pydantic import BaseModel, Field

from app.preprocessing import ResizeMode


class ImageOut(BaseModel):
    """A stored picture; its file is at `…/images/{split}/{number}`."""

    number: int
    class_number: int = Field(description="Place in the dataset's `classes`")
    source: str = Field(description="Its path in the dataset's lists")
    width: int = Field(description="Of the original")
    height: int
    stored_bytes: int
    copy_number: int = Field(description="0 for the picture itself, else which altered copy it is")


class DrawnOut(BaseModel):
    url: str | None = Field(description="A data: address of a PNG or JPEG")
    problem: str | None = Field(description="Why there is nothing to show, as when the picture would be left out")


class PreviewedImage(BaseModel):
    path: str
    width: int
    height: int
    original: DrawnOut
    resized: dict[ResizeMode, DrawnOut] = Field(description="In every resize mode, at the dataset's size")
    copies: dict[str, DrawnOut] = Field(description="`stored`, then `1`, `2`, …: the very copies of this seed")


class DatasetPreview(BaseModel):
    width: int = Field(description="Of the drawings: those of the dataset, or smaller ones of the same shape")
    height: int
    items: list[PreviewedImage]


class ImageList(BaseModel):
    items: list[ImageOut]
    next: str | None
    total: int


class LeftOut(BaseModel):
    source: str
    reason: str


class LeftOutList(BaseModel):
    items: list[LeftOut]
    next: str | None
