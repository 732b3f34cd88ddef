"""What a form of a page sent. What it means is in `app/schemas`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile


async def typed(request: Request) -> dict[str, str]:
    """The fields as text; files are left out, and of several values the last is taken."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


Typed = Annotated[dict[str, str], Depends(typed)]


async def files(request: Request) -> dict[str, tuple[str, bytes]]:
    """The files that were chosen: field → (file name, content), read whole. For small ones."""
    return {
        name: (value.filename, await value.read())
        for name, value in (await request.form()).items()
        if isinstance(value, UploadFile) and value.filename
    }


Files = Annotated[dict[str, tuple[str, bytes]], Depends(files)]
