from __future__ import annotations

import torch

from app.topology.net import Phase
from app.topology.text import read
from tests.worker.engine.drawn import NET
from worker.engine.compile import CompiledNet, compile_net
from worker.engine.fine_tuning import Fate, match_weights, start_from


def compiled(text: str, seed: int) -> CompiledNet:
    return compile_net(read(text).net(Phase.TRAIN), {"data": (1, 1, 12, 12), "label": (1,)}, seed=seed)


def values(net: CompiledNet) -> dict[str, torch.Tensor]:
    return {name: weight.value.detach().clone() for name, weight in net.weights().items()}


def test_equal_nets_take_everything() -> None:
    source, target = compiled(NET, 1), compiled(NET, 2)
    table = start_from(target, values(source))
    assert {entry.fate for entry in table} == {Fate.LOADED}
    assert all(torch.equal(value, values(target)[name]) for name, value in values(source).items())


def test_a_last_layer_for_another_number_of_classes_stays_new_as_a_whole() -> None:
    source, target = compiled(NET, 1), compiled(NET.replace("num_output: 3", "num_output: 5"), 2)
    before = values(target)
    table = {entry.name: entry for entry in start_from(target, values(source))}
    assert table["conv1.weight"].fate is Fate.LOADED
    assert table["ip1.weight"].fate is table["ip1.bias"].fate is Fate.NEW
    assert table["ip1.weight"].reason == "expected 5×150, found 3×150"
    assert torch.equal(values(target)["ip1.weight"], before["ip1.weight"])
    assert torch.equal(values(target)["conv1.bias"], values(source)["conv1.bias"])


def test_a_bias_is_not_taken_without_its_weights() -> None:
    table = match_weights({"ip.weight": (3, 9), "ip.bias": (3,)}, {"ip.weight": (3, 8), "ip.bias": (3,)})
    assert [entry.fate for entry in table] == [Fate.NEW, Fate.NEW]
    assert table[1].reason == "another weight of ip does not fit"


def test_renamed_layers_are_new_and_the_old_ones_left_out() -> None:
    table = match_weights({"fc/retrain.weight": (3, 9)}, {"fc.weight": (3, 9)})
    assert [(entry.name, entry.fate, entry.reason) for entry in table] == [
        ("fc/retrain.weight", Fate.NEW, "not among the weights given"),
        ("fc.weight", Fate.LEFT_OUT, "the new net has no such weights"),
    ]


def test_vectors_that_old_files_write_with_four_axes_are_taken() -> None:
    source = values(compiled(NET, 1))
    target = compiled(NET, 2)
    given = source | {"conv1.bias": source["conv1.bias"].reshape(1, 1, 1, 6)}
    assert {entry.fate for entry in start_from(target, given)} == {Fate.LOADED}
    assert torch.equal(values(target)["conv1.bias"], source["conv1.bias"])


def test_no_weights_at_all_leave_the_net_as_it_was() -> None:
    target = compiled(NET, 2)
    before = values(target)
    assert {entry.fate for entry in start_from(target, {})} == {Fate.NEW}
    assert all(torch.equal(value, before[name]) for name, value in values(target).items())
