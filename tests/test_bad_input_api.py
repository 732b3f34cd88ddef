"""What people get wrong, sent to a real server: each gets its message at its place, and the server goes on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.server import QUICK, Api, Server, serving, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("bad") / "home", TRAINYARD_THREADS="1", **QUICK) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: Server) -> Api:
    return server.client()


@pytest.fixture(autouse=True)
def _the_server_goes_on(server: Server) -> Iterator[None]:
    (web,) = server.living("app.serving", "web")
    yield
    assert server.answers()
    assert [process.pid for process in server.living("app.serving", "web")] == [web.pid], (
        "the web process was restarted"
    )


def refused(answer: httpx.Response, status: int, field: str = "") -> str:
    """The message of a refusal, at the field if one is named; its shape is the same everywhere."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    error = answer.json()["error"]
    assert set(error) >= {"code", "message", "fields"}
    assert error["message"]
    if not field:
        return str(error["message"])
    assert field in error["fields"], error
    return str(error["fields"][field])


def picture(seed: int = 0, kind: str = "PNG", size: int = 28) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def archive(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return file.getvalue()


def two_classes(count: int = 20, more: dict[str, bytes] | None = None) -> bytes:
    entries = {f"{name}/{n}.png": picture(n + 100 * (name == "dog")) for name in ("cat", "dog") for n in range(count)}
    return archive(entries | (more or {}))


def send(api: Api, content: bytes, filename: str = "a.zip") -> httpx.Response:
    return api.post("uploads", files={"file": (filename, content)}, data={"name": "bad"})


def upload(api: Api, content: bytes) -> int:
    answer = send(api, content)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def dataset_form(upload_id: int, **options: Any) -> dict[str, Any]:
    return {"name": "d", "upload_id": upload_id, "train_percent": 70, "val_percent": 10, "test_percent": 20,
            "channels": "gray", "width": 28, "height": 28, "resize_mode": "squash", "encoding": "png",
            "seed": 1} | options  # fmt: skip


# -- archives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is no archive", "archive"),
        (b"PK\x03\x04" + b"\0" * 100, "incomplete"),
        (b"", "empty"),
        (archive({}), "empty"),
        (archive({"readme.txt": b"hello"}), "no pictures"),
        (archive({"../cat/1.png": picture(), "dog/1.png": picture()}), ".."),
        (archive({"/etc/1.png": picture(), "dog/1.png": picture()}), "/etc"),
    ],
    ids=["not an archive", "damaged", "no bytes", "no entries", "no images", "path escape", "absolute"],
)
def test_an_archive_that_no_dataset_can_be_made_of_is_refused_with_the_reason(
    api: Api, content: bytes, words: str
) -> None:
    assert words in refused(send(api, content), 422, "file").lower()


def test_one_class_is_warned_about_when_it_is_sent_and_refused_as_a_dataset(api: Api) -> None:
    sent = send(api, archive({f"cat/{n}.png": picture(n) for n in range(20)}))
    assert sent.status_code == 201
    message = refused(api.post("datasets", json=dataset_form(sent.json()["id"])), 422, "upload_id")
    assert "two classes" in message
    assert "cat" in message


def test_a_class_with_one_image_is_taken_or_named(api: Api) -> None:
    """It cannot be in three splits: whoever looks at the dataset must be told."""
    answer = send(api, two_classes(10, {"fox/1.png": picture(7)}))
    if answer.status_code == 422:
        assert "fox" in refused(answer, 422, "file")
        return
    made = api.post("datasets", json=dataset_form(answer.json()["id"]))
    if made.status_code == 422:
        assert "fox" in refused(made, 422, "upload_id")
        return
    dataset = api.ended(f"datasets/{made.json()['id']}")
    counts = [dataset["splits"][split]["per_class"][dataset["classes"].index("fox")] for split in dataset["splits"]]
    assert sum(counts) == 1


def test_broken_images_are_skipped_counted_and_listed_and_stop_nothing(api: Api, server: Server) -> None:
    broken = {
        "cat/empty.png": b"",
        "cat/cut.png": picture()[:100],
        "dog/page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
    }
    upload_id = upload(api, two_classes(20, broken))
    dataset = api.ended(f"datasets/{api.made('datasets', json=dataset_form(upload_id))['id']}")
    assert dataset["skipped_count"] == 3
    assert sum(split["count"] for split in dataset["splits"].values()) == 40
    listed = (server.home / "datasets" / str(dataset["id"]) / "skipped.csv").read_text()
    for name in ("empty.png", "cut.png", "page.jpg"):
        assert name in listed


