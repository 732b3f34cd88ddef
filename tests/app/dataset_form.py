"""The dataset form as the tests send it, and what they read from the page that comes back."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select

from app.db import Database, Dataset, Upload
from tests.conftest import Browser

FORM = {
    "name": "pets small",
    "description": "",
    "kind": "folders",
    "within": "",
    "more_1_within": "",
    "val_within": "",
    "test_within": "",
    "list_within": "",
    "list_val_within": "",
    "list_test_within": "",
    "train_percent": "70",
    "val_percent": "10",
    "test_percent": "20",
    "channels": "color",
    "width": "12",
    "height": "10",
    "resize_mode": "squash",
    "fill": "noise",
    "fill_color": "#000000",
    "encoding": "png",
    "jpeg_quality": "90",
    "seed": "1",
    "min_per_class": "1",
    "max_per_class": "",
    "copies": "0",
    "rotation": "0",
    "shift_x": "0",
    "shift_y": "0",
    "zoom_out": "100",
    "zoom_in": "100",
    "submission": "once",
}


def errors_in(html: str) -> dict[str, str]:
    """Field → message, as the page shows them beside the fields."""
    return dict(re.findall(r'<p class="error" id="(\w+)-error">([^<]+)</p>', html))


def values_in(html: str) -> dict[str, str]:
    """What the page's text fields hold."""
    return dict(re.findall(r'<input class="input" id="(\w+)"[^>]*? value="([^"]*)"', html))


def datasets_in(database: Database) -> list[Dataset]:
    with database.read() as session:
        return list(session.scalars(select(Dataset).order_by(Dataset.id)))


def sent(client: Browser, upload: Upload, **changes: Any) -> Any:
    return client.send_form("/datasets", **(FORM | {"upload_id": str(upload.id)} | changes))
