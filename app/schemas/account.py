"""What people send to sign in, to set up, and to change their account; and tokens as the API gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from app.schemas.fields import one_line

Label = Annotated[str, BeforeValidator(one_line(200))]


class Credentials(BaseModel):
    username: str
    password: str
    label: Label = "API"


class NewToken(BaseModel):
    """The token itself is shown this once."""

    id: int
    label: str
    token: str


class TokenDetails(BaseModel):
    id: int
    label: str
    created_at: datetime
    last_used_at: datetime | None


class TokenPage(BaseModel):
    items: list[TokenDetails]
    next: int | None


class TokenLabel(BaseModel):
    label: Label
