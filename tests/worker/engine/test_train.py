from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.augmentation import Augmentation
from app.preprocessing import Channels, MeanMode, Preprocessing
from tests.worker.engine.drawn import NET, PLAIN, SIDE, SOLVER, WITH_BATCH_NORM, Listener, draw_dataset, train_spec
from tests.worker.engine.oracle import DEVICE
from worker.engine.errors import Diverged, EngineError
from worker.engine.snapshot import SOLVER_STATE, WEIGHTS, read_weights
from worker.engine.train import TrainResult, TrainSpec, train

RANDOM = Preprocessing(
    Channels.COLOR, SIDE, SIDE, mean=MeanMode.IMAGE, scale=1 / 128, crop_size=10, mirror=True
)  # and dropout, in the net


def run(spec: TrainSpec, stop_at: int | None = None) -> tuple[TrainResult, Listener]:
    listener = Listener(stop_at)
    return train(spec, listener), listener


def last_weights(listener: Listener) -> dict[str, Tensor]:
    return read_weights(listener.snapshots[-1].path)


def test_a_small_net_learns_what_is_drawn(tmp_path: Path) -> None:
    result, listener = run(train_spec(tmp_path, solver=replace(SOLVER, epochs=8)))
    assert not result.stopped
    assert (result.epoch, result.iteration) == (8, 8 * 8)
    assert set(result.accuracy) == {"train", "val", "test"}
    assert min(result.accuracy.values()) > 0.9
    losses = [value for _, value in listener.values_of("train/loss")]
    assert losses[-1] < losses[0] / 2


def test_a_run_says_what_it_is_about_to_do(tmp_path: Path) -> None:
    _, listener = run(train_spec(tmp_path))
    (info,) = listener.infos
    assert (info.iterations_per_epoch, info.max_iter, info.resumed_iteration) == (8, 24, 0)
    assert (info.device, info.precision) == (str(DEVICE), "float32")
    assert info.parameters == 6 * 9 + 6 + 3 * 150 + 3
    assert listener.lines[0].startswith("513 parameters, 60 images, 8 iterations per epoch, 24 in all")
    assert listener.phases[:3] == ["reading images", "compiling", "training"]
    assert listener.phases[-1] == "evaluating"


def test_validation_comes_before_the_first_step_and_after_each_epoch(tmp_path: Path) -> None:
    _, listener = run(train_spec(tmp_path))
    assert [iteration for iteration, _ in listener.values_of("val/accuracy")] == [0, 8, 16, 24]
    assert [iteration for iteration, _ in listener.values_of("val/loss")] == [0, 8, 16, 24]
    assert listener.values_of("val/loss")[0][1] == pytest.approx(math.log(3), rel=0.5)
    assert [snapshot.iteration for snapshot in listener.snapshots] == [8, 16, 24]
    assert listener.snapshots[1].metrics["val/accuracy"] == listener.values_of("val/accuracy")[2][1]


def test_losses_and_rates_are_reported_several_times_an_epoch_and_epochs_are_fractions(tmp_path: Path) -> None:
    spec = train_spec(tmp_path, solver=replace(SOLVER, lr_policy="fixed", base_lr=0.02))
    _, listener = run(spec)
    reports = [(iteration, epoch) for iteration, epoch, values in listener.metrics if "train/loss" in values]
    assert [iteration for iteration, _ in reports] == list(range(1, 25))
    assert all(epoch == iteration / 8 for iteration, epoch in reports)
    assert {value for _, value in listener.values_of("learning_rate")} == {0.02}
    assert [iteration for iteration, _, _ in listener.progress] == list(range(1, 25))
    assert all(images_per_s > 0 for _, _, images_per_s in listener.progress)


