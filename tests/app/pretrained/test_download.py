"""A pretrained net is downloaded in every form that a model is, and says what is not known of it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.db import Database, PretrainedNet
from app.settings import Settings
from app.storage import Storage
from tests.app.export.test_predict_script import imported
from tests.app.predicted import png_of
from tests.app.pretrained_nets import DEPLOY, arrays, do_import, form
from tests.conftest import Browser
from tests.worker.pretrained.caffemodels import new_caffemodel
from tests.worker.test_importing import mean_file
from worker.engine.predict import PredictSpec, predict


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("form", ["onnx", "pytorch", "caffe"])
@pytest.mark.parametrize("mean", ["image", "pixel"])
def test_every_form_of_its_download_answers_as_the_net_does_here(
    api: TestClient, made: Callable[..., PretrainedNet], tmp_path: Path, storage: Storage, form: str, mean: str
) -> None:
    given: dict[str, Any] = {"mean": mean_file(1, 16)} if mean == "image" else {"mean_values": "33"}
    net = made(scale="0.01", resize_mode="fill", **given)
    answer = api.get(f"/api/v1/pretrained/{net.id}/download?format={form}")
    assert answer.status_code == 200, answer.text
    assert f"Small {form}.zip" in answer.headers["content-disposition"]
    for name, content in files_of(answer.content).items():
        (tmp_path / name).write_bytes(content)
    picture = tmp_path / "picture.png"
    picture.write_bytes(png_of(31, 20))
    with imported(tmp_path) as predictor:
        found = predictor(form)(picture)
    folder = storage.pretrained_dir(net.id)
    spec = PredictSpec(net.prototxt, net.preprocessing_value, tuple(net.labels), folder, folder, picture,
                       tmp_path / "out", threads=1)  # fmt: skip
    assert np.allclose(found, predict(spec).probabilities, atol=1e-6)
    readme = (tmp_path / "README.md").read_text()
    assert "python predict.py PICTURE" in readme
    assert "What nobody has said" not in readme


def test_a_download_of_everything_says_what_nobody_has_said(
    api: TestClient, client: Browser, made: Callable[..., PretrainedNet]
) -> None:
    net = made(labels="")
    files = files_of(client.get(f"/pretrained/{net.id}/download?format=zip").content)
    assert files.keys() == {
        "README.md", "info.json", "predict.py", "preprocess.py", "labels.txt", "net.prototxt", "deploy.prototxt",
        "weights.caffemodel", "weights.safetensors", "model.py", "model.onnx",
    }  # fmt: skip
    assert files["net.prototxt"].decode() == DEPLOY
    about = json.loads(files["info.json"])
    assert about["assumed, because nobody said"] == ["labels", "mean", "scale", "resize mode"]
    assert (about["origin"], about["sha256"]) == ("small.caffemodel", net.sha256)
    readme = files["README.md"].decode()
    assert "What the outputs mean: labels.txt only numbers them." in readme
    assert "Whether a mean is subtracted: none is." in readme
    page = client.get(f"/pretrained/{net.id}").text
    assert all(f"/pretrained/{net.id}/download?format={one}" in page for one in ("caffe", "onnx", "pytorch", "zip"))
    assert client.get(f"/pretrained/{net.id}/download?format=hdf5").status_code == 404
    assert api.get(f"/api/v1/pretrained/{net.id}/download?format=hdf5").status_code == 422


def test_one_that_lacks_weights_is_sent_as_it_is_and_refused_in_any_form(
    api: TestClient, database: Database, settings: Settings, storage: Storage
) -> None:
    sent = api.post("/api/v1/pretrained", **form(new_caffemodel({"conv1": arrays()["conv1"]})))
    net = do_import(database, settings, storage, sent.json()["id"])
    answer = api.get(f"/api/v1/pretrained/{net.id}/download?format=onnx")
    assert answer.status_code == 409
    assert "ip1 (line 7): there are no weights ip1.weight" in answer.json()["error"]["message"]
    files = files_of(api.get(f"/api/v1/pretrained/{net.id}/download").content)
    assert {"weights.safetensors", "net.prototxt", "deploy.prototxt"} <= files.keys()
    assert not {"predict.py", "model.onnx", "model.py", "weights.caffemodel"} & files.keys()
    readme = files["README.md"].decode()
    assert "`model.onnx`: ip1 (line 7): there are no weights ip1.weight" in readme
    assert "python predict.py" not in readme
