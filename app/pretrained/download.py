"""A pretrained net as one zip: everything, or what Caffe, ONNX or PyTorch needs, written as models are.

What nobody has said about it (labels, mean, scale, …) is assumed as everywhere here; its README and info.json say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.responses import StreamingResponse

from app import download_forms
from app.db import PretrainedNet, Status
from app.download_forms import CAFFEMODEL, NET, ONNX, PREDICT, SOURCE, WEIGHTS, Content, Form
from app.download_stream import Entry
from app.export.errors import ExportError
from app.export.trained_net import TrainedNet, trained_net
from app.imaging.source import preprocess_source
from app.preprocessing import MeanMode
from app.pretrained.facts import Unsaid, nameless
from app.storage import Storage
from app.topology import caffe_pb2
from app.topology.writing import deploy_text
from app.version import VERSION
from app.web import ApiError

MEAN = "mean.npy"
_WORDS = {
    "info.json": "what the net is, where it came from, and how pictures are prepared",
    "preprocess.py": "the code that prepares pictures, with the choices of this net",
    "labels.txt": "the outputs of the net, one a line, in their order",
    MEAN: "the mean that is subtracted, (channels, height, width), for NumPy",
}
_UNSAID = {
    Unsaid.LABELS: "What the outputs mean: labels.txt only numbers them.",
    Unsaid.MEAN: "Whether a mean is subtracted: none is.",
    Unsaid.SCALE: "Whether pixels are scaled: they stay between 0 and 255.",
    Unsaid.RESIZE: "How pictures were resized: they are squashed to the size.",
    Unsaid.ORDER: "The order of the channels in training: blue, green, red, as in Caffe.",
}


def response(storage: Storage, net: PretrainedNet, form: Form) -> StreamingResponse:
    """Refuses with 409 while there is nothing to send, or no more, or when the net cannot be written in this form."""
    if net.status != Status.DONE:
        raise ApiError(
            409, "not_imported", f"There is nothing to download: the import of “{net.name}” is {net.status}."
        )
    contents = Contents(storage.pretrained_dir(net.id), net, form)
    if not contents.weights.is_file():
        raise ApiError(409, "files_lost", f"The weights of “{net.name}” are gone from the disk.")
    return download_forms.stream(contents.entries, net.name, form, net.created_at)


@dataclass
class Contents:
    """The files of one download."""

    folder: Path
    net: PretrainedNet
    form: Form

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    def entries(self) -> list[Entry]:
        """The archive. Raises ExportError where the one form that is asked for cannot be written."""
        made, missing = download_forms.collect(self.form, self._makers)
        if not any(entry.name in (SOURCE, CAFFEMODEL, ONNX) for entry in made):
            made = [entry for entry in made if entry.name != "predict.py"]  # it would have nothing to ask
        return [*download_forms.texts(made, missing, self._info, self._notes(made)), *made]

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Content]]:
        net, preprocessing = self.net, self.net.preprocessing_value
        return {
            "predict.py": lambda: PREDICT,
            "preprocess.py": lambda: preprocess_source(preprocessing),
            "labels.txt": lambda: "".join(f"{name}\n" for name in net.labels),
            NET: lambda: net.prototxt,
            "deploy.prototxt": lambda: deploy_text(net.prototxt, preprocessing, net.class_count),
            MEAN: lambda: self.folder / MEAN,
            **({"mean.binaryproto": self._binaryproto} if preprocessing.mean is MeanMode.IMAGE else {}),
            **download_forms.net_makers(lambda: self._trained, self.weights),
        }

    @cached_property
    def _trained(self) -> TrainedNet:
        net = self.net
        return trained_net(net.prototxt, net.preprocessing_value, tuple(net.labels), self.weights, self.folder / MEAN)

    def _binaryproto(self) -> Content:
        image = self._trained.mean_values()
        if image is None:
            raise ExportError("there is no mean image")
        channels, height, width = image.shape
        numbers = np.ravel(image).tolist()
        blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width, data=numbers)
        return [blob.SerializeToString()]

    def _notes(self, made: list[Entry]) -> dict[str, Any]:
        net = self.net
        about = f"{net.topology_name}, {net.class_count} outputs, a pretrained net from {net.origin_title}."
        return {
            "name": net.name,
            "about": " ".join([about, *net.remarks]),
            "assumed": [_UNSAID[one] for one in self._unsaid],
            "words": _WORDS,
            "preprocessing": net.preprocessing_value,
            "beyond_opencv": download_forms.opencv_remarks(made, lambda: self._trained),
        }

    @property
    def _unsaid(self) -> list[Unsaid]:
        """What is assumed. Of nets that were sent before this was written down, only the labels are known to be."""
        said = [Unsaid(one) for one in self.net.origin.get("unsaid", ())]
        return said or ([Unsaid.LABELS] if self.net.labels == nameless(self.net.class_count) else [])

    def _info(self, names: list[str]) -> dict[str, Any]:
        net = self.net
        return {
            "id": net.id,
            "name": net.name,
            "creation time": net.created_at.isoformat(),
            "username": net.user.username if net.user else None,
            "source": str(net.source),
            "origin": net.origin_title,
            **download_forms.image_facts(net.preprocessing_value, names),
            "assumed, because nobody said": [str(one) for one in self._unsaid],
            "remarks": net.remarks,
            "model file": NET if NET in names else None,
            "deploy file": "deploy.prototxt" if "deploy.prototxt" in names else None,
            "files": names,
            "framework": "trainyard",
            "topology": net.topology_name,
            "parameters": net.parameters,
            "sha256": net.sha256,
            "trainyard version": VERSION,
        }