def test_snapshots_and_validations_follow_their_intervals(tmp_path: Path) -> None:
    solver = replace(SOLVER, epochs=4, snapshot_interval=2, val_interval=0.5)
    _, listener = run(train_spec(tmp_path, solver=solver))
    assert [snapshot.epoch for snapshot in listener.snapshots] == [2, 4]
    assert [snapshot.path.name for snapshot in listener.snapshots] == ["epoch-0002", "epoch-0004"]
    assert [iteration for iteration, _ in listener.values_of("val/loss")] == list(range(0, 33, 4))


def test_a_snapshot_interval_of_0_keeps_the_end_only(tmp_path: Path) -> None:
    _, listener = run(train_spec(tmp_path, solver=replace(SOLVER, snapshot_interval=0)))
    assert [snapshot.epoch for snapshot in listener.snapshots] == [3]


@pytest.mark.parametrize("topology", [NET, WITH_BATCH_NORM], ids=["dropout", "batch norm"])
@pytest.mark.parametrize("solver_type", ["SGD", "Adam"])
@pytest.mark.parametrize("stop_at", [5, 8, 19])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, topology: str, solver_type: str, stop_at: int) -> None:
    if DEVICE.type != "cpu":
        pytest.skip("bit for bit is promised on the CPU")
    solver = replace(SOLVER, solver_type=solver_type, base_lr=0.01, batch_accumulation=2, batch_size=4)
    options = {"topology": topology, "preprocessing": RANDOM, "solver": solver}
    if solver_type == "SGD":
        options["augmentation"] = Augmentation(flip="fliplrud", rotation_degrees=10, noise=0.05, hue=0.1, cutout=0.2)
    _, whole = run(train_spec(tmp_path, model="whole", **options))  # type: ignore[arg-type]
    stopped, first = run(train_spec(tmp_path, model="broken", **options), stop_at=stop_at)  # type: ignore[arg-type]
    assert stopped.stopped
    assert stopped.iteration == stop_at
    torch.manual_seed(12345)  # another process, another random state
    folder = first.snapshots[-1].path
    finished, second = run(train_spec(tmp_path, model="broken", resume_from=folder, **options))  # type: ignore[arg-type]
    assert second.infos[0].resumed_iteration == stop_at
    assert not finished.stopped
    expected, found = last_weights(whole), last_weights(second)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert first.values_of("val/loss") + second.values_of("val/loss") == whole.values_of("val/loss")


def test_a_run_that_is_stopped_keeps_what_it_has_learnt(tmp_path: Path) -> None:
    result, listener = run(train_spec(tmp_path), stop_at=11)
    assert result == TrainResult(True, 11 / 8, 11, {})
    assert [snapshot.iteration for snapshot in listener.snapshots] == [8, 11]
    assert listener.snapshots[-1].path.name == "epoch-0001.38"
    assert (listener.snapshots[-1].path / SOLVER_STATE).is_file()
    assert not (listener.snapshots[0].path / SOLVER_STATE).exists()


def test_a_run_that_is_stopped_at_an_epochs_end_writes_one_snapshot(tmp_path: Path) -> None:
    _, listener = run(train_spec(tmp_path), stop_at=8)
    assert [snapshot.iteration for snapshot in listener.snapshots] == [8]


def test_a_run_that_is_stopped_before_its_first_step_writes_none(tmp_path: Path) -> None:
    class Impatient(Listener):
        def should_stop(self) -> bool:
            return True

    listener = Impatient()
    result = train(train_spec(tmp_path), listener)
    assert result == TrainResult(True, 0, 0, {})
    assert listener.snapshots == []


def test_the_stop_flag_is_looked_at_on_every_iteration(tmp_path: Path) -> None:
    listener = Listener()
    spec = train_spec(tmp_path, solver=replace(SOLVER, val_interval=0, epochs=5))
    train(spec, listener)
    assert listener.asked >= 5 * 8


def test_a_finished_run_that_resumes_only_evaluates(tmp_path: Path) -> None:
    first_result, first = run(train_spec(tmp_path))
    again, listener = run(train_spec(tmp_path, resume_from=first.snapshots[-1].path))
    assert again == first_result
    assert listener.snapshots == []
    assert listener.values_of("train/loss") == []


