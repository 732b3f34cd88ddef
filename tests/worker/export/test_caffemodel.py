from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.topology import caffe_pb2
from worker.engine.errors import EngineError
from worker.export.caffemodel import named_blobs, read_caffemodel


def test_a_file_of_the_older_form_is_read(tmp_path: Path) -> None:
    message = caffe_pb2.NetParameter()
    layer = message.layers.add(name="fc8", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=[1, 2, 3, 4, 5, 6])
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[7, 8])
    (tmp_path / "old.caffemodel").write_bytes(message.SerializeToString())
    blobs = read_caffemodel(tmp_path / "old.caffemodel")["fc8"]
    assert [blob.tolist() for blob in blobs] == [[[1, 2, 3], [4, 5, 6]], [7, 8]]


def test_layers_that_the_net_does_not_have_keep_their_place() -> None:
    blobs = {"conv": [np.ones(2, np.float32)], "fc8": [np.zeros(1, np.float32), np.zeros(2, np.float32)]}
    assert set(named_blobs(["conv.weight", "conv.bias"], blobs)) == {"conv.weight", "fc8.0", "fc8.1"}


@pytest.mark.parametrize("data", [b"not a model at all", b"\xff" * 40])
def test_what_is_no_caffemodel_is_refused(data: bytes) -> None:
    with pytest.raises(EngineError, match=r"no \.caffemodel"):
        read_caffemodel(data)


def test_a_file_without_weights_or_with_too_few_numbers_is_refused() -> None:
    with pytest.raises(EngineError, match="has no weights in any layer"):
        read_caffemodel(caffe_pb2.NetParameter(name="empty").SerializeToString())
    message = caffe_pb2.NetParameter()
    blob = message.layer.add(name="conv1", type="Convolution").blobs.add(data=[1.0, 2.0])
    blob.shape.dim.extend([2**40, 2**40])
    with pytest.raises(EngineError, match=r"conv1: expected 1099511627776 × 1099511627776 numbers, found 2"):
        read_caffemodel(message.SerializeToString())
