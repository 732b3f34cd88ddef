from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from app.preprocessing import Channels, Preprocessing
from app.topology import caffe_pb2
from app.topology.writing import deploy_text
from tests.worker.export.deployed import arrays, deployed, images_for, probabilities, zoo_net
from worker.engine.errors import EngineError
from worker.export.caffemodel import caffemodel_bytes, named_blobs, read_caffemodel

# As small as each net allows, so that all of them run in seconds.
SIZES = {
    "lenet": 28, "cifar10-quick": 32, "alexnet": 99, "caffenet": 99, "googlenet": 96, "squeezenet": 64,
    "resnet18": 64, "resnet50": 64, "mobilenet": 64, "nin": 99,
}  # fmt: skip


def opencv(deploy: str, caffemodel: bytes) -> cv2.dnn.Net:
    return cv2.dnn.readNetFromCaffe(*[np.frombuffer(part, np.uint8) for part in (deploy.encode(), caffemodel)])


@pytest.mark.parametrize("name", SIZES)
def test_opencv_answers_as_we_do(name: str) -> None:
    text, net, preprocessing = zoo_net(name, SIZES[name])
    images = images_for(preprocessing)
    judge = opencv(deploy_text(text, preprocessing, 10), caffemodel_bytes(net.net, arrays(net)))
    expected = probabilities(net, images)
    for image, wanted in zip(images, expected, strict=True):
        judge.setInput(image[None])
        assert np.allclose(judge.forward().reshape(-1), wanted, atol=1e-4)
    assert expected.std(axis=0).max() > 1e-3  # the images are told apart at all


LAYERS = {
    "pooling with pads": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" '
    "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }",
    "max pooling rounded up": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" '
    "pooling_param { kernel_size: 2 stride: 2 } }",
    "lrn across": 'layer { name: "p" type: "LRN" bottom: "data" top: "p" lrn_param { local_size: 3 alpha: 0.5 } }',
    "deconvolution": 'layer { name: "p" type: "Deconvolution" bottom: "data" top: "p" convolution_param '
    '{ num_output: 3 kernel_size: 4 stride: 2 pad: 1 weight_filler { type: "xavier" } } }',
    "grouped, dilated": 'layer { name: "p" type: "Convolution" bottom: "data" top: "p" convolution_param '
    '{ num_output: 6 kernel_size: 3 group: 3 dilation: 2 weight_filler { type: "xavier" } } }',
    "rectangular": 'layer { name: "p" type: "Convolution" bottom: "data" top: "p" convolution_param '
    '{ num_output: 2 kernel_h: 3 kernel_w: 1 stride_h: 2 stride_w: 1 weight_filler { type: "xavier" } } }',
    "batch norm": 'layer { name: "p" type: "BatchNorm" bottom: "data" top: "p" }',
    "scale": 'layer { name: "p" type: "Scale" bottom: "data" top: "p" scale_param { bias_term: true '
    'filler { type: "gaussian" } } }',
    "prelu": 'layer { name: "p" type: "PReLU" bottom: "data" top: "p" }',
    "elu": 'layer { name: "p" type: "ELU" bottom: "data" top: "p" }',
    "leaky relu": 'layer { name: "p" type: "ReLU" bottom: "data" top: "p" relu_param { negative_slope: 0.3 } }',
    "sigmoid": 'layer { name: "p" type: "Sigmoid" bottom: "data" top: "p" }',
    "tanh": 'layer { name: "p" type: "TanH" bottom: "data" top: "p" }',
    "absval": 'layer { name: "p" type: "AbsVal" bottom: "data" top: "p" }',
    "bnll": 'layer { name: "p" type: "BNLL" bottom: "data" top: "p" }',
    "power": 'layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { power: 2 scale: 0.5 shift: 1 } }',
    "flatten": 'layer { name: "p" type: "Flatten" bottom: "data" top: "p" }',
    "reshape": 'layer { name: "p" type: "Reshape" bottom: "data" top: "p" '
    "reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }",
    "mvn": 'layer { name: "p" type: "MVN" bottom: "data" top: "p" }',
    "eltwise": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Eltwise" '
    'bottom: "data" bottom: "a" top: "p" eltwise_param { coeff: 2 coeff: -1 } }',
    "maximum": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Eltwise" '
    'bottom: "data" bottom: "a" top: "p" eltwise_param { operation: MAX } }',
    "concat": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Concat" '
    'bottom: "data" bottom: "a" top: "p" }',
    "slice": 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 } } '
    'layer { name: "q" type: "Silence" bottom: "b" } layer { name: "p" type: "TanH" bottom: "a" top: "p" }',
}


@pytest.mark.parametrize("name", LAYERS)
def test_single_layers_answer_as_in_opencv(name: str) -> None:
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 7 dim: 9 } } }\n'
        + LAYERS[name]
        + '\nlayer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param { num_output: 4 '
        'weight_filler { type: "gaussian" std: 0.2 } } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }'
    )
    preprocessing = Preprocessing(Channels.COLOR, 9, 7)
    net = deployed(text, preprocessing.input_shape)
    images = images_for(preprocessing)
    judge = opencv(deploy_text(text, preprocessing, 4), caffemodel_bytes(net.net, arrays(net)))
    for image, wanted in zip(images, probabilities(net, images), strict=True):
        judge.setInput(image[None])
        assert np.allclose(judge.forward().reshape(-1), wanted, atol=1e-4)


def test_what_is_written_and_read_back_has_equal_bits() -> None:
    _, net, _ = zoo_net("resnet18", 32)
    saved = arrays(net)
    found = named_blobs(list(saved), read_caffemodel(caffemodel_bytes(net.net, saved)))
    assert found.keys() == saved.keys()
    for name, array in saved.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], array), name


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


def test_running_statistics_travel_too() -> None:
    _, net, _ = zoo_net("mobilenet", 32)
    blobs = read_caffemodel(caffemodel_bytes(net.net, arrays(net)))
    norm = next(layer for layer in net.net.layers if layer.type == "BatchNorm")
    assert [blob.size for blob in blobs[norm.name]][2] == 1
    assert float(blobs[norm.name][2][0]) == 3.0
    assert torch.equal(torch.from_numpy(blobs[norm.name][0]), net.weights()[f"{norm.name}.mean"].value)