def test_a_loss_that_is_no_number_ends_the_run_before_it_spoils_a_snapshot(tmp_path: Path) -> None:
    solver = replace(SOLVER, base_lr=1e15, epochs=4, snapshot_interval=0.125)
    listener = Listener()
    with pytest.raises(Diverged, match=r"Try decreasing your learning rate \(1e\+15\)") as error:
        train(train_spec(tmp_path, solver=solver), listener)
    assert "iteration" in str(error.value)
    for snapshot in listener.snapshots:
        assert all(bool(value.isfinite().all()) for value in read_weights(snapshot.path).values())
    for _, _, values in listener.metrics:
        assert all(math.isfinite(value) for value in values.values())


def test_accumulated_batches_move_the_weights_as_one_batch_does(tmp_path: Path) -> None:
    topology = NET.replace("dropout_ratio: 0.2", "dropout_ratio: 0")
    whole = train_spec(tmp_path, topology=topology, solver=replace(SOLVER, epochs=1, batch_size=12), model="whole")
    parts = replace(
        whole, solver=replace(SOLVER, epochs=1, batch_size=4, batch_accumulation=3), model_dir=tmp_path / "parts"
    )
    expected, found = (last_weights(run(spec)[1]) for spec in (whole, parts))
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-5), name


def test_frozen_layers_stay_as_they_were_filled(tmp_path: Path) -> None:
    topology = NET.replace("param { lr_mult: 1 }", "param { lr_mult: 0 }", 1)
    _, short = run(train_spec(tmp_path, topology=topology, solver=replace(SOLVER, epochs=1), model="short"))
    _, long = run(train_spec(tmp_path, topology=topology, model="long"))
    assert torch.equal(last_weights(short)["conv1.weight"], last_weights(long)["conv1.weight"])
    assert not torch.equal(last_weights(short)["ip1.weight"], last_weights(long)["ip1.weight"])


def test_bfloat16_learns_too_and_keeps_its_weights_in_float32(tmp_path: Path) -> None:
    result, listener = run(train_spec(tmp_path, solver=replace(SOLVER, precision="bfloat16", epochs=8)))
    assert listener.infos[0].precision == "bfloat16"
    assert result.accuracy["val"] > 0.9
    assert {value.dtype for value in last_weights(listener).values()} == {torch.float32}


def test_a_dataset_of_one_split_trains_without_validation(tmp_path: Path) -> None:
    dataset = draw_dataset(tmp_path / "dataset", train=20, val=0, test=0)
    result, listener = run(train_spec(tmp_path, dataset=dataset))
    assert set(result.accuracy) == {"train"}
    assert listener.values_of("val/loss") == []
    assert len(listener.snapshots) == 3


