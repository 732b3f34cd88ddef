"""The editor's report: layers, totals, faults and remarks with their places."""

import time

import pytest
from google.protobuf import text_format

from app.topology import caffe_pb2
from app.topology.check import Report, check
from app.topology.errors import Issue
from app.topology.net import Phase
from app.topology.zoo import zoo_entry
from tests.topology.texts import SMALL


def report_on(text: str, *, channels: int = 1, size: int = 8, classes: int = 10, batch_size: int = 2) -> Report:
    return check(text, channels, size, size, classes, batch_size)


def errors(text: str, **facts: int) -> list[str]:
    return [str(issue) for issue in report_on(text, **facts).errors]


def warnings(text: str, **facts: int) -> list[str]:
    report = report_on(text, **facts)
    assert report.errors == []
    return [str(issue) for issue in report.warnings]


def test_layers_are_listed_with_everything_the_table_shows() -> None:
    report = report_on(SMALL)

    assert [(row.name, row.type, row.shapes, row.line) for row in report.layers] == [
        ("conv", "Convolution", ((2, 4, 6, 6),), 4),
        ("relu", "ReLU", ((2, 4, 6, 6),), 8),
        ("ip", "InnerProduct", ((2, 10),), 9),
        ("loss", "SoftmaxWithLoss", ((),), 10),
        ("accuracy", "Accuracy", ((),), 11),
    ]
    conv, relu, product, loss, accuracy = report.layers
    assert [row.parameters for row in report.layers] == [40, 0, 1450, 0, 0]
    assert [conv.activations_bytes, relu.activations_bytes, product.activations_bytes] == [2 * 4 * 36 * 4, 0, 80]
    assert [conv.multiply_adds, product.multiply_adds] == [36 * 4 * 9, 1440]  # of one image
    assert loss.phases == (Phase.TRAIN, Phase.TEST)
    assert accuracy.phases == (Phase.TEST,)


def test_totals_are_those_of_the_layers() -> None:
    report = report_on(SMALL)

    assert (report.name, report.parameters, report.deployed_parameters) == ("small", 1490, 1490)
    assert report.multiply_adds == 36 * 4 * 9 + 1440
    assert report.activations_bytes == sum(row.activations_bytes for row in report.layers)
    assert (report.errors, report.warnings) == ([], [])


def test_a_kernel_larger_than_its_input_is_named_at_its_line() -> None:
    report = report_on(SMALL.replace("kernel_size: 3", "kernel_size: 11"))

    assert report.errors == [Issue(6, 38, "conv: kernel_size 11 exceeds its input 8×8")]
    assert str(report.errors[0]) == "conv: kernel_size 11 exceeds its input 8×8 (line 6)"
    assert Issue(1, 1, "images of 28×28 fit this net; these are 8×8") in report.warnings


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"conv" top: "ip"', '"cnov" top: "ip"', 'ip: nobody makes the blob "cnov"; is "conv" meant? (line 9)'),
        ('type: "InnerProduct"', 'type: "Dense"', 'ip: unknown layer type "Dense" (line 9)'),
        ("num_output: 10", "num_output: 0", "ip: num_output is missing (line 9)"),
        ("num_output: 10", "num_output: 3000000000", "ip: its output 2×3000000000 would be 6,000,000,000 numbers"),
        ("num_output: 10", "num_output: 3", 'loss: "ip" has 3 scores, the dataset has 10 classes (line 10)'),
        ("num_output: 10", "num_output: ten", "couldn't parse integer: ten (line 9)"),
        ('type: "SoftmaxWithLoss"', 'type: "Eltwise"', "loss: its inputs differ: ip is 2×10, label is 2 (line 10)"),
        ("}\nlayer { name: \"loss\"", "\nlayer { name: \"loss\"", 'unknown field "layer" in LayerParameter (line 10)'),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_line(old: str, new: str, expected: str) -> None:
    assert old in SMALL
    found = errors(SMALL.replace(old, new))

    assert found[0].startswith(expected)


def test_a_fault_does_not_hide_faults_elsewhere() -> None:
    text = SMALL.replace("kernel_size: 3", "kernel_size: 11").replace('type: "Accuracy"', 'type: "Acuracy"')

    assert errors(text) == [
        "conv: kernel_size 11 exceeds its input 8×8 (line 6)",
        'accuracy: unknown layer type "Acuracy"; is "Accuracy" meant? (line 11)',
    ]


def test_layers_before_a_fault_keep_their_shapes() -> None:
    report = report_on(SMALL.replace("num_output: 10", "num_output: 0"))

    assert [row.name for row in report.layers] == ["conv", "relu"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no loss layer in phase TRAIN: there is nothing to learn from (line 1)"),
        (SMALL.replace('top: "loss"', 'top: "loss" loss_weight: 0'), "no loss layer in phase TRAIN"),
        ('layer { name: "l" type: "EuclideanLoss" bottom: "data" bottom: "data" }', "no layer has parameters"),
        ('layer { name: "l" type: "EuclideanLoss" bottom: "data" bottom: "x" }', 'l: nobody makes the blob "x"'),
    ],
)
def test_a_net_that_cannot_learn_is_an_error(text: str, expected: str) -> None:
    assert errors(text)[0].startswith(expected)


