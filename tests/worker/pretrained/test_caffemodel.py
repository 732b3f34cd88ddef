from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.topology import caffe_pb2
from tests.worker.pretrained.caffemodels import (
    double_blob,
    loose_blob,
    message,
    new_blob,
    new_caffemodel,
    old_caffemodel,
)
from worker.engine.errors import EngineError
from worker.pretrained.caffemodel import Array, blob_names, open_caffemodel, read_caffemodel


def test_a_file_of_the_older_form_is_read(tmp_path: Path) -> None:
    old = caffe_pb2.NetParameter()
    layer = old.layers.add(name="fc8", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=[1, 2, 3, 4, 5, 6])
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[7, 8])
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    blobs = read_caffemodel(tmp_path / "old.caffemodel")["fc8"]
    assert [blob.tolist() for blob in blobs] == [[[1, 2, 3], [4, 5, 6]], [7, 8]]


def test_layers_that_the_net_does_not_have_keep_their_place() -> None:
    layers = {"conv": [0], "fc8": [0, 0]}
    assert blob_names(["conv.weight", "conv.bias"], layers) == {"conv": ["conv.weight"], "fc8": ["fc8.0", "fc8.1"]}


def arrays() -> dict[str, list[Array]]:
    draw = np.random.default_rng(3)
    shapes = {"conv": [(4, 1, 3, 3), (4,)], "ip": [(3, 144), (3,)]}
    return {name: [draw.normal(size=shape).astype(np.float32) for shape in one] for name, one in shapes.items()}


@pytest.mark.parametrize("blob", [new_blob, double_blob, loose_blob])
def test_numbers_are_read_however_they_were_written(blob: Any) -> None:
    found = read_caffemodel(new_caffemodel(arrays(), blob))
    for name, wanted in arrays().items():
        assert [(array.shape, array.tobytes()) for array in found[name]] == [(a.shape, a.tobytes()) for a in wanted]


def test_the_older_form_is_read_byte_by_byte() -> None:
    found = read_caffemodel(old_caffemodel(arrays()))
    assert found.keys() == {"conv", "ip"}
    assert [array.shape for array in found["ip"]] == [(3, 144), (3,)]
    assert found["conv"][0].tobytes() == arrays()["conv"][0].tobytes()


def test_a_cut_file_is_refused_with_the_place_wherever_it_was_cut() -> None:
    whole = new_caffemodel(arrays())
    for size in range(6, len(whole), 101):
        with pytest.raises(EngineError, match=r"at byte [\d,]+ there is|has no weights|numbers, found"):
            read_caffemodel(whole[:size] + b"")


def test_the_oldest_form_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="oldest form"):
        read_caffemodel(message(2, message(1, message(1, b"conv"))))


def test_a_large_file_is_read_in_little_memory(tmp_path: Path) -> None:
    """The parse that protobuf would do takes twice the file."""
    path = tmp_path / "large.caffemodel"
    big = np.ones((60, 100_000), np.float32)
    path.write_bytes(new_caffemodel({f"fc{place}": [big] for place in range(2)}))
    tracemalloc.start()
    with path.open("rb") as file:
        opened = open_caffemodel(file)
        total = sum(float(piece.sum()) for blobs in opened.layers.values() for piece in opened.pieces(blobs[0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 2 * big.size
    assert peak < path.stat().st_size / 3


@pytest.mark.parametrize("data", [b"not a model at all", b"\xff" * 40])
def test_what_is_no_caffemodel_is_refused(data: bytes) -> None:
    with pytest.raises(EngineError, match=r"no \.caffemodel"):
        read_caffemodel(data)


def test_a_file_without_weights_or_with_too_few_numbers_is_refused() -> None:
    with pytest.raises(EngineError, match="has no weights in any layer"):
        read_caffemodel(caffe_pb2.NetParameter(name="empty").SerializeToString())
    short = caffe_pb2.NetParameter()
    blob = short.layer.add(name="conv1", type="Convolution").blobs.add(data=[1.0, 2.0])
    blob.shape.dim.extend([2**40, 2**40])
    with pytest.raises(EngineError, match=r"conv1: expected 1099511627776 × 1099511627776 numbers, found 2"):
        read_caffemodel(short.SerializeToString())
