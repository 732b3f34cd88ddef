"""What a client may say about the weights that a model starts from."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, field_validator

from app.schemas.fields import found, refusal

START = re.compile(r"(model|pretrained):[1-9][0-9]{0,17}")


class StartFields(BaseModel):
    """The part of the model form that chooses a start; a form's select holds the same words as the API."""

    start_from: str = Field("", max_length=40, description="model:ID or pretrained:ID to fine-tune; empty: new weights")
    start_snapshot: str = Field("last", max_length=20, description="Of a model to start from: last, best or an epoch")

    freeze_loaded: bool = Field(
        False, description="Train only what is new: layers whose weights were all loaded keep them"
    )

    @field_validator("freeze_loaded", mode="before")
    @classmethod
    def _ticked(cls, value: object) -> object:
        return {"": False, "on": True}.get(value, value) if isinstance(value, str) else value

    @field_validator("start_from")
    @classmethod
    def _a_known_kind(cls, value: str) -> str:
        value = value.strip()
        if value and START.fullmatch(value) is None:
            raise refusal(f"Expected model:ID, pretrained:ID or nothing, found {found(value)}.")
        return value
