from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.topology.fine_tuning import Fate
from app.topology.freezing import freeze
from app.topology.net import Phase
from app.topology.text import read
from tests.worker.engine.drawn import NET, SOLVER, WITH_BATCH_NORM, Listener, train_spec
from worker.engine.compile import CompiledNet, compile_net
from worker.engine.errors import EngineError
from worker.engine.fine_tuning import start_from
from worker.engine.snapshot import WEIGHTS, read_weights
from worker.engine.solvers import Solver
from worker.engine.train import train


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


def test_a_fine_tuning_starts_at_the_accuracy_that_was_saved(tmp_path: Path) -> None:
    first = Listener()
    train(train_spec(tmp_path), first)
    snapshot, again = first.snapshots[-1], Listener()
    spec = replace(train_spec(tmp_path, model="tuned"), start_from=snapshot.path / WEIGHTS)
    train(spec, again)
    assert again.values_of("val/accuracy")[0] == (0, snapshot.metrics["val/accuracy"])
    assert again.values_of("val/loss")[0] == (0, snapshot.metrics["val/loss"])
    assert "4 weights loaded" in again.lines[0]


def test_a_resumed_run_keeps_what_it_has_learnt_since(tmp_path: Path) -> None:
    stopped, resumed = Listener(stop_at=10), Listener()
    train(train_spec(tmp_path), stopped)
    kept = stopped.snapshots[-1]
    save_file({"conv1.weight": torch.zeros(6, 1, 3, 3)}, tmp_path / "start.safetensors")
    train(replace(train_spec(tmp_path, resume_from=kept.path), start_from=tmp_path / "start.safetensors"), resumed)
    assert resumed.infos[0].resumed_iteration == kept.iteration > 0
    assert not any("Fine-tuning" in line for line in resumed.lines)


def test_weights_of_another_net_altogether_are_refused(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    spec = replace(train_spec(tmp_path), start_from=tmp_path / "other.safetensors")
    with pytest.raises(EngineError, match=r"none of the weights in other\.safetensors fits a layer"):
        train(spec, Listener())


LOADED = {"conv1": 2, "bn1": 3, "scale1": 2}


def test_frozen_layers_end_as_they_were_loaded_bit_for_bit(tmp_path: Path) -> None:
    first, again = Listener(), Listener()
    train(train_spec(tmp_path, topology=WITH_BATCH_NORM), first)
    loaded = read_weights(first.snapshots[-1].path)
    spec = train_spec(tmp_path, topology=freeze(WITH_BATCH_NORM, LOADED), model="tuned")
    train(replace(spec, start_from=first.snapshots[-1].path / WEIGHTS), again)
    tuned = read_weights(again.snapshots[-1].path)
    same = {name for name, value in loaded.items() if torch.equal(value, tuned[name])}
    assert {name.rpartition(".")[0] for name in same} == set(LOADED)
    assert same == {name for name in loaded if name.rpartition(".")[0] in LOADED}
    assert again.values_of("val/loss")[0] == (0, first.snapshots[-1].metrics["val/loss"])


def test_no_gradient_is_computed_below_the_first_layer_that_learns() -> None:
    shapes = {"data": (4, 1, 12, 12), "label": (4,)}
    blobs = ("conv1", "pool1", "ip1")
    kept = {}
    for name, text in {"all": WITH_BATCH_NORM, "new": freeze(WITH_BATCH_NORM, LOADED)}.items():
        net = compile_net(read(text).net(Phase.TRAIN), shapes, keep=blobs)
        Solver(SOLVER, net.weights())
        result = net(torch.rand(4, 1, 12, 12), torch.zeros(4))
        assert result.loss is not None
        result.loss.backward()
        kept[name] = {blob: result.blobs[blob].requires_grad for blob in blobs}
        graded = {weight for weight, one in net.weights().items() if one.value.grad is not None}
        assert {"ip1.weight", "ip1.bias"} <= graded
        assert (len(graded) == 2) == (name == "new")
    assert kept == {"all": dict.fromkeys(blobs, True), "new": {"conv1": False, "pool1": False, "ip1": True}}


def test_a_net_in_which_nothing_learns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="nothing to learn: every layer has lr_mult 0"):
        train(train_spec(tmp_path, topology=freeze(NET, {"conv1": 2, "ip1": 2})), Listener())
