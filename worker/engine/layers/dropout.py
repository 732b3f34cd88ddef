"""Dropout with inverted scaling: kept values are divided by the share kept, so the TEST phase changes nothing."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from app.topology.net import Phase
from worker.engine.layers.registry import LayerModule, Site, layer


@layer("Dropout")
class Dropout(LayerModule):
    """Draws from the default generator, whose state is part of a snapshot."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.ratio = float(site.options.dropout_param.dropout_ratio)
        if not 0 <= self.ratio < 1:
            raise site.fail(f"dropout_ratio: expected 0 or more and less than 1, found {self.ratio:g}")
        self.drops = site.phase is Phase.TRAIN

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.ratio) if self.drops else values