def test_scores_for_more_classes_than_there_are_is_only_remarked() -> None:
    assert warnings(SMALL, classes=7) == ['loss: "ip" has 10 scores, the dataset has 7 classes (line 10)']


def test_a_blank_classifier_is_filled_before_anything_is_checked() -> None:
    text = SMALL.replace("num_output: 10", "")

    assert [row.shapes for row in report_on(text, classes=7).layers if row.name == "ip"] == [((2, 7),)]
    assert warnings(text, classes=7) == []


def test_an_accuracy_of_too_many_best_classes_is_left_out_with_a_remark() -> None:
    text = SMALL.replace("num_output: 10", "").replace('top: "accuracy"', 'top: "accuracy" accuracy_param { top_k: 5 }')

    assert warnings(text, classes=3) == [
        "no Accuracy layer in phase TEST: no accuracy can be shown (line 1)",
        "accuracy: top_k 5 is left out, there are only 3 classes (line 11)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("e: 3 }", "e: 3 stride: 2 }", "conv: stride 2 leaves 1 of 8 rows and 1 of 8 columns unread (line 4)"),
        ("e: 3 }", "e: 3 } pooling_param { }", "conv: pooling_param has no effect on a Convolution (line 4)"),
        ('bottom: "conv" top: "conv"', 'bottom: "conv" top: "x"', 'relu: no layer reads the blob "x" (line 8)'),
        (
            '"relu" type',
            '"conv" type',
            'another layer is called "conv" already; this one is shown as "conv_2" (line 8)',
        ),
    ],
)
def test_what_is_odd_is_remarked(old: str, new: str, expected: str) -> None:
    assert old in SMALL
    assert warnings(SMALL.replace(old, new)) == [expected]


def test_a_net_that_shrinks_to_nothing_is_remarked() -> None:
    text = SMALL.replace("kernel_size: 3 }", "kernel_size: 3  pad: 1 }")

    assert warnings(text, size=1) == ["conv: its input has shrunk to 1×1 (line 4)"]
    assert warnings(text, size=2) == []


@pytest.mark.parametrize(
    "sizes",
    [
        *((0, 8, 8, 10, 1), (3, 0, 8, 10, 1), (3, 8, -1, 10, 1), (3, 8, 8, 0, 1), (3, 8, 8, 10, 0)),
        (3, 10**7, 10**7, 10, 1),
        (3, 8, 8, 10**12, 1),
    ],
)
def test_sizes_that_are_none_are_refused(sizes: tuple[int, ...]) -> None:
    report = check(SMALL, *sizes)

    assert [issue.line for issue in report.errors] == [1]
    assert "expected positive sizes that fit into memory" in report.errors[0].message


def test_a_net_without_answer_can_be_trained_but_not_deployed() -> None:
    text = """
    layer { name: "in" type: "Input" top: "data" top: "target" input_param { shape { dim: 1 dim: 4 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "target" top: "ip" inner_product_param { num_output: 1 } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" }"""

    assert "prediction is not possible" in " ".join(warnings(text))


def test_a_third_blob_that_no_dataset_feeds_is_an_error() -> None:
    text = SMALL.replace('top: "label" include { phase: TRAIN }', 'top: "label" top: "box" include { phase: TRAIN }')

    assert errors(text) == ['data: a dataset feeds an image and its label ("data" and "label"), but not "box" (line 2)']


def test_stages_of_digits_are_checked_as_digits_runs_them() -> None:
    text = """
    layer { name: "train-data" type: "Data" top: "data" top: "label" include { stage: "train" } }
    layer { name: "val-data" type: "Data" top: "data" top: "label" include { stage: "val" } }
    layer { name: "scale" type: "Power" bottom: "data" top: "scaled" power_param { scale: 0.0125 } }
    layer { name: "ip" type: "InnerProduct" bottom: "scaled" top: "ip" }
    layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { stage: "val" } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" exclude { stage: "deploy" } }
    layer { name: "softmax" type: "Softmax" bottom: "ip" top: "softmax" include { stage: "deploy" } }
    """
    report = report_on(text)

    assert (report.errors, report.warnings) == ([], [])
    assert [row.name for row in report.layers] == ["scale", "ip", "accuracy", "loss"]


def test_a_check_costs_little_more_than_reading_the_text() -> None:
    """An editor asks at every pause in typing. Protobuf's own reader, on the same text, is the measure."""
    text = zoo_entry("googlenet").prototxt
    check(text, 3, 224, 224, 1000)
    ratios = []
    for index in range(5):
        edited = text.replace("num_output: 192", f"num_output: {192 + index}", 1)
        started = time.thread_time()
        text_format.Parse(edited, caffe_pb2.NetParameter())
        read = time.thread_time()
        check(edited, 3, 224, 224, 1000)
        ratios.append((time.thread_time() - read) / (read - started))

    assert min(ratios) < 5
