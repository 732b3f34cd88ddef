"""The forms in which a trained net is downloaded, whosever it is: what each holds, and how the archive is put together.

A model and a pretrained net bring what makes their files (`Makers`), their README and their info.json.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from app.download_stream import Entry, stream_zip
from app.export.caffemodel import caffemodel
from app.export.errors import ExportError
from app.export.model_source import model_source
from app.export.opencv import beyond_opencv
from app.export.pieces import Piece
from app.export.trained_net import TrainedNet
from app.preprocessing import Preprocessing
from app.topology.errors import TopologyError
from app.version import VERSION
from app.web import ROOT, ApiError, templates

LONGEST_NAME = 120
WEIGHTS, CAFFEMODEL, ONNX, SOURCE = "weights.safetensors", "weights.caffemodel", "model.onnx", "model.py"
MEAN_FILES = ("mean.npy", "mean.png", "mean.binaryproto")
PREDICT = ROOT / "templates" / "download" / "predict.py"
NET = "net.prototxt"  # of a pretrained net

Content = str | Path | Sequence[Piece]
Makers = Mapping[str, Callable[[], Content]]  # by the file's name


class Form(StrEnum):
    """What a download is for."""

    ZIP = "zip"  # everything
    CAFFE = "caffe"
    ONNX = "onnx"
    PYTORCH = "pytorch"


# Every file that a download may hold, in the order of a reader's interest; what it is; and which forms have it.
ALL, CAFFE, TORCH = frozenset(Form), frozenset({Form.ZIP, Form.CAFFE}), frozenset({Form.ZIP, Form.PYTORCH})
FILES: dict[str, tuple[frozenset[Form], str]] = {
    "README.md": (ALL, "this text"),
    "info.json": (ALL, "what was trained, on what and how, and how pictures are prepared"),
    "predict.py": (ALL, "says what a picture shows, with whichever form of the net is here"),
    "preprocess.py": (ALL, "the code that made the training images, with the choices of this model"),
    "labels.txt": (ALL, "the classes, one a line, in the order of the net's outputs"),
    NET: (CAFFE, "the text that came with the weights"),
    "deploy.prototxt": (CAFFE, "the net that predicts, for Caffe and OpenCV"),
    "train_val.prototxt": (CAFFE, "the net as it is trained, for Caffe"),
    "solver.prototxt": (CAFFE, "how it was trained, as far as Caffe can say it"),
    "mean.npy": (CAFFE | TORCH, "the mean of the training images, (channels, height, width), for NumPy"),
    "mean.png": (CAFFE, "the same as a picture"),
    "mean.binaryproto": (CAFFE, "the same for Caffe"),
    SOURCE: (TORCH, "the net in plain PyTorch"),
    WEIGHTS: (TORCH, "its weights"),
    CAFFEMODEL: (CAFFE, "the weights for `deploy.prototxt`"),
    ONNX: (frozenset({Form.ZIP, Form.ONNX}), "net, weights and preprocessing in one, for ONNX Runtime and many others"),
    "log.txt": (frozenset({Form.ZIP}), "what the training said"),
}
NEEDS = {ONNX: "onnxruntime", SOURCE: "torch with safetensors", CAFFEMODEL: "opencv-python below 5"}


TITLES = {Form.ZIP: "a zip", Form.CAFFE: "Caffe", Form.ONNX: "ONNX", Form.PYTORCH: "PyTorch"}


def stream(entries: Callable[[], Sequence[Entry]], name: str, form: Form, moment: datetime) -> StreamingResponse:
    """The archive, called `name`; refuses with 409 a net that cannot be written in the one form that is asked for."""
    try:
        content = stream_zip(entries(), moment)
    except ExportError as error:
        message = f"This net cannot be written for {TITLES[form]}: {error}. The other forms may do."
        raise ApiError(409, "not_exportable", message) from error
    of_form = "" if form is Form.ZIP else f" {form}"
    headers = {"Content-Disposition": attachment(f"{name}{of_form}.zip")}
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def collect(form: Form, makers: Makers) -> tuple[list[Entry], dict[str, str]]:
    """The files of a form, and those that cannot be written, with the reason; what does not exist is left out.

    Raises ExportError where a form that was asked for by itself cannot be written.
    """
    made, missing = [], {}
    for name, (forms, _) in FILES.items():
        if name not in makers or form not in forms:
            continue
        try:
            content = makers[name]()
        except (ExportError, TopologyError) as error:
            if form is not Form.ZIP:
                raise ExportError(str(error)) from error
            missing[name] = str(error)
            continue
        if not isinstance(content, Path) or content.is_file():
            made.append(Entry(name, content, is_compressed=name not in (WEIGHTS, CAFFEMODEL, ONNX)))
    return made, missing


def net_makers(net: Callable[[], TrainedNet], weights: Path) -> dict[str, Callable[[], Content]]:
    """The files that the net itself is written to."""
    return {
        SOURCE: lambda: model_source(net()),
        WEIGHTS: lambda: weights,
        CAFFEMODEL: lambda: caffemodel(net()),
        ONNX: lambda: _onnx_pieces(net()),
    }


def texts(
    made: Sequence[Entry],
    missing: Mapping[str, str],
    info: Callable[[list[str]], dict[str, Any]],
    notes: Mapping[str, Any],
) -> list[Entry]:
    """README.md and info.json, which speak of the other files."""
    names = ["README.md", "info.json", *(entry.name for entry in made)]
    words = {name: text for name, (_, text) in FILES.items()} | notes.get("words", {})
    readme = templates.env.get_template("download/README.md").render(
        **notes,
        version=VERSION,
        needs=[needed for name, needed in NEEDS.items() if name in names],
        files=[(name, words[name]) for name in FILES if name in names],
        names=names,
        missing=missing,
    )
    about = json.dumps(info(sorted(names)), indent=2, ensure_ascii=False)
    return [Entry("README.md", readme), Entry("info.json", about)]


def opencv_remarks(made: Sequence[Entry], net: Callable[[], TrainedNet]) -> list[str]:
    """What OpenCV does otherwise than Caffe with a net that is written for both."""
    return beyond_opencv(net()) if any(entry.name == CAFFEMODEL for entry in made) else []


def attachment(filename: str) -> str:
    """Content-Disposition for any name: plain ASCII for old clients, the real name as of RFC 5987."""
    cleaned = "".join("_" if char in '/\\:*?"<>|' or unicodedata.category(char) == "Cc" else char for char in filename)
    stem, dot, ending = cleaned.rpartition(".")
    cleaned = f"{stem[:LONGEST_NAME].strip() or 'model'}{dot}{ending}"
    ascii_name = unicodedata.normalize("NFKD", cleaned).encode("ascii", "ignore").decode() or "download"
    plain = "".join(char if char.isalnum() or char in " ._-()+" else "_" for char in ascii_name).strip()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(cleaned, safe='')}"


def _onnx_pieces(net: TrainedNet) -> Sequence[Piece]:
    from app.export.onnx_model import onnx_model  # 30 MB that the web process does without until somebody asks

    return onnx_model(net)


def image_facts(preprocessing: Preprocessing, names: Sequence[str]) -> dict[str, Any]:
    """What DIGITS wrote into info.json about pictures, under its names."""
    channels, height, width = preprocessing.channels.number, preprocessing.height, preprocessing.width
    return {
        "image dimensions": [height, width, channels],
        "image resize mode": str(preprocessing.resize_mode),
        "mean file": "mean.binaryproto" if "mean.binaryproto" in names else None,
        "mean subtraction": str(preprocessing.mean),
        "preprocessing": preprocessing.to_dict(),
        "labels file": "labels.txt",
        "snapshot file": next((name for name in (WEIGHTS, CAFFEMODEL, ONNX) if name in names), None),
    }
