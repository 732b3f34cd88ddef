from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db import Database, PretrainedNet
from app.settings import Settings
from app.storage import Storage
from tests.app.pretrained_nets import arrays, do_import, form
from tests.worker.pretrained.caffemodels import new_caffemodel

WEIGHTS = new_caffemodel(arrays())


@pytest.fixture
def made(api: TestClient, database: Database, settings: Settings, storage: Storage) -> Callable[..., PretrainedNet]:
    """A pretrained net, imported."""

    def make(**fields: Any) -> PretrainedNet:
        answer = api.post("/api/v1/pretrained", **form(WEIGHTS, **fields))
        assert answer.status_code == 201, answer.text
        return do_import(database, settings, storage, answer.json()["id"])

    return make
