"""What changed between two versions."""

import pytest

from app.topology.difference import Change, LayerChange, compare
from app.topology.text import read
from app.topology.zoo import zoo, zoo_entry
from tests.topology.texts import SMALL


def changes(old: str, new: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(str(change.change), change.name, change.details) for change in compare(read(old), read(new))]


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
def test_a_text_does_not_differ_from_itself_laid_out_otherwise(entry) -> None:
    assert compare(read(entry.prototxt), read("# new\n" + entry.prototxt.replace("  ", " "))) == []


@pytest.mark.parametrize(
    ("old", "new", "details"),
    [
        ("kernel_size: 3", "kernel_size: 5", ("convolution_param.kernel_size: 3 → 5",)),
        ("kernel_size: 3", "kernel_size: 3 stride: 2", ("convolution_param.stride: not given → 2",)),
        ("kernel_size: 3", "kernel_h: 3 kernel_w: 3", (
            "convolution_param.kernel_size: 3 → not given",
            "convolution_param.kernel_h: not given → 3",
            "convolution_param.kernel_w: not given → 3",
        )),
        ("kernel_size: 3", "kernel_size: 3 bias_term: false", ("convolution_param.bias_term: not given → false",)),
        ("kernel_size: 3 }", "kernel_size: 3 } param { lr_mult: 0.1 }", ("param[1].lr_mult: not given → 0.1",)),
        ('type: "Convolution"', 'type: "Deconvolution"', ("type: Convolution → Deconvolution",)),
    ],
)  # fmt: skip
def test_changed_options_are_named_with_both_values(old: str, new: str, details: tuple[str, ...]) -> None:
    assert changes(SMALL, SMALL.replace(old, new)) == [("changed", "conv", details)]


def test_added_and_removed_layers_stand_where_they_are() -> None:
    lines = SMALL.splitlines()
    with_dropout = "\n".join(
        [*lines[:8], 'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }', *lines[8:]]
    )

    assert compare(read(SMALL), read(with_dropout)) == [LayerChange(Change.ADDED, "drop", "Dropout", None, 9)]
    assert compare(read(with_dropout), read(SMALL)) == [LayerChange(Change.REMOVED, "drop", "Dropout", 9, None)]


def test_a_renamed_layer_is_removed_and_added() -> None:
    assert changes(SMALL, SMALL.replace('name: "relu"', 'name: "activation"')) == [
        ("added", "activation", ()),
        ("removed", "relu", ()),
    ]


def test_a_layer_at_another_place_is_moved() -> None:
    lines = SMALL.splitlines()
    exchanged = "\n".join([*lines[:9], lines[10], lines[9]])

    assert changes(SMALL, exchanged) in ([("moved", "loss", ())], [("moved", "accuracy", ())])


def test_data_layers_of_one_name_are_told_apart_by_phase() -> None:
    new = SMALL.replace(
        "include { phase: TEST } }\nlayer {\n", "include { phase: TEST } transform_param { scale: 2 } }\nlayer {\n"
    )

    assert changes(SMALL, new) == [("changed", "data", ("transform_param.scale: not given → 2",))]


def test_alexnet_and_caffenet_differ_in_the_order_of_pools_and_in_biases() -> None:
    found = compare(read(zoo_entry("alexnet").prototxt), read(zoo_entry("caffenet").prototxt))

    assert {change.name for change in found} == {
        "pool1",
        "norm1",
        "conv2",
        "pool2",
        "norm2",
        "conv3",
        "conv4",
        "conv5",
        "fc6",
        "fc7",
    }
