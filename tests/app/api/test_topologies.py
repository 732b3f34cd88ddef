"""Topologies as a script meets them."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database
from app.topology.zoo import zoo_entry
from tests import factories

PATH = "/api/v1/topologies"
LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]
SHAPE = {"channels": 1, "height": 28, "width": 28, "classes": 10}


def test_the_list_holds_the_zoo_and_custom_topologies(api: TestClient, database: Database) -> None:
    mine = factories.topology(database, name="mine", image_size="28 × 28 (gray)")
    items = api.get(PATH).json()["items"]
    lenet = next(item for item in items if item["id"] == "lenet")
    assert (lenet["name"], lenet["image_size"], lenet["is_custom"]) == ("LeNet", "28 × 28 (gray)", False)
    custom = next(item for item in items if item["is_custom"])
    assert (custom["id"], custom["name"], custom["original"]) == (str(mine.id), "mine", "lenet")
    assert custom["created_at"]


def test_one_is_found_by_id_number_or_name(api: TestClient, database: Database) -> None:
    mine = factories.topology(database, name="私の網")
    assert api.get(f"{PATH}/lenet").json()["prototxt"] == LENET
    assert api.get(f"{PATH}/{mine.id}").json()["name"] == "私の網"
    assert api.get(f"{PATH}/私の網").json()["id"] == str(mine.id)
    assert api.get(f"{PATH}/nope").status_code == 404


def test_a_topology_is_saved_with_what_it_was_made_of(api: TestClient) -> None:
    answer = api.post(PATH, json={"name": "LeNet 二", "prototxt": LENET, "original": "lenet"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["original"], made["image_size"]) == ("LeNet 二", "LeNet", "28 × 28 (gray)")
    assert made["prototxt"] == LENET
    shaped = api.post(PATH, json={"name": "wide", "prototxt": LENET, "channels": "color", "width": 64, "height": 32})
    assert shaped.json()["image_size"] == "64 × 32 (color)"


@pytest.mark.parametrize("name", ["taken", "lenet", "LeNet", "LENET"])
def test_a_name_that_is_taken_is_refused(api: TestClient, database: Database, name: str) -> None:
    factories.topology(database, name="taken")
    answer = api.post(PATH, json={"name": name, "prototxt": LENET})
    assert answer.status_code == 409
    assert "Choose another name" in answer.json()["error"]["fields"]["name"]


@pytest.mark.parametrize(("text", "message"), [
    ("", "found nothing"),
    ("layer {", "Line 1, column 7"),
    (LENET.replace("Convolution", "Convolutoin"), 'unknown layer type "Convolutoin"'),
    (LENET.replace('bottom: "pool1"', 'bottom: "pool9"'), "pool9"),
    (LENET.replace("kernel_size: 5", "kernel_size: 500", 1), "500"),
    ("a\x00b", "zero byte"),
    ("x" * 1_000_001, "at most 1,000,000 characters"),
])  # fmt: skip
def test_a_faulty_prototxt_is_refused_with_its_place(api: TestClient, text: str, message: str) -> None:
    answer = api.post(PATH, json={"name": "faulty", "prototxt": text})
    assert answer.status_code == 422
    assert message in answer.json()["error"]["fields"]["prototxt"]


@pytest.mark.parametrize(("name", "message"), [
    ("", "found nothing"),
    ("x" * 201, "at most 200"),
    ("12", "digits alone"),
    ("a\nb", "control character"),
])  # fmt: skip
def test_a_name_that_cannot_be_one_is_refused(api: TestClient, name: str, message: str) -> None:
    answer = api.post(PATH, json={"name": name, "prototxt": LENET})
    assert answer.status_code == 422
    assert message in answer.json()["error"]["fields"]["name"]


def test_a_check_tells_layers_shapes_and_parameters(api: TestClient) -> None:
    report = api.post(f"{PATH}/check", json={"prototxt": LENET} | SHAPE).json()
    assert (report["errors"], report["parameters"]) == ([], 431_080)
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert layers["conv1"]["shapes"] == [[1, 20, 24, 24]]
    assert (layers["conv1"]["type"], layers["conv1"]["parameters"]) == ("Convolution", 520)
    assert layers["accuracy"]["phases"] == ["TEST"]
    assert report["activations_bytes"] == sum(layer["activations_bytes"] for layer in report["layers"])


@pytest.mark.parametrize("text", ["", "layer {", "\x01", "{" * 10_000, "layer { name: 5 }", "名前: '網'", LENET[:300]])
def test_a_check_of_nonsense_answers_with_errors_and_their_lines(api: TestClient, text: str) -> None:
    answer = api.post(f"{PATH}/check", json={"prototxt": text} | SHAPE)
    assert answer.status_code == 200
    errors = answer.json()["errors"]
    assert errors
    assert all(error["line"] >= 1 and error["column"] >= 1 and error["message"] for error in errors)


@pytest.mark.parametrize(("field", "value"), [
    ("channels", 2),
    ("channels", 0),
    ("width", 0),
    ("height", 10_000_000),
    ("classes", 1),
    ("batch_size", -1),
])  # fmt: skip
def test_a_check_for_an_input_that_cannot_be_is_refused(api: TestClient, field: str, value: int) -> None:
    answer = api.post(f"{PATH}/check", json={"prototxt": LENET} | SHAPE | {field: value})
    assert answer.status_code == 422
    assert field in answer.json()["error"]["fields"]


def test_only_its_owner_or_an_administrator_deletes_a_topology(
    app: FastAPI, database: Database, api: TestClient
) -> None:
    owner, other = factories.user(database), factories.user(database)
    topology = factories.topology(database, user_id=owner.id)
    with TestClient(app, base_url="http://localhost") as script:
        script.headers["Authorization"] = f"Bearer {factories.api_token(database, other)}"
        assert script.delete(f"{PATH}/{topology.id}").status_code == 403
    assert api.delete(f"{PATH}/{topology.id}").status_code == 204
    assert api.get(f"{PATH}/{topology.id}").status_code == 404


def test_the_zoo_is_not_deleted(api: TestClient) -> None:
    assert api.delete(f"{PATH}/lenet").status_code == 404
    assert api.get(f"{PATH}/lenet").status_code == 200


def test_the_list_of_custom_topologies_is_paged(api: TestClient, database: Database) -> None:
    ids = [str(factories.topology(database, name=f"net {number}").id) for number in range(5)]
    first = api.get(f"{PATH}?limit=3&q=net ").json()
    second = api.get(f"{PATH}?limit=3&q=net &after={first['next']}").json()
    assert [item["id"] for item in first["items"] + second["items"] if item["is_custom"]] == ids[::-1]
