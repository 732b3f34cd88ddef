"""Step 3 of the model form: how a stored image becomes the net's input, and how training images are varied."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, Field, field_validator, model_validator

from app.augmentation import MOST, Augmentation, Flip, QuadRotation
from app.preprocessing import MeanMode, Preprocessing
from app.schemas.fields import decimal, whole
from app.schemas.typed import named, optional, typed


def _up_to(name: str) -> object:
    return optional(decimal(0, MOST[name]), otherwise=0.0)


class TransformationFields(BaseModel):
    """The same for every run of a sweep. What varies the images has an effect in training only; 0 is off."""

    crop_size: Annotated[int | None, optional(whole(1, 4096))] = Field(
        None, description="Side of a square: random in training, central otherwise"
    )
    mean: MeanMode = MeanMode.NONE
    scale: Annotated[float, typed(decimal(1e-9, 1e6))] = 1 / 256
    mirror: bool = Field(False, description="The same as `flip` from left to right")
    flip: Annotated[Flip, named(Flip)] = Field(Flip.NONE, description="Each side at random, independently")
    quad_rotation: Annotated[QuadRotation, named(QuadRotation)] = Field(
        QuadRotation.NONE, description="A turn by one of rot90 {0, 90, 270}, rot180 {0, 180}, rotall {0, 90, 180, 270}°"
    )
    rotation_degrees: Annotated[float, _up_to("rotation_degrees")] = Field(0.0, description="To either side; to 180")
    zoom: Annotated[float, _up_to("zoom")] = Field(0.0, description="σ of the zoom around 1; to 1, try 0.07")
    shift: Annotated[float, _up_to("shift")] = Field(0.0, description="Of the side, each way; to 0.5, try 0.1")
    hue: Annotated[float, _up_to("hue")] = Field(0.0, description="σ, of a whole turn; to 0.5, try 0.02")
    saturation: Annotated[float, _up_to("saturation")] = Field(0.0, description="σ; to 0.5, try 0.04")
    brightness: Annotated[float, _up_to("brightness")] = Field(0.0, description="σ; to 0.5, try 0.06")
    contrast: Annotated[float, _up_to("contrast")] = Field(0.0, description="A factor of 1 ± this; to 5, try 0.8")
    noise: Annotated[float, _up_to("noise")] = Field(0.0, description="σ, 1 is black to white; to 1, try 0.03")
    cutout: Annotated[float, _up_to("cutout")] = Field(
        0.0, description="Side of an empty square, of the shorter side; to 1, try 0.25"
    )

    @field_validator("mirror", mode="before")
    @classmethod
    def _ticked(cls, value: object) -> object:
        return {"": False, "on": True}.get(value, value) if isinstance(value, str) else value

    @field_validator("flip", "quad_rotation", mode="before")
    @classmethod
    def _nothing_chosen(cls, value: object) -> object:
        return "none" if value in ("", None) else value

    @model_validator(mode="after")
    def _one_word_for_mirror(self) -> TransformationFields:
        self.flip = self.flip.with_mirror(self.mirror)
        self.mirror = self.flip.is_left_right
        return self

    def preprocessing(self, own: Preprocessing) -> Preprocessing:
        """The dataset's part completed by the form's; mean values are filled when the dataset has them."""
        return replace(own, mean=self.mean, scale=self.scale, crop_size=self.crop_size, mirror=self.mirror)

    def augmentation(self) -> Augmentation:
        """What the preprocessing does not do: mirroring is its own, drawn with the crop."""
        values = self.model_dump(include=set(Augmentation.names()), mode="json")
        return Augmentation.from_dict(values | {"flip": self.flip.without_mirror})

    def transformation_problems(self, width: int, height: int) -> dict[str, str]:
        """What does not fit images of this size, by field."""
        problems = {}
        size = f"this dataset's images ({width} × {height})"
        if self.crop_size is not None and self.crop_size > min(width, height):
            problems["crop_size"] = (
                f"Expected at most {min(width, height)}, the shorter side of {size}, found {self.crop_size}."
            )
        if self.quad_rotation.changes_shape and width != height:
            problems["quad_rotation"] = f"Turns by 90° need square images, found {size}. Expected rot180 or none."
        return problems
