"""What nets are really fed while they are trained, taken where they get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from worker.engine.compile import CompiledNet


@contextmanager
def what_nets_are_fed() -> Iterator[list[tuple[NDArray[np.float32], NDArray[np.int64]]]]:
    """Images and labels of every training step while it lasts, taken where the net gets them."""
    fed = []

    def listen(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, CompiledNet) and module.training and torch.is_grad_enabled():
            fed.append((given[0].detach().cpu().float().numpy().copy(), given[1].cpu().numpy().copy()))

    hook = nn.modules.module.register_module_forward_pre_hook(listen)
    try:
        yield fed
    finally:
        hook.remove()
