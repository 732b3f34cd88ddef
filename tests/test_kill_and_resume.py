"""Whatever dies in the middle of a training, the model ends with the weights of an undisturbed run, bit for bit."""

from __future__ import annotations

import io
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load

from tests.server import QUICK, Api, Server, serving, wait_until

# Small, so that an epoch takes a moment only; dropout, crop and mirror draw random numbers that a resumed run must
# draw again.
PROTOTXT = """
name: "Small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } data_param { batch_size: 32 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST } data_param { batch_size: 32 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 32 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" dropout_param { dropout_ratio: 0.5 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
EPOCHS, SNAPSHOT_INTERVAL = 30, 4


@dataclass
class Result:
    weights: dict[str, torch.Tensor]
    curve: list[tuple[int, str, float]]
    accuracy: dict[str, float]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("kill") / "home", TRAINYARD_THREADS="1", **QUICK) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: Server) -> Api:
    return server.client()


@pytest.fixture(scope="module")
def dataset_id(api: Api) -> int:
    upload = api.made("uploads/sample")
    return int(api.dataset(upload["id"], width=16, height=16)["id"])


def launch(api: Api, dataset_id: int, name: str) -> int:
    wait_until(lambda: not api.server.living("worker.run"), "the run of the test before to leave")
    (model,) = api.models(dataset_id, name=name, topology="", prototxt=PROTOTXT, epochs=EPOCHS, batch_size=32,
                          snapshot_interval=SNAPSHOT_INTERVAL, val_interval=2, mirror=True, crop_size=14)  # fmt: skip
    return int(model["id"])


def result(api: Api, model_id: int) -> Result:
    model = api.ended(f"models/{model_id}", patience_s=400)
    download = api.get(f"models/{model_id}/download")
    with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
        weights = load(archive.read("weights.safetensors"))
    points = api.seen(f"models/{model_id}/metrics")["points"]
    curve = [(point["iteration"], point["name"], point["value"]) for point in points]
    return Result(weights, curve, model["accuracy"])


@pytest.fixture(scope="module")
def undisturbed(api: Api, dataset_id: int) -> Result:
    return result(api, launch(api, dataset_id, "undisturbed"))


def kill_run(server: Server) -> None:
    (run,) = server.living("worker.run")
    run.kill()


def kill_worker(server: Server) -> None:
    (worker,) = server.living("worker.tasks", "train")
    worker.kill()


def kill_everything(server: Server) -> None:
    server.kill_everything()
    server.start()


def interrupt(server: Server) -> None:
    server.interrupt()
    server.start()


def hang(server: Server) -> None:
    (run,) = server.living("worker.run")
    run.send_signal(signal.SIGSTOP)


DISTURBANCES = [kill_run, kill_worker, kill_everything, interrupt, hang]


@pytest.mark.parametrize("disturb", DISTURBANCES, ids=lambda disturb: disturb.__name__)
def test_a_disturbed_training_ends_with_the_same_weights(
    server: Server, api: Api, dataset_id: int, undisturbed: Result, disturb: Callable[[Server], None]
) -> None:
    model_id = launch(api, dataset_id, disturb.__name__)
    path = f"models/{model_id}"
    wait_until(lambda: api.seen(path)["snapshots"], "the first snapshot", server=server)
    before = server.living("worker.run")

    disturb(server)

    left = api.seen(path)
    assert left["status"] in ("running", "queued"), "the training was over before it was disturbed"
    found = result(api, model_id)
    assert not any(run.is_running() and run.status() != psutil.STATUS_ZOMBIE for run in before)
    assert api.seen(f"{path}/metrics")["attempt"] >= 2
    assert found.weights.keys() == undisturbed.weights.keys()
    for name, weight in found.weights.items():
        assert torch.equal(weight, undisturbed.weights[name]), name
    assert found.accuracy == undisturbed.accuracy


def test_the_curve_of_a_killed_training_has_no_gap_and_no_double(
    server: Server, api: Api, dataset_id: int, undisturbed: Result
) -> None:
    """Validations come at fixed iterations, so they can be compared one by one; training losses are averages over
    the iterations since the last one, which are other ones after a restart."""
    model_id = launch(api, dataset_id, "curve")
    wait_until(lambda: api.seen(f"models/{model_id}")["snapshots"], "the first snapshot", server=server)
    kill_run(server)
    found = result(api, model_id)
    validations = [point for point in found.curve if point[1].startswith("val/")]
    assert validations == [point for point in undisturbed.curve if point[1].startswith("val/")]
    losses = [iteration for iteration, name, _ in found.curve if name == "train/loss"]
    assert losses == sorted(set(losses))


def test_a_training_that_is_killed_again_and_again_is_given_up(server: Server, api: Api, dataset_id: int) -> None:
    model_id = launch(api, dataset_id, "unlucky")
    path = f"models/{model_id}"
    for _ in range(3):
        wait_until(lambda: server.living("worker.run"), "a run", server=server)
        for run in server.living("worker.run"):
            run.kill()
        wait_until(lambda run=run: not run.is_running(), "it to be gone", server=server)
    model = api.ended(path, status="failed")
    assert model["error"].startswith("Given up after 3 attempts: its process was killed")
    assert api.post(f"{path}/resume-request").status_code == 202
    assert api.ended(path, patience_s=400)["status"] == "done"


def test_a_stopped_training_keeps_what_it_has_learnt_and_goes_on_where_it_was(
    server: Server, api: Api, dataset_id: int, undisturbed: Result
) -> None:
    model_id = launch(api, dataset_id, "stopped")
    path = f"models/{model_id}"
    wait_until(lambda: api.seen(path)["snapshots"], "the first snapshot", server=server)
    assert api.post(f"{path}/stop-request").status_code == 202
    stopped = api.ended(path, status="stopped")
    assert 0 < stopped["epoch"] < EPOCHS
    assert stopped["snapshots"][0]["iteration"] == stopped["iteration"]
    wait_until(lambda: not server.living("worker.run"), "the run to leave", 30, server)

    assert api.post(f"{path}/resume-request").status_code == 202
    found = result(api, model_id)
    for name, weight in found.weights.items():
        assert torch.equal(weight, undisturbed.weights[name]), name


def test_nothing_is_left_over(server: Server, tmp_path: Path) -> None:
    """After all this: no run, no half-written snapshot, a sound database."""
    wait_until(lambda: not server.living("worker.run"), "the last run to leave", 30, server)
    assert list((server.home / "models").rglob("*.part")) == []
    assert list((server.home / "models").rglob("*.old")) == []
