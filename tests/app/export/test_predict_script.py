"""The downloaded `predict.py` gives the answers of the test page, for every way of preparing a picture."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.download_forms import PREDICT
from app.export.caffemodel import caffemodel
from app.export.model_source import model_source
from app.export.onnx_model import onnx_model
from app.export.trained_net import TrainedNet, trained_net
from app.imaging.source import preprocess_source
from app.preprocessing import Channels, MeanMode, Preprocessing, ResizeMode
from app.topology.deploy import deploy_net
from app.topology.text import read
from app.topology.writing import deploy_text
from tests.app.export.judged import saved, whole
from worker.engine.compile import compile_net
from worker.engine.predict import PredictSpec, predict
from worker.engine.snapshot import WEIGHTS

LABELS = ("猫", "dog", "a class with spaces", "fox")
# Its weights fit images of any size.
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3
  weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 4
  weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
WIDTH, HEIGHT = 20, 14
MEANS = ((MeanMode.NONE, ()), (MeanMode.IMAGE, ()), (MeanMode.PIXEL, ()), (MeanMode.PIXEL, (90.0, 110.0, 130.0)))


def pictures(folder: Path, size: tuple[int, int] | None) -> list[Path]:
    """Of every kind: photographs large and small, turned by EXIF, transparent, 16 bits deep; of one size if given."""
    random = np.random.default_rng(7)

    def drawn(width: int, height: int, channels: int) -> Image.Image:
        width, height = size or (width, height)
        coarse = random.integers(0, 256, (5, 6, channels), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    turned = Image.Exif()
    turned[0x0112] = 6
    drawn(700, 433, 3).save(folder / "large.jpg", quality=95, exif=Image.Exif())
    drawn(31, 57, 3).save(folder / "small.jpg", quality=90)
    drawn(57, 31, 4).save(folder / "transparent.png")
    Image.fromarray(random.integers(0, 65536, (size or (50, 33))[::-1], dtype=np.uint16)).save(folder / "deep.png")
    made = ["large.jpg", "small.jpg", "transparent.png", "deep.png"]
    if size is None:
        drawn(64, 40, 3).save(folder / "turned.jpg", exif=turned)
        made.append("turned.jpg")
    return [folder / name for name in made]


def downloaded(folder: Path, text: str, preprocessing: Preprocessing) -> TrainedNet:
    """What a download of everything holds, as far as predict.py reads it."""
    net = trained_net(text, preprocessing, LABELS, folder / WEIGHTS, folder / "mean.npy")
    texts = {
        "predict.py": PREDICT.read_text(),
        "model.py": model_source(net),
        "deploy.prototxt": deploy_text(text, preprocessing, len(LABELS)),
        "labels.txt": "".join(f"{name}\n" for name in LABELS),
        "preprocess.py": preprocess_source(preprocessing),
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "weights.caffemodel").write_bytes(whole(caffemodel(net)))
    (folder / "model.onnx").write_bytes(whole(onnx_model(net)))
    return net


@contextmanager
def imported(folder: Path) -> Iterator[Callable[[str], Callable[[Path], np.ndarray]]]:
    """`predictor` of the predict.py in the folder, which finds what lies beside it and nothing of ours."""
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("predict").predictor
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name in ("predict", "model", "preprocess")]:
            del sys.modules[name]


def ours(preprocessing: Preprocessing, text: str, folder: Path, picture: Path) -> list[float]:
    spec = PredictSpec(text, preprocessing, LABELS, folder, folder, picture, folder / "out", threads=1)
    return predict(spec).probabilities


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A snapshot of the net for colour pictures, with a mean image."""
    preprocessing = Preprocessing(Channels.COLOR, WIDTH, HEIGHT)
    saved(NET, compile_net(deploy_net(read(NET)), {"data": (1, 3, HEIGHT, WIDTH)}), preprocessing, tmp_path)
    np.save(tmp_path / "mean.npy", np.random.default_rng(2).random((3, HEIGHT, WIDTH), np.float32) * 200)
    return tmp_path


@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize("mode", list(ResizeMode))
def test_its_answers_are_those_of_the_test_page(mode: ResizeMode, channels: Channels, folder: Path) -> None:
    text = NET if channels is Channels.COLOR else NET.replace("dim: 1 dim: 3", "dim: 1 dim: 1")
    count = channels.number
    saved(text, compile_net(deploy_net(read(text)), {"data": (1, count, HEIGHT, WIDTH)}),
          Preprocessing(channels, WIDTH, HEIGHT), folder)  # fmt: skip
    np.save(folder / "mean.npy", np.load(folder / "mean.npy")[:count])
    shown = pictures(folder, (WIDTH, HEIGHT) if mode is ResizeMode.NONE else None)
    colors = (None, (200, 30, 60)) if mode in (ResizeMode.FILL, ResizeMode.HALF_CROP) else (None,)
    for (mean, values), crop, color in product(MEANS, (None, 12), colors):
        preprocessing = Preprocessing(channels, WIDTH, HEIGHT, mode, color, mean, values[:count], 0.02, crop)
        downloaded(folder, text, preprocessing)
        with imported(folder) as predictor:
            for form in ("onnx", "pytorch", "caffe"):
                answer = predictor(form)
                for picture in shown:
                    wanted = ours(preprocessing, text, folder, picture)
                    assert np.allclose(answer(picture), wanted, atol=1e-6), (form, picture.name, preprocessing)


def test_it_runs_without_us_and_names_the_classes(folder: Path) -> None:
    preprocessing = Preprocessing(Channels.COLOR, WIDTH, HEIGHT, ResizeMode.HALF_CROP, scale=0.02)
    downloaded(folder, NET, preprocessing)
    first, second = pictures(folder, None)[:2]
    command = [sys.executable, folder / "predict.py", first, second]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder.parent)
    lines = done.stdout.splitlines()
    assert [lines[0], lines[5]] == [str(first), str(second)]
    wanted = ours(preprocessing, NET, folder, first)
    best = max(range(4), key=wanted.__getitem__)
    assert lines[1] == f"  {100 * wanted[best]:6.2f} %  {LABELS[best]}"


def test_a_file_that_is_no_picture_is_said_in_one_line(folder: Path) -> None:
    downloaded(folder, NET, Preprocessing(Channels.COLOR, WIDTH, HEIGHT))
    done = subprocess.run(
        [sys.executable, "predict.py", "labels.txt"], capture_output=True, text=True, check=False, cwd=folder
    )
    assert (done.returncode, done.stderr) == (1, "labels.txt: not an image, or damaged at its start\n")
