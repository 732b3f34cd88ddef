"""The library of pretrained nets, over the API and as a browser without JavaScript meets it."""

from __future__ import annotations

import html
import io
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from app.db import Database, PretrainedNet
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests import factories
from tests.app.pages.test_model_wizard import RESULT, fields_of
from tests.app.predicted import png_of
from tests.app.pretrained.conftest import WEIGHTS
from tests.app.pretrained_nets import DEPLOY, do_import, form, safetensors
from tests.conftest import Browser

NO_INPUT = re.sub(r"layer { name: \"data\".*\n", "", DEPLOY)


def sent_page(client: Browser, weights: bytes, **fields: Any) -> Any:
    given = form(weights, **fields)
    given["data"] = {"csrf_token": client.csrf} | given["data"]
    return client.post("/pretrained", **given)


def refused(api: TestClient, weights: bytes, **fields: Any) -> dict[str, str]:
    answer = api.post("/api/v1/pretrained", **form(weights, **fields))
    assert answer.status_code == 422, answer.text
    return dict(answer.json()["error"]["fields"])


def pickled_zip() -> bytes:
    file = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(2)}, file)
    return file.getvalue()


def plain_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net.caffemodel", b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (b"", "The file is empty (0 bytes)."),
        (pickled_zip(), "This is a Python pickle"),
        *((pickle.dumps({"conv1": [1.0, 2.0]}, protocol), "This is a Python pickle") for protocol in range(6)),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "This is an HDF5 file"),
        (b"\x04\0\0\0\x01\0\0\0\x03\0\0\0", "This is a file of Torch 7"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "This is a web page"),
        (plain_zip(), "This is a zip archive."),
        (b"\x1f\x8b\x08\0", "compressed (gzip)"),
        (b"\x08\x07\x12\x07pytorch", "looks like ONNX"),
        (b"something else altogether", "found a file that begins with b'somethin'"),
        (safetensors()[:-9], "cannot be read"),
        ((100).to_bytes(8, "little") + b"{" + b"x" * 200, "cannot be read"),
    ],
)
def test_other_files_are_refused_by_their_bytes_whatever_they_are_called(
    api: TestClient, storage: Storage, weights: bytes, words: str
) -> None:
    message = refused(api, weights, filename="net.caffemodel")["weights"]
    assert words in message
    assert ("save_file(torch.load" in message) == ("pickle" in words)
    assert list(storage.pretrained.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prototxt": ""}, "prototxt", "Choose a .prototxt, or paste it"),
        ({"prototxt": "layer { nam: 1 }"}, "prototxt", 'Line 1, column 9: unknown field "nam"'),
        ({"prototxt": DEPLOY.replace("kernel_size: 3", "kernel_size: 33")}, "prototxt", "exceeds its input 12×12"),
        ({"labels": "one\ntwo"}, "labels", "Expected 3 lines, one for each output of the net, found 2."),
        ({"name": " "}, "name", "Expected a name, found nothing."),
        ({"width": "big"}, "width", "Expected a whole number from 1 to 4,096, found “big”."),
        ({"crop_size": 40}, "crop_size", "Expected at most 12, the shorter side of 12 × 12, found 40."),
        ({"mean_values": "1, 2, 3"}, "mean_values", "Expected 1 or 1 numbers for gray images, found 3."),
        ({"channels": "cmyk"}, "channels", "Expected gray or color, found “cmyk”."),
        ({"prototxt": DEPLOY.replace("dim: 1 dim: 1 ", "dim: 1 dim: 4 ")}, "prototxt", "images of 4 channels"),
        ({"prototxt": re.sub(r"layer { name: \"data\".*\n", "", DEPLOY)}, "channels", "grey or colour. Choose one."),
        (
            {"prototxt": re.sub(r"layer { name: \"data\".*\n", "", DEPLOY), "channels": "gray"},
            "width",
            "does not say how",
        ),
        (
            {"prototxt": DEPLOY.replace("num_output: 3 ", ""), "labels": ""},
            "labels",
            "The last layer has no num_output",
        ),
    ],
)
def test_what_does_not_fit_comes_back_at_its_field(
    api: TestClient, client: Browser, fields: dict[str, Any], field: str, words: str
) -> None:
    assert words in refused(api, WEIGHTS, **fields)[field]
    answer = sent_page(client, WEIGHTS, notes="typed <b>notes</b>", **fields)
    assert answer.status_code == 422
    page = html.unescape(answer.text)
    assert words in page
    assert "typed <b>notes</b></textarea>" in page
    assert str(fields.get("prototxt", DEPLOY)).strip() in page


def test_a_form_without_weights_asks_for_them(api: TestClient) -> None:
    answer = api.post("/api/v1/pretrained", data={"name": "x", "prototxt": DEPLOY}, files={"prototxt": ("", b"")})
    assert answer.json()["error"]["fields"] == {"weights": "Choose a .caffemodel or a .safetensors."}