# -- the dataset form ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upload_id(api: Api) -> int:
    return upload(api, two_classes(40))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"train_percent": 70, "val_percent": 20, "test_percent": 20}, "train_percent"),
        ({"train_percent": 50, "val_percent": 10, "test_percent": 20}, "train_percent"),
        ({"train_percent": -10, "val_percent": 90, "test_percent": 20}, "train_percent"),
        ({"width": 0}, "width"),
        ({"width": -5}, "width"),
        ({"height": 10_000_000}, "height"),
        ({"width": "wide"}, "width"),
        ({"name": ""}, "name"),
        ({"name": "x" * 10_000}, "name"),
        ({"channels": "infrared"}, "channels"),
        ({"resize_mode": "stretchy"}, "resize_mode"),
        ({"upload_id": 999_999}, "upload_id"),
        ({"upload_id": 10**30}, "upload_id"),
    ],
)
def test_a_dataset_form_is_refused_at_its_field(api: Api, upload_id: int, options: dict[str, Any], field: str) -> None:
    answer = api.post("datasets", json=dataset_form(upload_id) | options)
    fields = {"train_percent", "val_percent", "test_percent"}
    if field in fields and answer.status_code == 422:
        field = next(iter(fields & set(answer.json()["error"]["fields"])), field)
    assert refused(answer, 422, field)


def test_a_dataset_form_sent_twice_makes_one_dataset(api: Api, upload_id: int) -> None:
    form = dataset_form(upload_id, submission="mark-1")
    first, second = api.post("datasets", json=form), api.post("datasets", json=form)
    assert first.json()["id"] == second.json()["id"]


# -- the model form -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset_id(api: Api, upload_id: int) -> int:
    return int(api.ended(f"datasets/{api.made('datasets', json=dataset_form(upload_id))['id']}")["id"])


