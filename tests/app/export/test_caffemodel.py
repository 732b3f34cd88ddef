from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from app.export.caffemodel import caffemodel
from app.export.errors import ExportError
from app.export.pieces import Span
from app.export.weights import Stored
from app.topology import caffe_pb2
from app.topology.writing import deploy_text
from tests.app.export.judged import saved, whole
from tests.app.export.nets import zoo_net
from worker.pretrained.caffemodel import blob_names, read_caffemodel


def test_what_is_written_and_read_back_has_equal_bits(tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net("resnet18", 32)
    written = whole(caffemodel(saved(text, net, preprocessing, tmp_path)))
    weights = {name: weight.value.detach().numpy() for name, weight in net.weights().items()}
    blobs = read_caffemodel(written)
    names = blob_names(weights, blobs)
    found = {name: array for layer in blobs for name, array in zip(names[layer], blobs[layer], strict=True)}
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        assert found[name].dtype == np.float32
        assert found[name].tobytes() == array.tobytes(), name


def test_the_layers_are_those_of_deploy_prototxt(tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net("mobilenet", 32)
    message = caffe_pb2.NetParameter.FromString(whole(caffemodel(saved(text, net, preprocessing, tmp_path))))
    for layer in message.layer:
        del layer.blobs[:]
    assert message == text_format.Parse(deploy_text(text, preprocessing, 10), caffe_pb2.NetParameter())


def test_more_than_protobuf_can_hold_is_refused(tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net("lenet", 28)
    trained = saved(text, net, preprocessing, tmp_path)
    huge = Stored((2**29,), Span(tmp_path / "weights.safetensors", 0, 2**31))
    sites = (replace(trained.sites[0], weights={"weight": huge}), *trained.sites[1:])
    with pytest.raises(ExportError, match=r"at most 2 GB, these weights are 2\.1 GB"):
        caffemodel(replace(trained, sites=sites))
