"""The first step of the dataset form as the tests send it, and what they read from the page that comes back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from app.db import Database, Dataset, Upload
from app.storage import Storage
from tests.app import built
from tests.app.dataset_form import FORM, datasets_in
from tests.conftest import Browser


def uploaded(database: Database, storage: Storage, path: Path) -> Upload:
    return built.upload_of(database, storage, path, name=path.stem)


def sent(client: Browser, upload: Any, *, files: dict[str, Any] | None = None, **changes: str) -> Any:
    where = str(upload.id) if isinstance(upload, Upload) else str(upload)
    form = {"csrf_token": client.csrf} | FORM | {"upload_id": where} | changes
    if files is None:
        return client.post("/datasets", data=form)
    # As browsers send it: every field a part, the token first.
    return client.post("/datasets", files=[*((name, (None, text)) for name, text in form.items()), *files.items()])


def chosen_in(html: str) -> dict[str, str]:
    """What the page's choices and radio buttons hold."""
    found = dict(re.findall(r'<input type="radio" name="(\w+)" value="([^"]*)" checked', html))
    for name, inside in re.findall(r'<select class="input" id="(\w+)"[^>]*>(.*?)</select>', html, flags=re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', inside)
        found[name] = chosen[1] if chosen else ""
    return found


def only_dataset(database: Database) -> Dataset:
    (dataset,) = datasets_in(database)
    return dataset


def per_class(dataset: Dataset) -> dict[str, list[int]]:
    return {split: counts["per_class"] for split, counts in dataset.splits.items()}
