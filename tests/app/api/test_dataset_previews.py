"""Previews for scripts: those of the wizard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.db import Database, Upload
from app.storage import Storage
from tests.app import built
from tests.conftest import Browser
from tests.worker.datasets.pictures import file_of, gradient, zip_of

PATH = "/api/v1/datasets/preview"
ALTERED = {"copies": 2, "rotation": 20, "mirror": True}


@pytest.fixture
def upload(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    files = {f"{name}/{n}.png": file_of(gradient(40 + n, 30)) for name in ("a", "b") for n in range(3)}
    return built.upload_of(database, storage, zip_of(tmp_path / "pets.zip", files), sha256=str(tmp_path))


def test_a_script_sees_what_the_wizard_shows(api: TestClient, client: Browser, upload: Upload) -> None:
    given = {"upload_id": upload.id, "channels": "color", "width": 24, "height": 20, "seed": 3, "resize_mode": "fill"}
    seen = api.post(PATH, json=given | {"name": "pets", "augmentation": ALTERED}).json()
    assert (seen["width"], seen["height"], len(seen["items"])) == (24, 20, 5)
    resized, copies = (
        re.findall(r'src="(data:[^"]+)"', client.get(f"/datasets/new/{name}", params=given | more).text)
        for name, more in (("_resized", {}), ("_copies", ALTERED | {"mirror": "true"}))
    )
    drawn = [one["url"] for item in seen["items"] for one in (item["original"], *item["resized"].values())]
    assert sorted(filter(None, drawn)) == sorted(resized)
    assert [one["url"] for item in seen["items"] for one in item["copies"].values()] == copies
    assert seen["items"][0]["resized"]["none"]["problem"].startswith("left out: 4")


def test_size_and_channels_that_are_left_out_are_guessed(api: TestClient, upload: Upload) -> None:
    seen = api.post(PATH, json={"name": "pets", "upload_id": upload.id}).json()
    assert (seen["width"], seen["height"]) == (256, 256)
    assert seen["items"][0]["copies"] == {}


@pytest.mark.parametrize("changes", [{"upload_id": 999}, {"upload_id": None, "folder": "/etc"}, {"width": 0}])
def test_what_cannot_be_previewed_is_refused(api: TestClient, upload: Upload, changes: dict[str, object]) -> None:
    answer = api.post(PATH, json={"name": "pets", "upload_id": upload.id} | changes)
    assert answer.status_code == 422
    assert list(changes)[-1] in answer.json()["error"]["fields"]
