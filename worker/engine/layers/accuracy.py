"""Accuracy: the share of labels among the top_k scores (Caffe, accuracy_layer.cpp)."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, exact, layer


@layer("Accuracy")
class Accuracy(LayerModule):
    """One number; with a second top also the accuracy of each class.

    Of equal scores the class with the lower number ranks first, so that top-1 agrees with argmax. A score that is no
    number never counts as right.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.accuracy_param
        self.axis, self.top_k = site.axis(options.axis), int(options.top_k)
        self.classes = site.shape[self.axis]
        self.ignored = int(options.ignore_label) if options.HasField("ignore_label") else None
        if not 1 <= self.top_k <= self.classes:
            raise site.fail(f"top_k: expected 1 to {self.classes} (the classes), found {self.top_k}")
        places = prod(site.shape) // self.classes
        if prod(site.shapes[1]) != places:
            raise site.fail(f"expected {places} labels for scores {site.shape}, found shape {site.shapes[1]}")

    @torch.no_grad()
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, ...]:
        rows = exact(scores).movedim(self.axis, -1).reshape(-1, self.classes)
        truth = labels.reshape(-1).long()
        counts = (truth != self.ignored if self.ignored is not None else torch.ones_like(truth)).float()
        truth = truth if self.ignored is None else truth.clamp(0, self.classes - 1)
        right = is_among_top(rows, truth, self.top_k).float() * counts
        overall = right.sum() / counts.sum().clamp(min=1)
        if len(self.layer.tops) == 1:
            return overall
        per_class = torch.zeros(self.classes, device=rows.device).index_add_(0, truth, right)
        of_class = torch.zeros(self.classes, device=rows.device).index_add_(0, truth, counts)
        return overall, per_class / of_class.clamp(min=1)


def is_among_top(rows: Tensor, truth: Tensor, top_k: int) -> Tensor:
    """Whether each row's true class is among its `top_k` largest; rows (N, classes), truth (N,)."""
    own = rows.gather(1, truth[:, None])
    places = torch.arange(rows.shape[1], device=rows.device)
    ahead = ~(rows <= own) | ((rows == own) & (places < truth[:, None]))
    return ahead.sum(1) < top_k
