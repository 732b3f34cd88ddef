from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker import devices
from worker.devices import CPU, Device, gpus, held

ROOT = Path(__file__).parents[2]
TWO = [Device(0, "GPU A", 100, 10, 5.0), Device(1, "GPU B", 100, 0, 0.0)]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs: what NVML would list."""
    monkeypatch.setattr(devices, "gpus", lambda: TWO)


def test_without_a_gpu_the_cpu_is_held_by_any_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", list)
    with held(tmp_path / "locks") as first, held(tmp_path / "locks") as second:
        assert first == second == CPU
        assert not first.is_gpu


def test_every_training_gets_a_gpu_of_its_own_and_the_next_one_the_cpu(tmp_path: Path, two_gpus: None) -> None:
    with held(tmp_path) as first, held(tmp_path) as second, held(tmp_path) as third:
        assert [first.index, second.index, third.index] == [0, 1, -1]
    with held(tmp_path) as again:
        assert again.index == 0


def test_a_gpu_is_free_again_after_a_training_that_raised(tmp_path: Path, two_gpus: None) -> None:
    with pytest.raises(RuntimeError), held(tmp_path):
        raise RuntimeError
    with held(tmp_path) as device:
        assert device.index == 0


def test_a_gpu_is_free_again_when_its_holder_is_killed(tmp_path: Path, two_gpus: None) -> None:

    path = tmp_path / f"{os.uname().nodename}-gpu-0"
    code = (
        f"import fcntl, time; file = open({str(path)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    with held(tmp_path) as device:
        assert device.index == 1
    other.kill()
    other.wait()
    with held(tmp_path) as device:
        assert device.index == 0


def test_asking_for_gpus_does_not_touch_cuda() -> None:
    """A process that has asked CUDA cannot fork children that use it."""
    code = "import sys; from worker.devices import gpus; gpus(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_gpus_can_be_written_into_a_row() -> None:
    for device in [*gpus(), *TWO]:
        assert device.is_gpu
        assert set(device.to_dict()) == {
            "index",
            "name",
            "memory_total_bytes",
            "memory_used_bytes",
            "utilisation_percent",
        }