DATA = 'layer { name: "data" type: "Data" top: "data" top: "label" data_param { batch_size: 8 } }\n'
HEAD = """layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.mark.parametrize(
    ("prototxt", "line", "words"),
    [
        (DATA + 'layer { name: "ip" type: \n' + HEAD, 3, ""),
        (DATA + 'layer { name: "x" type: "Teleport" bottom: "data" top: "x" }\n' + HEAD, 2, "Teleport"),
        (DATA + HEAD.replace('bottom: "data"', 'bottom: "nothing"'), 2, "nothing"),
        (
            DATA + 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
            "convolution_param { num_output: 2 kernel_size: 99 } }\n" + HEAD,
            2,
            "99",
        ),
    ],
    ids=["syntax error", "unknown layer type", "a blob that nobody makes", "a kernel larger than its input"],
)
def test_a_faulty_prototxt_is_refused_with_line_and_column(
    api: Api, dataset_id: int, prototxt: str, line: int, words: str
) -> None:
    report = api.post(
        "topologies/check", json={"prototxt": prototxt, "channels": 1, "height": 28, "width": 28, "classes": 2}
    )
    assert report.status_code == 200
    first = report.json()["errors"][0]
    assert first["line"] == line
    assert first["column"] >= 1
    assert words in first["message"]

    form = {"name": "m", "dataset_id": dataset_id, "prototxt": prototxt, "batch_size": 8}
    message = refused(api.post("models", json=form), 422, "prototxt")
    assert words in message
    assert f"{line}" in message


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"batch_size": 1_000}, "batch_size"),
        ({"base_lr": 1e15}, "base_lr"),
        ({"base_lr": "fast"}, "base_lr"),
        ({"base_lr": -0.1}, "base_lr"),
        ({"base_lr": [0.1] * 200, "batch_size": [8] * 200}, "base_lr"),
        ({"epochs": 0}, "epochs"),
        ({"topology": "no-such-net"}, "topology"),
        ({"dataset_id": 999_999}, "dataset_id"),
        ({"crop_size": 500}, "crop_size"),
        ({"lr_policy": "hope"}, "lr_policy"),
    ],
)
def test_a_model_form_is_refused_at_its_field(api: Api, dataset_id: int, options: dict[str, Any], field: str) -> None:
    form = {"name": "m", "dataset_id": dataset_id, "topology": "lenet", "batch_size": 8} | options
    assert refused(api.post("models", json=form), 422, field)


def test_a_model_form_sent_twice_makes_one_model(api: Api, dataset_id: int) -> None:
    form = {"name": "once", "dataset_id": dataset_id, "topology": "lenet", "batch_size": 8, "epochs": 1,
            "submission": "mark-2"}  # fmt: skip
    answers = [api.post("models", json=form) for _ in range(2)]
    ids = {tuple(model["id"] for model in answer.json()["models"]) for answer in answers}
    assert len(ids) == 1


def test_a_rate_that_lets_the_loss_explode_ends_the_run_with_advice(api: Api, dataset_id: int) -> None:
    (model,) = api.models(dataset_id, base_lr=10.0, batch_size=8, epochs=50)
    failed = api.ended(f"models/{model['id']}", status="failed")
    assert "learning rate" in failed["error"]
    assert "Traceback" not in failed["error"]


def test_a_dataset_that_a_model_waits_for_is_not_deleted(api: Api, server: Server, upload_id: int) -> None:
    """The worker of datasets is held, so that the build stays queued and the model with it."""
    (worker,) = server.living("worker.tasks", "data")
    worker.suspend()
    try:
        dataset = api.made("datasets", json=dataset_form(upload_id, name="slow"))
        (model,) = api.models(dataset["id"], batch_size=8)
        found = api.seen(f"models/{model['id']}")
        assert found["status"] == "queued"
        assert found["waits_for"] == "slow"
        assert "1 model" in refused(api.delete(f"datasets/{dataset['id']}"), 409)
        assert api.seen(f"models/{model['id']}")["status"] == "queued"
        assert api.post(f"datasets/{dataset['id']}/stop-request").status_code == 202
        failed = api.ended(f"models/{model['id']}", status="failed")
        assert "slow" in failed["error"]
    finally:
        worker.resume()


def test_a_picture_that_is_none_is_refused_and_one_that_is_cut_gets_its_reason(api: Api, dataset_id: int) -> None:
    (model,) = api.models(dataset_id, batch_size=8, epochs=1)
    path = f"models/{model['id']}"
    api.ended(path)
    assert refused(api.post(f"{path}/predictions", files={"image": ("a.png", b"<html>")}), 422, "image")
    assert refused(api.post(f"{path}/predictions", files={"image": ("a.png", b"")}), 422, "image")
    assert refused(api.post(f"{path}/predictions", data={"snapshot": "last"}), 422, "image")
    cut = api.post(f"{path}/predictions", files={"image": ("a.png", picture(size=200)[:9000])})
    if cut.status_code == 201:
        failed = api.ended(f"{path}/predictions/{cut.json()['id']}", status="failed")
        assert failed["error"]
        assert "Unexpected" not in failed["error"]
    else:
        assert refused(cut, 422, "image")
    wait_until(lambda: api.seen("health")["workers"]["predict"] == 1, "the worker of predictions to be well")


# -- a sweep, which is the other thing that a form can ask for -----------------------------------------------------


def test_two_rates_and_two_batch_sizes_make_four_models_that_all_end(api: Api, dataset_id: int) -> None:
    models = api.models(dataset_id, name="sweep", base_lr=[0.01, 0.001], batch_size=[8, 16], epochs=1)
    assert len(models) == 4
    assert len({model["name"] for model in models}) == 4
    ended = [api.ended(f"models/{model['id']}") for model in models]
    assert {(model["base_lr"], model["batch_size"]) for model in ended} == {
        (rate, batch) for rate in (0.01, 0.001) for batch in (8, 16)
    }
    assert all(0 <= model["accuracy"]["test"] <= 1 for model in ended)


def test_without_a_token_nothing_is_told(server: Server) -> None:
    for path in ("uploads", "datasets", "models", "models/1", "models/1/download", "models/1/events", "jobs"):
        answer = httpx.get(f"{server.url}/api/v1/{path}")
        assert answer.status_code == 401, path
        assert answer.json()["error"]["message"]