def test_outputs_of_the_net_are_metrics_of_their_own(tmp_path: Path) -> None:
    topology = (
        NET
        + 'layer { name: "aux" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "aux/loss" loss_weight: 0.3 }'
    )
    _, listener = run(train_spec(tmp_path, topology=topology))
    for phase in ("train", "val"):
        total, auxiliary = listener.values_of(f"{phase}/loss"), listener.values_of(f"{phase}/aux/loss")
        assert len(total) == len(auxiliary) > 0
        if phase == "val":  # both heads see the same scores
            assert total[-1][1] == pytest.approx(1.3 * auxiliary[-1][1], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"topology": NET.replace("num_output: 3", "num_output: 2")}, "expected 3 scores per image"),
        ({"topology": NET[: NET.index('layer { name: "loss"')]}, "expected a loss in the net of phase TRAIN"),
        ({"topology": NET + "layer {"}, "the topology cannot be trained"),
        ({"preprocessing": replace(PLAIN, crop_size=99)}, "expected a crop size up to"),
        ({"preprocessing": replace(PLAIN, width=13)}, "expected images (H, W, C) of (12, 13, 1), found (12, 12, 1)"),
        ({"solver": replace(SOLVER, precision="float64")}, "expected precision auto or float32 or bfloat16"),
        ({"solver": replace(SOLVER, solver_type="Magic")}, "expected solver type SGD"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_plain_words(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    dataset = draw_dataset(tmp_path / "dataset")
    with pytest.raises(EngineError) as error:
        run(train_spec(tmp_path, dataset=dataset, **change))  # type: ignore[arg-type]
    assert expected in str(error.value)


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="expected a device that is here, found cuda:77"):
        run(replace(train_spec(tmp_path), device="cuda:77"))


def test_a_snapshot_of_another_run_cannot_be_resumed(tmp_path: Path) -> None:
    _, listener = run(train_spec(tmp_path))
    spec = train_spec(tmp_path, solver=replace(SOLVER, batch_size=4), resume_from=listener.snapshots[-1].path)
    with pytest.raises(EngineError, match="epoch-0003 belongs to another run: expected batch_size 4, found 8"):
        run(spec)


def test_a_run_that_gets_no_better_ends_when_its_patience_does(tmp_path: Path) -> None:
    solver = replace(SOLVER, base_lr=0.0, weight_decay=0.0, epochs=10, patience=2, snapshot_interval=4)
    result, listener = run(train_spec(tmp_path, solver=solver))
    assert not result.stopped
    assert result.epoch == 2
    assert set(result.accuracy) == {"train", "val", "test"}
    assert [snapshot.epoch for snapshot in listener.snapshots] == [2]
    again, second = run(train_spec(tmp_path, solver=solver, resume_from=listener.snapshots[-1].path))
    assert again == result
    assert second.snapshots == []


def test_patience_lasts_while_validation_gets_better(tmp_path: Path) -> None:
    result, listener = run(train_spec(tmp_path, solver=replace(SOLVER, epochs=6, patience=3)))
    accuracies = [value for _, value in listener.values_of("val/accuracy")]
    assert accuracies[-1] > accuracies[0]
    assert result.epoch >= 3


def test_a_fine_tuning_starts_at_the_accuracy_that_was_saved(tmp_path: Path) -> None:
    _, first = run(train_spec(tmp_path, solver=replace(SOLVER, epochs=6), model="first"))
    saved = first.snapshots[-1]
    spec = replace(train_spec(tmp_path, model="second"), start_from=saved.path / WEIGHTS)
    _, second = run(spec)
    assert second.values_of("val/loss")[0] == (0, pytest.approx(saved.metrics["val/loss"], rel=1e-5))
    assert "Fine-tuning from weights.safetensors: 4 weights loaded" in second.lines


def test_a_fine_tuning_says_what_it_leaves_new(tmp_path: Path) -> None:
    _, first = run(train_spec(tmp_path, solver=replace(SOLVER, epochs=1), model="first"))
    topology = NET.replace('"ip1"', '"ip1_retrain"')
    spec = train_spec(tmp_path, model="second", topology=topology)
    _, second = run(replace(spec, start_from=first.snapshots[-1].path / WEIGHTS))
    assert "Fine-tuning from weights.safetensors: 2 weights loaded" in second.lines
    assert "  ip1_retrain.weight: new, not among the weights given" in second.lines
    assert "  ip1.weight: left out, the new net has no such weights" in second.lines


def test_a_fine_tuning_from_weights_that_do_not_fit_at_all_is_refused(tmp_path: Path) -> None:
    _, first = run(train_spec(tmp_path, solver=replace(SOLVER, epochs=1), model="first"))
    topology = NET.replace('"ip1"', '"other"').replace('name: "conv1"', 'name: "first"')
    spec = replace(
        train_spec(tmp_path, model="second", topology=topology), start_from=first.snapshots[-1].path / WEIGHTS
    )
    with pytest.raises(EngineError, match=r"none of the weights in weights\.safetensors fits a layer of this net"):
        run(spec)
