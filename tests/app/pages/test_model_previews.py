"""What the form that launches models shows while it is filled: layers of the topology, and learning rates."""

from __future__ import annotations

import pytest

from app.db import Database, Dataset
from tests import factories
from tests.app.pages.test_model_wizard import RESULT
from tests.conftest import Browser


@pytest.fixture
def dataset(database: Database) -> Dataset:
    return factories.dataset(database, result=RESULT)


def test_the_layers_of_the_chosen_topology_are_shown_for_this_dataset(client: Browser, dataset: Dataset) -> None:
    page = client.get("/models/new").text
    assert "64 × 20 × 24 × 24" in page
    assert "427,072" in page


def test_the_preview_follows_dataset_topology_crop_and_batch(client: Browser, dataset: Dataset) -> None:
    sent = {"csrf_token": client.csrf, "dataset_id": dataset.id, "topology": "lenet", "crop_size": "24",
            "batch_size": "8, 16"}  # fmt: skip
    fragment = client.post("/models/new/_topology", data=sent)
    assert fragment.status_code == 200
    assert "8 × 20 × 20 × 20" in fragment.text
    broken = client.post("/models/new/_topology", data=sent | {"prototxt": "layer {"})
    assert broken.status_code == 200
    assert 'data-kind="error"' in broken.text


@pytest.mark.parametrize("values", [{}, {"dataset_id": "x"}, {"dataset_id": "9" * 30}, {"topology": "nothing"}])
def test_a_preview_of_too_little_asks_for_more(client: Browser, dataset: Dataset, values: dict[str, str]) -> None:
    answer = client.post("/models/new/_topology", data={"csrf_token": client.csrf, **values})
    assert (answer.status_code, "Choose a dataset and a topology" in answer.text) == (200, True)


def test_the_schedule_says_how_many_models_and_where_their_rates_go(client: Browser, dataset: Dataset) -> None:
    query = {"dataset_id": dataset.id, "base_lr": "0.1, 0.01", "batch_size": "64", "epochs": "2"}
    page = client.get("/models/new/_schedule", params=query).text
    assert "2 learning rates × 1 batch size = 2 models" in page
    assert "0.1: from 0.1 to" in page
    assert "220 iterations, 110 an epoch" in page
    figure = client.get("/models/new/schedule.json", params=query).json()["figures"]["schedule"]
    assert [trace["name"] for trace in figure["data"]] == ["0.1", "0.01"]
    assert figure["data"][0]["y"][0] == 0.1


def test_a_schedule_of_what_does_not_fit_says_what_and_draws_nothing(client: Browser, dataset: Dataset) -> None:
    query = {"dataset_id": dataset.id, "base_lr": "x"}
    assert "base lr: Expected a number" in client.get("/models/new/_schedule", params=query).text
    assert client.get("/models/new/schedule.json", params=query).json()["figures"] == {}
