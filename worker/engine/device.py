"""The device of a run: threads, memory and precision set up once, before the first tensor is computed.

The rest of the engine knows no device by name; what differs between them is here.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from worker.engine.errors import EngineError

PRECISIONS = ("auto", "float32", "bfloat16")

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc, malloc.h
_NEVER = 2**31 - 1
_TOP_PAD_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Precision:
    """What a net computes in. Weights and their updates are float32 always."""

    dtype: torch.dtype
    device: torch.device

    @property
    def name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16)


def set_up_device(name: str, threads: int | None = None) -> torch.device:
    """The device, ready for a run; raises EngineError when it is not there. Call before other work in the process."""
    # Denormal numbers cost a well-trained LeNet up to ten times its speed. Threads inherit the flag when they start.
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(max(1, threads))
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"expected a device that is here, found {name}: {str(error).splitlines()[0]}") from error
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    else:
        keep_freed_memory()
    return device


def keep_freed_memory() -> bool:
    """Makes malloc keep what is freed, so that each batch's arrays need no fresh pages; whether it could be done.

    By default glibc gives every large array back to the system when it is freed, and the next batch takes and clears
    the same pages anew, which costs up to a third of a training step on the CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return all(
        mallopt(option, value) == 1
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD_BYTES))
    )


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`auto` takes bfloat16 where the hardware is faster in it, float32 elsewhere."""
    if wanted not in PRECISIONS:
        raise EngineError(f'expected precision {" or ".join(PRECISIONS)}, found "{wanted}"')
    if wanted == "auto":
        wanted = "bfloat16" if gains_by_bfloat16(device) else "float32"
    return Precision(torch.bfloat16 if wanted == "bfloat16" else torch.float32, device)


def gains_by_bfloat16(device: torch.device) -> bool:
    """Whether nets train faster in bfloat16: on CUDA from Ampere on, and on CPUs with AMX.

    AVX512-BF16 alone does not do it: every net measured took a third longer than in float32 (docs/decisions.md).
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    question = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(question and question())
