"""The texts of a download: read back by us, and by OpenCV as Caffe would."""

from dataclasses import replace

import numpy as np
import pytest

from app.preprocessing import Channels, MeanMode, Preprocessing
from app.topology import caffe_pb2
from app.topology.check import check
from app.topology.errors import TopologyError
from app.topology.net import Phase
from app.topology.shapes import infer
from app.topology.text import read
from app.topology.writing import deploy_text, train_val_text
from app.topology.zoo import zoo, zoo_entry
from tests.topology.texts import SMALL, opencv_net, randomly_weighted

GREY = Preprocessing(Channels.GRAY, 28, 28, scale=0.00390625)
COLOR = Preprocessing(Channels.COLOR, 256, 256, crop_size=227, mirror=True, mean=MeanMode.IMAGE)


def data_layers(text: str) -> list[caffe_pb2.LayerParameter]:
    return [layer.options for layer in read(text).layers if layer.options.type == "Data"]


def test_train_val_has_the_data_layers_of_the_dataset() -> None:
    train, test = data_layers(train_val_text(zoo_entry("lenet").prototxt, GREY, 10, 64, 100))

    assert [list(rule.include) for rule in (train, test)] == [
        [caffe_pb2.NetStateRule(phase=caffe_pb2.TRAIN)],
        [caffe_pb2.NetStateRule(phase=caffe_pb2.TEST)],
    ]
    assert (train.data_param.source, test.data_param.source) == ("train.lmdb", "val.lmdb")
    assert (train.data_param.batch_size, test.data_param.batch_size) == (64, 100)
    assert train.data_param.backend == caffe_pb2.DataParameter.LMDB
    assert (train.transform_param.scale, train.transform_param.mirror) == (0.00390625, False)  # the case study's
    assert list(train.top) == ["data", "label"]


def test_the_transform_is_that_of_the_preprocessing() -> None:
    train, test = data_layers(train_val_text(zoo_entry("alexnet").prototxt, COLOR, 10))

    assert (train.transform_param.mirror, test.transform_param.mirror) == (True, False)
    assert (train.transform_param.crop_size, test.transform_param.crop_size) == (227, 227)
    assert train.transform_param.mean_file == "mean.binaryproto"
    pixel = replace(COLOR, mean=MeanMode.PIXEL, mean_values=(104.0, 117.0, 123.0))
    train, _ = data_layers(train_val_text(zoo_entry("alexnet").prototxt, pixel, 10))
    assert list(train.transform_param.mean_value) == [104, 117, 123]


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
def test_train_val_is_the_net_that_was_given(entry) -> None:
    size = entry.image_size
    preprocessing = Preprocessing(Channels.GRAY if entry.channels == 1 else Channels.COLOR, size, size)
    text = train_val_text(entry.prototxt, preprocessing, entry.published_classes)
    report = check(text, entry.channels, size, size, entry.published_classes)

    assert report.errors == []
    assert report.parameters == entry.published_parameters
    for phase in Phase:
        ours, given = read(text).net(phase), read(entry.prototxt).net(phase)
        assert [(layer.name, layer.type, layer.bottoms, layer.tops) for layer in ours.layers] == [
            (layer.name, layer.type, layer.bottoms, layer.tops) for layer in given.layers
        ]


def test_old_forms_stages_and_names_left_out_are_written_in_todays_form() -> None:
    text = """
    layers { name: "d" type: DATA top: "data" top: "label" }
    layers { type: INNER_PRODUCT bottom: "data" top: "ip" }
    layers { name: "val" type: ACCURACY bottom: "ip" bottom: "label" top: "acc" include { stage: "val" } }
    layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" }
    layers { name: "never" type: RELU bottom: "ip" top: "x" include { stage: "deploy" } }
    """
    source = read(train_val_text(text, GREY, 10))

    assert not source.has_old_form
    assert [(layer.options.name, list(layer.options.top)) for layer in source.layers[2:]] == [
        ("InnerProduct_3", ["ip"]),
        ("val", ["acc"]),
        ("loss", ["loss"]),
    ]
    assert [rule.phase for rule in source.layers[3].options.include] == [caffe_pb2.TEST]
    assert not source.layers[3].options.include[0].stage


def test_deploy_begins_with_an_input_of_the_cropped_size_and_says_how_to_fill_it() -> None:
    text = deploy_text(zoo_entry("alexnet").prototxt, COLOR, 10)
    source = read(text)

    assert text.startswith(
        "# Input: BGR pixels from 0 to 255 minus the mean image (mean.binaryproto), times 1; 227 wide"
    )
    assert source.layers[0].options.type == "Input"
    assert list(source.layers[0].options.input_param.shape[0].dim) == [1, 3, 227, 227]
    net = source.net(Phase.TEST)
    assert infer(net, {"data": (1, 3, 227, 227)}).blobs["prob"] == (1, 10)


def test_deploy_has_nothing_that_only_training_needs() -> None:
    text = deploy_text(zoo_entry("googlenet").prototxt, COLOR, 10)

    for word in ("filler", "lr_mult", "include", "loss", "label", "phase"):
        assert word not in text.replace("loss3/classifier", "")


def test_names_of_shared_weights_stay_in_deploy() -> None:
    text = SMALL.replace(
        "num_output: 4  kernel_size: 3 }", 'num_output: 4  kernel_size: 3 } param { name: "w" lr_mult: 2 }'
    )
    conv = read(deploy_text(text, GREY, 10)).layers[1].options

    assert [(param.name, param.HasField("lr_mult")) for param in conv.param] == [("w", False)]


def test_names_of_any_script_are_written_readably() -> None:
    text = deploy_text(SMALL.replace('"conv"', '"畳み込み \\"1\\""'), GREY, 10)

    assert '"畳み込み \\"1\\""' in text
    assert read(text).net(Phase.TEST).layers[0].name == '畳み込み "1"'


def test_a_text_that_cannot_be_wired_is_refused() -> None:
    for write in (train_val_text, deploy_text):
        with pytest.raises(TopologyError):
            write(SMALL.replace('bottom: "conv" top: "ip"', 'bottom: "x" top: "ip"'), GREY, 10)


def test_opencv_computes_lenet_from_our_files() -> None:
    """Two files of ours, one forward of theirs, against the same sums written out in numpy."""
    text = zoo_entry("lenet").prototxt
    weights, _ = randomly_weighted(text, (1, 28, 28), 10)
    image = np.random.default_rng(1).random((1, 1, 28, 28), np.float32)
    net = opencv_net(deploy_text(text, GREY, 10), weights)
    net.setInput(image)

    np.testing.assert_allclose(net.forward(), lenet(image, weights), atol=1e-5)


def lenet(image: np.ndarray, message: caffe_pb2.NetParameter) -> np.ndarray:
    arrays = {
        layer.name: [np.array(blob.data, np.float64).reshape(blob.shape.dim) for blob in layer.blobs]
        for layer in message.layer
    }

    def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))
        return np.einsum("nchwij,ocij->nohw", views, weight) + bias[:, None, None]

    def halved(x: np.ndarray) -> np.ndarray:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))

    x = halved(convolved(image, *arrays["conv1"]))
    x = halved(convolved(x, *arrays["conv2"])).reshape(1, -1)
    x = np.maximum(x @ arrays["ip1"][0].T + arrays["ip1"][1], 0)
    x = x @ arrays["ip2"][0].T + arrays["ip2"][1]
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()