def test_more_than_the_settings_allow_is_refused_and_leaves_nothing(
    settings: Settings, database: Database, storage: Storage, admin: Any
) -> None:
    app = create_app(replace(settings, max_upload_gb=1e-6))
    with TestClient(app, base_url="http://localhost") as api:
        api.headers["Authorization"] = f"Bearer {factories.api_token(database, admin)}"
        answer = api.post("/api/v1/pretrained", **form(WEIGHTS))
    assert answer.status_code == 413
    assert "weights" in answer.json()["error"]["fields"]
    assert list(storage.pretrained.iterdir()) == []


def test_texts_may_come_as_files(api: TestClient) -> None:
    answer = api.post("/api/v1/pretrained", **form(WEIGHTS, prototxt=DEPLOY.encode(), labels="猫\n犬\n鳥".encode()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["labels"] == ["猫", "犬", "鳥"]


def test_the_page_of_a_net_shows_what_it_is(client: Browser, made: Callable[..., PretrainedNet]) -> None:
    assert "No pretrained nets yet" in client.get("/pretrained").text
    net = made(name="手書き " + "x" * 180, mean_values="33", scale="0.5")
    page = html.unescape(client.get(f"/pretrained/{net.id}").text)
    for words in (
        "手書き",
        "small.caffemodel",
        "6 × 1 × 3 × 3",
        "mean pixel (33.0)",
        "12 × 12 gray",
        "left",
        "513 parameters",
    ):
        assert words in page, words
    assert f'href="/models/new?start_from=pretrained:{net.id}"' in page
    picture = client.get(f"/pretrained/{net.id}/filters.png")
    assert picture.headers["content-type"] == "image/png"
    listed = client.get("/pretrained?sort=-parameters").text
    assert f'href="/pretrained/{net.id}"' in listed
    assert "No pretrained net fits the filter" in client.get("/pretrained?q=nothing").text


def test_the_browser_form_makes_a_net(client: Browser) -> None:
    assert "Pickles (.pt, .pth, .pkl) are refused" in client.get("/pretrained/new").text
    answer = sent_page(client, WEIGHTS, channels="gray")
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert "queued" in page.text
    pickled = sent_page(client, pickled_zip())
    assert 'save_file(torch.load("net.pth"' in html.unescape(pickled.text)


def test_it_is_renamed_downloaded_and_deleted(
    client: Browser, made: Callable[..., PretrainedNet], storage: Storage
) -> None:
    net = made()
    page = f"/pretrained/{net.id}"
    assert client.send_form(f"{page}/edit", name="", notes="n").status_code == 422
    assert client.send_form(f"{page}/edit", name="other", notes="n").status_code == 303
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"{page}/download").content))
    assert {"info.json", "net.prototxt", "labels.txt", "weights.safetensors"} <= set(archive.namelist())
    assert archive.testzip() is None
    assert client.send_form(f"{page}/delete").headers["location"] == "/pretrained"
    assert client.get(page).status_code == 404
    assert not storage.pretrained_dir(net.id).exists()


def test_somebody_else_may_use_it_but_not_change_it(
    app: Any, database: Database, made: Callable[..., PretrainedNet]
) -> None:
    net = made()
    with TestClient(app, base_url="http://localhost") as other:
        other.headers["Authorization"] = f"Bearer {factories.api_token(database, factories.user(database))}"
        assert other.get(f"/api/v1/pretrained/{net.id}").status_code == 200
        assert other.patch(f"/api/v1/pretrained/{net.id}", json={"name": "mine"}).status_code == 403
        assert other.delete(f"/api/v1/pretrained/{net.id}").status_code == 403


def test_use_opens_the_form_with_a_net_that_can_be_trained(
    client: Browser, api: TestClient, database: Database, made: Callable[..., PretrainedNet]
) -> None:
    net = made(mean_values="33", scale="0.5")
    dataset = factories.dataset(database, result=RESULT, width=12, height=12)
    factories.dataset(database, result=RESULT)  # newer, and of another size
    page = client.get(f"/models/new?start_from=pretrained:{net.id}").text
    fields = fields_of(page)
    assert (fields["start_from"], fields["mean"], fields["scale"]) == (f"pretrained:{net.id}", "pixel", "0.5")
    assert "SoftmaxWithLoss" in fields["prototxt"]
    assert "2 of 4 weights loaded" in page  # the last layer is new: two classes instead of three
    assert fields["dataset_id"] == str(dataset.id)
    answer = client.post("/models", data=fields)
    assert answer.status_code == 303, html.unescape(answer.text)
    assert f'<a href="/pretrained/{net.id}">Small</a>' in client.get(answer.headers["location"]).text
    assert api.get(f"/api/v1/pretrained/{net.id}").json()["used_by"] == 1
    busy = api.delete(f"/api/v1/pretrained/{net.id}")
    assert busy.status_code == 409
    assert "will start from its weights" in busy.json()["error"]["message"]


