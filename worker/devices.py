"""Which devices this machine has, and who holds them. Asks NVML, not CUDA: nothing here touches a GPU."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Device:
    """A GPU, or the CPU as a whole (index −1)."""

    index: int
    name: str
    memory_total_bytes: int = 0
    memory_used_bytes: int = 0
    utilisation_percent: float | None = None

    @property
    def is_gpu(self) -> bool:
        return self.index >= 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


CPU = Device(index=-1, name="CPU")


def gpus() -> list[Device]:
    """The GPUs this process may use, in NVML's order, with their load; empty without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()) if _is_visible(index)]
    except pynvml.NVMLError:
        return []
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu(pynvml: Any, index: int) -> Device:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    utilisation = None
    with suppress(pynvml.NVMLError):
        utilisation = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    name = pynvml.nvmlDeviceGetName(handle)
    return Device(index, name if isinstance(name, str) else name.decode(), memory.total, memory.used, utilisation)


def _is_visible(index: int) -> bool:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")  # CUDA's own variable, not a setting of ours
    return listed is None or str(index) in [entry.strip() for entry in listed.split(",")]


@contextmanager
def held(locks: Path) -> Iterator[Device]:
    """A device for one training: a GPU that no other training of this machine holds, else the CPU.

    The hold is a file lock, so it ends with the process, whatever ends it.
    """
    locks.mkdir(parents=True, exist_ok=True)
    for device in gpus():
        with (locks / f"{os.uname().nodename}-gpu-{device.index}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield device
            return
    yield CPU
