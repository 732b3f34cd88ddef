"""Loaded layers frozen in the text itself: their rates, their statistics, and nothing else of it."""

from __future__ import annotations

import pytest

from app.topology.check import check
from app.topology.fine_tuning import loaded_layers, match_weights, trained_weights
from app.topology.fit import fit
from app.topology.freezing import Learning, freeze, learning
from app.topology.net import Phase
from app.topology.text import read
from app.topology.zoo import zoo, zoo_entry
from tests.topology.texts import SMALL

SIZES = {entry.id: max(entry.smallest_size, 32) for entry in zoo()}
NORMED = """name: "normed"
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { use_global_stats: false } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
ALL = {"conv1": 2, "bn1": 3, "scale1": 2, "conv2": 2, "bn2": 3}


def rates(text: str) -> dict[str, list[tuple[str, float, float]]]:
    """(name, lr_mult, decay_mult) of every param of a layer."""
    layers = read(text).net(Phase.TRAIN).layers
    return {layer.name: [(one.name, one.lr_mult, one.decay_mult) for one in layer.options.param] for layer in layers}


@pytest.mark.parametrize("name", SIZES)
def test_a_zoo_net_for_other_classes_learns_its_heads_only(name: str) -> None:
    entry = zoo_entry(name)
    assert entry is not None
    shape = (entry.channels, SIZES[name], SIZES[name])
    text = fit(entry.prototxt, 4)
    wanted = trained_weights(text, shape, 4)
    loaded = loaded_layers(match_weights(wanted, trained_weights(fit(entry.prototxt, 10), shape, 10)))
    frozen = freeze(text, loaded)
    found = learning(frozen, shape, 4)
    assert found.keys() == wanted.keys()
    learned = {weight for weight, one in found.items() if one is Learning.LEARNS}
    assert learned == {weight for weight in wanted if weight.rpartition(".")[0] not in loaded}
    assert Learning.COUNTED not in found.values()
    assert set(learning(text, shape, 4).values()) <= {Learning.LEARNS, Learning.COUNTED}
    assert not check(frozen, *shape, classes=4).errors
    assert [line for line in frozen.split("\n") if "#" in line] == [line for line in text.split("\n") if "#" in line]
    assert freeze(frozen, loaded) == frozen


def test_a_frozen_batch_norm_uses_what_was_loaded_whatever_the_text_said() -> None:
    frozen = freeze(NORMED, ALL)
    options = {layer.name: layer.options.batch_norm_param for layer in read(frozen).net(Phase.TRAIN).layers}
    assert options["bn1"].use_global_stats is options["bn2"].use_global_stats is True
    assert rates(frozen)["bn1"] == []
    assert rates(frozen)["scale1"] == [("", 0, 0)] * 2
    assert set(learning(frozen, (1, 8, 8), 10).values()) == set(Learning) - {Learning.COUNTED}


def test_a_batch_norm_above_a_layer_that_learns_goes_on_counting() -> None:
    """What was loaded describes other maps than those that the new layer makes."""
    found = learning(freeze(NORMED, {name: count for name, count in ALL.items() if name != "conv2"}), (1, 8, 8), 10)
    assert found["bn1.mean"] is Learning.KEPT
    assert (found["conv2.weight"], found["bn2.mean"]) == (Learning.LEARNS, Learning.COUNTED)
    below = learning(freeze(NORMED, {name: count for name, count in ALL.items() if name != "conv1"}), (1, 8, 8), 10)
    assert {below["bn1.mean"], below["bn2.mean"]} == {Learning.COUNTED}
    assert below["conv2.weight"] is Learning.FROZEN


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", "  param { lr_mult: 0  decay_mult: 0 }  param { lr_mult: 0  decay_mult: 0 }\n  conv"),
        ("param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 } ", "0 }  param { lr_mult: 0  decay_mult: 0 } conv"),
        ('param { name: "w{" lr_mult: 3 } ', 'param { name: "w{"  lr_mult: 0  decay_mult: 0 }  param { lr_mult: 0'),
        ("param: [{ lr_mult: 1 }, { lr_mult: 2 }], ", "param { lr_mult: 0  decay_mult: 0 } conv"),
        ("param <lr_mult: 1>; param: {lr_mult: 2}; ", "param { lr_mult: 0  decay_mult: 0 } conv"),
        ("# param { lr_mult: 7 }\n  param {\n    lr_mult: 1 # slow }\n  }\n  param { }\n  ", "# param { lr_mult: 7 }"),
    ],
)
def test_rates_are_replaced_where_they_stand(written: str, expected: str) -> None:
    text = SMALL.replace("  convolution_param", f"  {written}convolution_param")
    frozen = freeze(text, {"conv": 2})
    assert expected in frozen
    assert [one[1:] for one in rates(frozen)["conv"]] == [(0, 0), (0, 0)]
    assert rates(frozen)["ip"] == []
    before, after = read(text).net(Phase.TRAIN).layers, read(frozen).net(Phase.TRAIN).layers
    assert [layer.options.convolution_param for layer in after] == [layer.options.convolution_param for layer in before]


def test_a_layer_without_options_gets_its_rates_at_its_end() -> None:
    one_line = 'layer { name: "p" type: "PReLU" bottom: "conv" top: "conv" }\n'
    lines = 'layer {\n  name: "p"\n  type: "PReLU"\n  bottom: "conv" top: "conv"  # slopes\n}\n'
    for layer in (one_line, lines):
        frozen = freeze(SMALL.replace('layer { name: "relu" type', layer + 'layer { name: "relu" type'), {"p": 1})
        assert rates(frozen)["p"] == [("", 0, 0)]
    assert "# slopes\n  param { lr_mult: 0  decay_mult: 0 }\n}" in frozen


@pytest.mark.parametrize("names", [("w", "w"), ("w", "v")])
def test_weights_that_a_learning_layer_shares_go_on_learning(names: tuple[str, str]) -> None:
    """Caffe refuses two rates for one array."""
    text = SMALL.replace('top: "conv"\n', f'top: "conv" param {{ name: "{names[0]}" }}\n')
    second = f"""layer {{ name: "twin" type: "Convolution" bottom: "data" top: "twin" param {{ name: "{names[1]}" }}
      convolution_param {{ num_output: 4 kernel_size: 3 }} }}
    layer {{ name: "hush" type: "Silence" bottom: "twin" }}\n"""
    found = rates(freeze(text + second, {"conv": 2}))
    assert (found["conv"][0][1] == 0) == (names[0] != names[1])


def test_old_texts_and_lists_are_written_anew() -> None:
    old = """layers { name: "data" type: DATA top: "data" top: "label" }
    layers { name: "a" type: INNER_PRODUCT bottom: "data" top: "a" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
      inner_product_param { num_output: 7 } }
    layers { name: "b" type: INNER_PRODUCT bottom: "a" top: "b" inner_product_param { num_output: 7 } }
    layers { name: "loss" type: SOFTMAX_LOSS bottom: "b" bottom: "label" top: "loss" }"""
    listed = SMALL.replace("layer {\n  name", "layer: [{\n  name").replace(
        "kernel_size: 3 }\n}", "kernel_size: 3 }\n}]"
    )
    assert rates(freeze(old, {"a": 2}))["a"] == [("", 0, 0)] * 2
    assert rates(freeze(old, {"a": 2}))["b"] == []
    assert rates(freeze(listed, {"conv": 2}))["conv"] == [("", 0, 0)] * 2


def test_a_text_in_which_nothing_learns_is_a_fault() -> None:
    frozen = freeze(SMALL, {"conv": 2, "ip": 2})
    errors = check(frozen, 1, 8, 8, classes=10).errors
    assert [issue.message for issue in errors] == [
        "every layer with parameters has lr_mult 0: there is nothing to learn"
    ]
    assert learning("layer {", (1, 8, 8), 10) == {}
