"""Losses: each gives one number, to be multiplied by its loss_weight (Caffe, *_loss_layer.cpp).

All are computed in float32, whatever precision the net runs in. Labels that are to be ignored add nothing, and the
normalisation decides what the sum is divided by.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, exact, layer

NO_LABEL = -(2**31)  # no class has this number
LEAST_PROBABILITY = 1e-20  # Caffe's kLOG_THRESHOLD


class _OverClasses(LayerModule):
    """What losses over a class axis share: scores as (outer, classes, inner), labels as (outer, inner)."""

    def __init__(self, site: Site, axis: int) -> None:
        super().__init__(site)
        self.axis = site.axis(axis)
        self.classes = site.shape[self.axis]
        places = prod(site.shape) // self.classes
        if prod(site.shapes[1]) != places:
            raise site.fail(f"expected {places} labels for scores {site.shape}, found shape {site.shapes[1]}")
        self.ignored = _ignored_label(site)
        self.normalization = _normalization(site, default="VALID")

    def split(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        inner = prod(scores.shape[self.axis + 1 :])
        rows = exact(scores).reshape(-1, self.classes, inner)
        if inner == 1:
            return rows[:, :, 0], labels.reshape(-1).long()
        return rows, labels.reshape(-1, inner).long()

    def divide(self, total: Tensor, labels: Tensor) -> Tensor:
        """The sum of losses divided as the normalisation says; labels (outer, inner) or (outer,)."""
        if self.normalization == "VALID" and self.ignored != NO_LABEL:
            return total / (labels != self.ignored).sum().clamp(min=1)
        return total / {"NONE": 1, "BATCH_SIZE": max(1, labels.shape[0])}.get(self.normalization, labels.numel())


@layer("SoftmaxWithLoss", "SoftmaxLoss")
class SoftmaxWithLoss(_OverClasses):
    """-log of the true class's softmax probability; a second top gives the probabilities."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, site.options.softmax_param.axis)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, ...]:
        rows, truth = self.split(scores, labels)
        loss = self.divide(F.cross_entropy(rows, truth, ignore_index=self.ignored, reduction="sum"), truth)
        if len(self.layer.tops) == 1:
            return loss
        return loss, torch.softmax(exact(scores), self.axis)


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(LayerModule):
    """-log of the true class's probability, for bottoms that are probabilities already; the mean over images."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if len(site.shape) < 2 or prod(site.shapes[1]) != site.shape[0]:
            raise site.fail(f"expected one label for each image of {site.shape}, found shape {site.shapes[1]}")

    def forward(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        rows = exact(probabilities).flatten(1)
        likelihood = rows.gather(1, labels.reshape(-1, 1).long())
        return -likelihood.clamp(min=LEAST_PROBABILITY).log().mean()


@layer("InfogainLoss")
class InfogainLoss(_OverClasses):
    """-Σ H[label, l] · log p(l), p the softmax of the scores, H the matrix in the layer or the third bottom."""

    matrix: Tensor

    def __init__(self, site: Site) -> None:
        written = [list(blob.data) for blob in site.options.blobs[:1]]
        if len(site.shapes) < 3 and not written:
            raise site.fail("expected the infogain matrix in blobs or as third bottom; a source file cannot be read")
        super().__init__(site, site.options.infogain_loss_param.axis)
        found = site.shapes[2] if len(site.shapes) > 2 else (len(written[0]),)
        if prod(found) != self.classes**2:
            raise site.fail(f"expected an infogain matrix {self.classes}×{self.classes}, found shape {found}")
        self.register_buffer("matrix", torch.tensor(written[0] if written else []), persistent=False)

    def forward(self, scores: Tensor, labels: Tensor, matrix: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        rows, truth = self.split(scores, labels)
        gain = exact(self.matrix if matrix is None else matrix).reshape(self.classes, self.classes)
        counts = truth != self.ignored
        weights = gain[torch.where(counts, truth, 0)] * counts[..., None]  # (outer, inner, classes)
        logs = torch.log_softmax(rows, 1).clamp(min=torch.tensor(LEAST_PROBABILITY).log().item())
        loss = self.divide(-(weights.movedim(-1, 1) * logs).sum(), truth)
        if len(self.layer.tops) == 1:
            return loss
        return loss, torch.softmax(exact(scores), self.axis)


@layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(LayerModule):
    """-(t · log σ(x) + (1 - t) · log(1 - σ(x))), summed, by default divided by the number of images."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if prod(site.shape) != prod(site.shapes[1]):
            raise site.fail(f"expected as many targets as scores {site.shape}, found shape {site.shapes[1]}")
        self.ignored = _ignored_label(site)
        self.normalization = _normalization(site, default="BATCH_SIZE")

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        values = exact(scores)
        truth = targets.reshape(scores.shape).to(values.dtype)
        losses = F.binary_cross_entropy_with_logits(values, truth, reduction="none")
        counts = truth != self.ignored
        total = (losses * counts).sum()
        if self.normalization == "VALID":
            return total / counts.sum().clamp(min=1)
        return total / {"NONE": 1, "BATCH_SIZE": max(1, scores.shape[0])}.get(self.normalization, scores.numel())