def test_one_that_is_not_imported_yet_cannot_be_started_from(api: TestClient, database: Database) -> None:
    net = api.post("/api/v1/pretrained", **form(WEIGHTS)).json()
    dataset = factories.dataset(database, result=RESULT)
    answer = api.post("/api/v1/models", json={"name": "x", "dataset_id": dataset.id, "topology": "lenet",
                                              "start_from": f"pretrained:{net['id']}"})  # fmt: skip
    assert "The import of “Small” is queued, not done." in answer.json()["error"]["fields"]["start_from"]
    assert api.get(f"/api/v1/pretrained/{net['id']}/download").status_code == 409


def test_the_list_goes_on_where_it_ended(api: TestClient, database: Database) -> None:
    for number in range(5):
        answer = api.post("/api/v1/pretrained", **form(WEIGHTS, name=f"net {number % 2}"))
        assert answer.status_code == 201
    seen: list[int] = []
    after = None
    while True:
        page = api.get("/api/v1/pretrained", params={"limit": 2, "sort": "name"} | ({"after": after} if after else {}))
        seen += [item["id"] for item in page.json()["items"]]
        after = page.json()["next"]
        if after is None:
            break
    assert seen == [1, 3, 5, 2, 4]
    assert api.get("/api/v1/pretrained?sort=colour").status_code == 422
    assert np.unique(seen).size == 5


def test_pictures_are_tested_from_its_page(client: Browser, made: Callable[..., PretrainedNet]) -> None:
    net = made()
    address = f"/pretrained/{net.id}/predictions"
    page = client.get(f"/pretrained/{net.id}").text
    assert f'action="{address}"' in page
    assert 'name="snapshot"' not in page
    given = {"data": {"csrf_token": client.csrf, "layers": "true"}, "files": {"image": ("手.png", png_of(12, 12))}}
    answer = client.post(address, **given)
    assert answer.status_code == 303
    shown = client.get(answer.headers["location"]).text
    assert f'<a href="/pretrained/{net.id}">Small</a>' in shown
    assert "手.png" in client.get(address).text
    assert client.post(address, data={"csrf_token": client.csrf}, files={"x": b""}).status_code == 422
    assert client.send_form(f"{answer.headers['location']}/delete").headers["location"] == address


def test_weights_that_have_arrived_wait_while_the_rest_is_mended(
    client: Browser, storage: Storage, database: Database, settings: Settings
) -> None:
    """Half a gigabyte is not sent again because of a word in the prototxt."""
    first = sent_page(client, WEIGHTS, prototxt="layer { nam: 1 }", name=" ", filename="手 net.caffemodel")
    assert first.status_code == 422
    assert "手 net.caffemodel has arrived." in first.text
    kept = dict(re.findall(r'name="(kept\w*)" value="([^"]*)"', first.text))
    given = {"csrf_token": client.csrf, "name": "Small", "prototxt": DEPLOY, "labels": ""} | kept
    again = client.post("/pretrained", data=given, files={"weights": ("", b"")})
    assert again.status_code == 303, html.unescape(again.text)
    net = do_import(database, settings, storage, int(again.headers["location"].rpartition("/")[2]))
    assert (net.origin_title, net.job.error) == ("手 net.caffemodel", None)
    assert [path.name for path in storage.pretrained.iterdir()] == [str(net.id)]
    for nonsense in (kept["kept"], "../../etc", "0" * 32):
        refused = client.post("/pretrained", data=given | {"kept": nonsense}, files={"weights": ("", b"")})
        assert "Choose a .caffemodel or a .safetensors." in refused.text


def test_a_form_in_which_everything_is_wrong_says_so_at_once(client: Browser, storage: Storage) -> None:
    page = html.unescape(sent_page(client, b"", name=" ", width="big").text)
    for words in ("The file is empty (0 bytes).", "Expected a name, found nothing.", "found “big”"):
        assert words in page
    assert list(storage.pretrained.iterdir()) == []


def test_an_import_that_failed_is_tried_again_with_the_files_that_are_there(
    client: Browser, storage: Storage, database: Database, settings: Settings
) -> None:
    wrong = DEPLOY.replace("num_output: 6", "num_output: 7")
    failed = do_import(
        database, settings, storage, _id_of(sent_page(client, WEIGHTS, prototxt=wrong, mean_values="33"))
    )
    assert "The prototxt does not fit the weights" in str(failed.job.error)
    page = client.get(f"/pretrained/{failed.id}").text
    assert f'href="/pretrained/new?again={failed.id}"' in page
    form_page = html.unescape(client.get(f"/pretrained/new?again={failed.id}").text)
    assert "small.caffemodel is still here." in form_page
    assert "num_output: 7" in form_page
    assert 'value="33"' in form_page
    given = {"csrf_token": client.csrf, "name": "Small", "prototxt": DEPLOY, "again": str(failed.id)}
    net = do_import(database, settings, storage, _id_of(client.post("/pretrained", data=given, files={"x": ("", b"")})))
    assert (net.job.error, net.is_complete) == (None, True)
    assert client.get(f"/pretrained/{failed.id}").status_code == 404
    assert client.get("/pretrained/new?again=999").status_code == 404


def _id_of(answer: Any) -> int:
    assert answer.status_code == 303, html.unescape(answer.text)
    return int(answer.headers["location"].rpartition("/")[2])
