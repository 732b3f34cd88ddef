"""The messages: Caffe's numbers, and code that the installed protobuf runs."""

import re
from pathlib import Path

import google.protobuf
import pytest

from app.topology import caffe_pb2

# From Caffe's own caffe.proto: what a file of somebody else's is made of.
NUMBERS = {
    "BlobProto": {"shape": 7, "data": 5, "diff": 6, "double_data": 8, "num": 1, "channels": 2, "height": 3, "width": 4},
    "Datum": {"channels": 1, "height": 2, "width": 3, "data": 4, "label": 5, "float_data": 6, "encoded": 7},
    "NetParameter": {"name": 1, "input": 3, "input_shape": 8, "input_dim": 4, "layers": 2, "layer": 100},
    "LayerParameter": {
        "name": 1, "type": 2, "bottom": 3, "top": 4, "loss_weight": 5, "param": 6, "blobs": 7, "include": 8,
        "exclude": 9, "phase": 10, "propagate_down": 11, "transform_param": 100, "loss_param": 101,
        "accuracy_param": 102, "concat_param": 104, "convolution_param": 106, "data_param": 107, "dropout_param": 108,
        "eltwise_param": 110, "inner_product_param": 117, "lrn_param": 118, "mvn_param": 120, "pooling_param": 121,
        "power_param": 122, "relu_param": 123, "softmax_param": 125, "slice_param": 126, "prelu_param": 131,
        "reshape_param": 133, "flatten_param": 135, "reduction_param": 136, "tile_param": 138, "batch_norm_param": 139,
        "elu_param": 140, "bias_param": 141, "scale_param": 142, "input_param": 143, "crop_param": 144,
    },
    "V1LayerParameter": {
        "bottom": 2, "top": 3, "name": 4, "type": 5, "blobs": 6, "blobs_lr": 7, "weight_decay": 8, "concat_param": 9,
        "convolution_param": 10, "data_param": 11, "dropout_param": 12, "inner_product_param": 17, "lrn_param": 18,
        "pooling_param": 19, "include": 32, "loss_weight": 35, "transform_param": 36, "param": 1001,
    },
    "ConvolutionParameter": {
        "num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6, "weight_filler": 7,
        "bias_filler": 8, "pad_h": 9, "pad_w": 10, "kernel_h": 11, "kernel_w": 12, "stride_h": 13, "stride_w": 14,
        "engine": 15, "axis": 16, "dilation": 18,
    },
    "PoolingParameter": {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "global_pooling": 12, "round_mode": 13},
    "TransformationParameter": {"scale": 1, "mirror": 2, "crop_size": 3, "mean_file": 4, "mean_value": 5},
    "SolverParameter": {
        "test_iter": 3, "test_interval": 4, "base_lr": 5, "display": 6, "max_iter": 7, "lr_policy": 8, "gamma": 9,
        "power": 10, "momentum": 11, "weight_decay": 12, "stepsize": 13, "snapshot": 14, "net": 24, "stepvalue": 34,
        "clip_gradients": 35, "iter_size": 36, "rms_decay": 38, "momentum2": 39, "type": 40,
    },
}  # fmt: skip


@pytest.mark.parametrize("message", NUMBERS)
def test_fields_have_the_numbers_of_caffe(message: str) -> None:
    fields = getattr(caffe_pb2, message).DESCRIPTOR.fields_by_name

    assert {name: fields[name].number for name in NUMBERS[message]} == NUMBERS[message]


def test_a_datum_has_the_bytes_that_caffe_writes() -> None:
    datum = caffe_pb2.Datum(channels=3, height=2, width=1, data=b"\x01\x02", label=7, encoded=True)

    # number << 3 | wire type, then the value
    assert datum.SerializeToString() == bytes([8, 3, 16, 2, 24, 1, 34, 2, 1, 2, 40, 7, 56, 1])


def test_the_generated_code_is_not_newer_than_the_oldest_protobuf_allowed() -> None:
    code = Path(caffe_pb2.__file__).read_text()
    generated = tuple(map(int, re.search(r"Protobuf Python Version: (\d+)\.(\d+)", code).groups()))

    assert generated <= (6, 31)
    assert generated <= tuple(map(int, google.protobuf.__version__.split(".")[:2]))


def test_the_generated_code_belongs_to_the_proto_file() -> None:
    proto = (Path(caffe_pb2.__file__).parent / "caffe.proto").read_text()
    written = set(re.findall(r"^message (\w+)", proto, re.MULTILINE))

    assert written == set(caffe_pb2.DESCRIPTOR.message_types_by_name)
    for name in written:
        body = re.search(rf"^message {name} {{\n(.*?)^}}", proto, re.MULTILINE | re.DOTALL).group(1)
        fields = re.findall(r"^  (?:optional|repeated) [\w.]+ (\w+) = (\d+)", body, re.MULTILINE)
        descriptor = caffe_pb2.DESCRIPTOR.message_types_by_name[name]
        assert {field: int(number) for field, number in fields} == {f.name: f.number for f in descriptor.fields}
