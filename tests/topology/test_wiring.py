"""Phases, rules, blobs."""

import pytest

from app.topology import caffe_pb2
from app.topology.net import Net, Phase
from app.topology.text import read
from app.topology.wiring import meets, wire
from tests.topology.texts import SMALL, issues_of


def layer(name: str, bottom: str, top: str, more: str = "", type: str = "ReLU") -> str:
    bottoms = " ".join(f'bottom: "{blob}"' for blob in bottom.split())
    tops = " ".join(f'top: "{blob}"' for blob in top.split())
    return f'layer {{ name: "{name}" type: "{type}" {bottoms} {tops} {more} }}\n'


def names(net: Net) -> list[str]:
    return [layer.name for layer in net.layers]


def test_phases_have_their_own_layers_and_outputs() -> None:
    source = read(SMALL)

    assert names(source.net(Phase.TRAIN)) == ["conv", "relu", "ip", "loss"]
    assert names(source.net(Phase.TEST)) == ["conv", "relu", "ip", "loss", "accuracy"]
    assert source.net(Phase.TRAIN).outputs == ("loss",)
    assert source.net(Phase.TEST).outputs == ("loss", "accuracy")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, True),
        ({"phase": caffe_pb2.TRAIN}, True),
        ({"phase": caffe_pb2.TEST}, False),
        ({"min_level": 2}, True),
        ({"min_level": 3}, False),
        ({"max_level": 2}, True),
        ({"max_level": 1}, False),
        ({"stage": ["a"]}, True),
        ({"stage": ["a", "b"]}, True),
        ({"stage": ["a", "c"]}, False),
        ({"not_stage": ["c"]}, True),
        ({"not_stage": ["a"]}, False),
        ({"phase": caffe_pb2.TRAIN, "stage": ["c"]}, False),
    ],
)
def test_a_rule_is_met_when_all_that_it_mentions_holds(rule: dict[str, object], expected: bool) -> None:
    assert meets(caffe_pb2.NetStateRule(**rule), Phase.TRAIN, ("a", "b"), level=2) is expected


@pytest.mark.parametrize(
    ("rules", "phases"),
    [
        ("", {Phase.TRAIN, Phase.TEST}),
        ("include { phase: TRAIN }", {Phase.TRAIN}),
        ("exclude { phase: TRAIN }", {Phase.TEST}),
        ("include { phase: TRAIN } include { phase: TEST }", {Phase.TRAIN, Phase.TEST}),
        ("exclude { phase: TRAIN } exclude { phase: TEST }", set()),
        ('include { stage: "train" }', {Phase.TRAIN}),  # DIGITS
        ('include { stage: "val" }', {Phase.TEST}),
        ('include { stage: "deploy" }', set()),
        ('exclude { stage: "deploy" }', {Phase.TRAIN, Phase.TEST}),
        ("include { min_level: 1 }", set()),
    ],
)
def test_rules_choose_the_phases_of_a_layer(rules: str, phases: set[Phase]) -> None:
    source = read(layer("x", "data", "x", rules))

    assert {phase for phase in Phase if names(source.net(phase))} == phases


def test_stages_and_level_may_be_given() -> None:
    source = read(
        layer("a", "data", "a", 'include { stage: "deploy" }') + layer("b", "data", "b", "include { min_level: 1 }")
    )

    assert names(source.net(Phase.TEST, ("deploy",))) == ["a"]
    assert names(source.net(Phase.TEST, (), level=1)) == ["b"]


def test_inputs_are_the_tops_of_data_layers_with_the_label_second() -> None:
    text = (
        layer("d", "", "label image", type="Data") + layer("e", "", "extra", type="HDF5Data") + layer("r", "image", "r")
    )

    assert read(text).net(Phase.TRAIN).inputs == ("image", "label", "extra")


def test_a_phase_without_data_layers_takes_those_of_the_other() -> None:
    text = layer("d", "", "picture label", "include { phase: TRAIN }", type="ImageData") + layer("r", "picture", "r")

    assert read(text).net(Phase.TEST).inputs == ("picture", "label")


def test_a_text_without_data_layers_is_fed_data_and_label() -> None:
    assert read(layer("r", "data", "r")).net(Phase.TRAIN).inputs == ("data", "label")


def test_layers_in_place_keep_their_blob() -> None:
    net = read(SMALL).net(Phase.TRAIN)

    assert net.layers[1].bottoms == net.layers[1].tops == ("conv",)


def test_a_blob_may_be_read_before_and_after_it_is_changed_in_place() -> None:
    text = layer("a", "data", "a") + layer("b", "a", "b") + layer("r", "a", "a") + layer("c", "a", "c")

    assert read(text).net(Phase.TRAIN).outputs == ("b", "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (layer("r", "datta", "r"), [(1, 'r: nobody makes the blob "datta"; is "data" meant?')]),
        (
            layer("a", "b", "a") + layer("b", "data", "b"),
            [(1, 'a: the blob "b" is made only by a later layer'), (2, "b: ")],
        ),
        (layer("a", "data", "x") + layer("b", "data", "x"), [(2, 'b: the blob "x" is already made by a')]),
        (
            layer("a", "data", "data2") + layer("b", "data2", "data"),
            [(2, 'b: the blob "data" is already made by the data')],
        ),
        (layer("a", "data", "x x", type="Split"), [(1, 'a: the blob "x" is already made by a')]),
        (
            layer("d", "", "data", type="Data") + layer("e", "", "data", type="Data"),
            [(2, 'e: the blob "data" is already made by the data')],
        ),
        (
            layer("c", "data", "a", type="InnerProduct") + layer("c", "a", "b", type="InnerProduct"),
            [(2, 'another layer is called "c" already')],
        ),
    ],
)
def test_blobs_that_do_not_fit_are_named(text: str, expected: list[tuple[int, str]]) -> None:
    found = [(line, message) for line, _, message in issues_of(text)]

    for (line, message), (expected_line, start) in zip(found, expected, strict=False):
        assert (line, message[: len(start)]) == (expected_line, start)
    assert found


def test_each_missing_blob_is_complained_about_once() -> None:
    text = "".join(layer(f"r{index}", "nowhere", f"r{index}") for index in range(5))

    assert len(issues_of(text)) == 1


def test_layers_without_weights_may_share_a_name_and_are_told_apart() -> None:
    wired = wire(read(layer("r", "data", "a") + layer("r", "a", "b")), Phase.TRAIN)

    assert names(wired.net) == ["r", "r_2"]
    assert wired.remarks[0].line == 2


def test_layers_without_a_name_get_one() -> None:
    assert names(read('\nlayer { type: "ReLU" bottom: "data" top: "a" }').net(Phase.TRAIN)) == ["ReLU_2"]
