"""The list of sweeps and a sweep's page."""

from __future__ import annotations

import re

import pytest

from app.db import Database, Status, Sweep, User
from tests import factories
from tests.conftest import Browser


@pytest.fixture
def sweep(database: Database, admin: User) -> Sweep:
    """Two rates × two batch sizes: one done, one running, one queued, one failed."""
    sweep = factories.sweep(database, name="LeNet 比較", user_id=admin.id)
    found = [(0.1, 64, Status.DONE), (0.01, 64, Status.RUNNING), (0.1, 128, Status.QUEUED), (0.01, 128, Status.FAILED)]
    dataset_id = factories.dataset(database).id
    for rate, size, status in found:
        model = factories.model(
            database, name=f"lr {rate} bs {size}", sweep_id=sweep.id, base_lr=rate, batch_size=size, status=status,
            dataset_id=dataset_id, accuracy={"val": 0.97, "test": 0.96} if status == Status.DONE else {},
        )  # fmt: skip
        if status in (Status.DONE, Status.RUNNING):
            factories.metric(database, model, "val/accuracy", 0.9 if status == Status.RUNNING else 0.97, epoch=1)
    return sweep


def test_an_empty_list_says_how_a_sweep_is_made(client: Browser) -> None:
    assert "several learning rates or batch sizes" in client.get("/sweeps").text


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40])
def test_an_odd_address_of_the_list_still_opens(client: Browser, sweep: Sweep, after: str) -> None:
    assert "LeNet 比較" in client.get(f"/sweeps?after={after}").text


def test_the_list_counts_the_models_of_each(client: Browser, sweep: Sweep) -> None:
    row = client.get("/sweeps").text.partition("LeNet 比較</a>")[2].partition("</tr>")[0]
    assert re.findall(r'<td class="number">([^<]*)</td>', row) == ["4", "1", "1", "1", "–", "1"]


def test_the_heat_map_compares_rates_and_batch_sizes(client: Browser, sweep: Sweep) -> None:
    page = client.get(f"/sweeps/{sweep.id}").text
    heat = page.partition('class="table heat"')[2].partition("</table>")[0]
    cells = re.findall(r"<a href=\"/models/\d+\">([^<]+)</a>", heat)
    assert cells == ["90.00", "failed", "97.00", "queued"]
    assert re.findall(r'data-heat="(\d)"( data-best)?', heat) == [("0", ""), ("9", " data-best")]


def test_each_model_is_called_by_what_tells_it_from_the_others(client: Browser, sweep: Sweep) -> None:
    page = client.get(f"/sweeps/{sweep.id}").text
    names = re.findall(r'<a class="row-link"[^>]*>([^<]+)</a>', page)
    assert len(names) == len(set(names)) == 4
    assert all(re.fullmatch(r"learning rate [\d.]+, batch \d+", name) for name in names), names


def test_the_state_alone_ends_when_all_models_have(client: Browser, database: Database, sweep: Sweep) -> None:
    assert "X-Live" not in client.get(f"/sweeps/{sweep.id}/_state").headers
    client.send_form(f"/sweeps/{sweep.id}/stop")
    page = client.get(f"/sweeps/{sweep.id}/_state").text
    assert "4 models, 1 running, 1 done, 1 stopped, 1 failed. Best validation accuracy" in page
    assert "Stop all" in page


def test_the_live_part_of_an_ended_sweep_offers_nothing_to_stop(client: Browser, database: Database) -> None:
    sweep = factories.sweep(database)
    factories.model(database, sweep_id=sweep.id, status=Status.DONE)
    assert "Stop all" not in client.get(f"/sweeps/{sweep.id}/_state").text


def test_a_sweep_of_one_model_has_no_heat_map(client: Browser, database: Database) -> None:
    sweep = factories.sweep(database)
    factories.model(database, sweep_id=sweep.id)
    page = client.get(f"/sweeps/{sweep.id}")
    assert page.status_code == 200
    assert 'class="table heat"' not in page.text


def test_a_sweep_whose_models_know_nothing_yet_opens(client: Browser, database: Database) -> None:
    sweep = factories.sweep(database)
    for rate in (0.1, 0.01):
        factories.model(database, sweep_id=sweep.id, base_lr=rate, status=Status.QUEUED)
    page = client.get(f"/sweeps/{sweep.id}").text
    assert "No model has been validated yet." in page
    assert "data-heat=" not in page


def test_numbers_of_a_sweep_come_as_json_and_csv(client: Browser, sweep: Sweep) -> None:
    figures = client.get(f"/sweeps/{sweep.id}/chart.json").json()["figures"]
    assert len(figures["accuracy"]["data"]) == 2
    lines = client.get(f"/sweeps/{sweep.id}/metrics.csv").text.splitlines()
    assert lines[0] == "model,epoch,iteration,name,value"
    assert len(lines) == 3


@pytest.mark.parametrize("path", ["", "/_state", "/chart.json", "/metrics.csv"])
def test_a_sweep_that_does_not_exist_is_not_found(client: Browser, path: str) -> None:
    assert client.get(f"/sweeps/999{path}").status_code == 404
