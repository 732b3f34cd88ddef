"""Which weights start a new net: by name and shape, a layer as a whole or not at all."""

from __future__ import annotations

import pytest

from app.preprocessing import Preprocessing
from app.topology.check import check
from app.topology.errors import TopologyError
from app.topology.fine_tuning import Fate, count_fates, match_weights, trained_weights
from app.topology.fit import fit
from app.topology.net import Phase
from app.topology.retraining import retrainable
from app.topology.text import read
from app.topology.writing import deploy_text
from app.topology.zoo import zoo, zoo_entry
from tests.topology.texts import SMALL

SIZES = {entry.id: max(entry.smallest_size, 32) for entry in zoo()}


def test_a_bias_is_not_taken_without_its_weights() -> None:
    table = match_weights({"ip.weight": (3, 9), "ip.bias": (3,)}, {"ip.weight": (3, 8), "ip.bias": (3,)})
    assert [entry.fate for entry in table] == [Fate.NEW, Fate.NEW]
    assert table[0].reason == "expected 3×9, found 3×8"
    assert table[1].reason == "another weight of ip does not fit"


def test_renamed_layers_are_new_and_the_old_ones_left_out() -> None:
    table = match_weights({"fc/retrain.weight": (3, 9)}, {"fc.weight": (3, 9)})
    assert [(entry.name, entry.fate, entry.reason) for entry in table] == [
        ("fc/retrain.weight", Fate.NEW, "not among the weights given"),
        ("fc.weight", Fate.LEFT_OUT, "the new net has no such weights"),
    ]
    assert count_fates(table) == {Fate.LOADED: 0, Fate.NEW: 1, Fate.LEFT_OUT: 1}


def test_a_vector_that_an_old_file_writes_with_four_axes_fits() -> None:
    assert [entry.fate for entry in match_weights({"ip.bias": (6,)}, {"ip.bias": (1, 1, 1, 6)})] == [Fate.LOADED]


def test_the_weights_of_a_text_are_those_that_it_is_trained_with() -> None:
    assert trained_weights(SMALL, (1, 8, 8), 10) == {
        "conv.weight": (4, 1, 3, 3), "conv.bias": (4,), "ip.weight": (10, 144), "ip.bias": (10,),
    }  # fmt: skip
    assert trained_weights("layer {", (1, 8, 8), 10) == {}


@pytest.mark.parametrize("name", SIZES)
def test_a_zoo_net_made_ready_for_another_dataset_keeps_all_but_its_heads(name: str) -> None:
    entry = zoo_entry(name)
    assert entry is not None
    shape = (entry.channels, SIZES[name], SIZES[name])
    before = fit(entry.prototxt, 10)
    again = retrainable(before)
    table = match_weights(trained_weights(again, shape, 4), trained_weights(before, shape, 10))
    lost = {entry.layer for entry in table if entry.fate is not Fate.LOADED}
    assert len(lost) == (3 if name == "googlenet" else 1)
    assert not check(again, *shape, classes=4).errors
    assert match_weights(trained_weights(again, shape, 10), trained_weights(before, shape, 10))[-1].fate is Fate.LOADED


@pytest.mark.parametrize("name", ["lenet", "squeezenet", "resnet18"])
def test_a_text_that_only_predicts_gets_something_to_learn(name: str) -> None:
    entry = zoo_entry(name)
    assert entry is not None
    preprocessing = Preprocessing.from_dict(
        {"channels": "gray" if entry.channels == 1 else "color", "width": SIZES[name], "height": SIZES[name]}
    )
    text = retrainable(deploy_text(entry.prototxt, preprocessing, 10))
    report = check(text, *preprocessing.input_shape, classes=4)
    assert report.errors == []
    net = read(fit(text, 4)).net(Phase.TRAIN)
    assert net.inputs == ("data", "label")
    given = trained_weights(fit(entry.prototxt, 10), preprocessing.input_shape, 10)
    counts = count_fates(match_weights(trained_weights(text, preprocessing.input_shape, 4), given))
    assert counts[Fate.LOADED] == len(given) - 2


def test_an_old_text_that_only_predicts_is_written_anew() -> None:
    old = """input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
    layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 7 } }
    layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }"""
    assert trained_weights(retrainable(old), (1, 8, 8), 3) == {"ip.weight": (3, 64), "ip.bias": (3,)}


def test_what_cannot_be_read_is_not_made_ready() -> None:
    with pytest.raises(TopologyError):
        retrainable("layer { name: ")


@pytest.mark.parametrize("name", SIZES)
def test_leaving_a_classifier_blank_undoes_filling_it_in(name: str) -> None:
    text = zoo_entry(name).prototxt  # type: ignore[union-attr]
    assert retrainable(fit(text, 1_000)) == text


def test_a_number_that_is_followed_by_a_comma_goes_with_it() -> None:
    text = SMALL.replace("num_output: 10", "num_output: 10, bias_term: false")
    assert trained_weights(retrainable(text), (1, 8, 8), 3)["ip.weight"] == (3, 144)