@layer("EuclideanLoss")
class EuclideanLoss(LayerModule):
    """Σ (a - b)² / 2N."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if prod(site.shape) != prod(site.shapes[1]):
            raise site.fail(f"expected bottoms of equal size, found {site.shape} and {site.shapes[1]}")

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        difference = exact(left) - right.reshape(left.shape)
        return difference.square().sum() / (2 * left.shape[0])


@layer("HingeLoss")
class HingeLoss(LayerModule):
    """Σ max(0, 1 - s · x) / N, or of its squares with norm L2; s is 1 for the true class and -1 for the others."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.hinge_loss_param
        self.squares = options.norm == type(options).L2
        if len(site.shape) < 2 or prod(site.shapes[1]) != site.shape[0]:
            raise site.fail(f"expected one label for each image of {site.shape}, found shape {site.shapes[1]}")

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        rows, truth = exact(scores).flatten(1), labels.reshape(-1, 1).long()
        sign = torch.ones_like(rows).scatter_(1, truth, -1.0)
        margins = F.relu(1 + sign * rows)
        return (margins.square() if self.squares else margins).sum() / rows.shape[0]


@layer("ContrastiveLoss")
class ContrastiveLoss(LayerModule):
    """Σ (y · d² + (1 - y) · max(margin - d, 0)²) / 2N, d the distance of two vectors, y whether they belong together.

    The legacy version takes max(margin - d², 0) for the second part.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.contrastive_loss_param
        self.margin, self.is_legacy = float(options.margin), bool(options.legacy_version)
        if len(site.shapes) != 3 or site.shapes[0] != site.shapes[1] or prod(site.shapes[2]) != site.shape[0]:
            raise site.fail(f"expected two bottoms of one shape and a label per image, found {site.shapes}")

    def forward(self, left: Tensor, right: Tensor, together: Tensor) -> Tensor:
        squares = (exact(left) - exact(right)).flatten(1).square().sum(1)
        same = together.reshape(-1).to(squares.dtype)
        if self.is_legacy:
            apart = F.relu(self.margin - squares)
        else:
            # The root's slope at 0 is infinite; Caffe takes 0 there.
            distance = torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
            apart = F.relu(self.margin - distance).square()
        return (same * squares + (1 - same) * apart).sum() / (2 * squares.shape[0])


def _ignored_label(site: Site) -> int:
    options = site.options.loss_param
    return int(options.ignore_label) if options.HasField("ignore_label") else NO_LABEL


def _normalization(site: Site, default: str) -> str:
    """FULL, VALID, BATCH_SIZE or NONE; the older `normalize` speaks only where `normalization` is silent."""
    options = site.options.loss_param
    if options.HasField("normalization"):
        return str(type(options).NormalizationMode.Name(options.normalization))
    if options.HasField("normalize"):
        return "VALID" if options.normalize else "BATCH_SIZE"
    return default
