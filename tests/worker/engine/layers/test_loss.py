from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.worker.engine.oracle import DEVICE, close, forward, gradients_agree, labels, module, put, random
from worker.engine.errors import EngineError

SCORES, TRUTH = random(4, 3), labels(0, 2, 1, 2)
MAPS, PLACES = random(2, 3, 2, 2), torch.tensor([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])


def test_softmax_loss_agrees_with_cross_entropy() -> None:
    assert close(forward('type: "SoftmaxWithLoss"', SCORES, TRUTH), F.cross_entropy(SCORES, TRUTH))
    assert close(forward('type: "SoftmaxWithLoss"', MAPS, PLACES), F.cross_entropy(MAPS, PLACES))
    transposed = MAPS.movedim(1, 3)
    body = 'type: "SoftmaxWithLoss" softmax_param { axis: -1 }'
    assert close(forward(body, transposed, PLACES), F.cross_entropy(MAPS, PLACES))


@pytest.mark.parametrize(
    ("options", "divisor"),
    [
        ("normalization: VALID", 6),
        ("normalization: FULL", 8),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalize: true", 6),
        ("normalize: false", 2),
        ("normalize: true normalization: NONE", 1),
        ("", 6),
    ],
)
def test_softmax_loss_is_divided_as_its_normalization_says(options: str, divisor: int) -> None:
    body = f'type: "SoftmaxWithLoss" loss_param {{ ignore_label: 0 {options} }}'
    total = F.cross_entropy(MAPS, PLACES, ignore_index=0, reduction="sum")
    assert close(forward(body, MAPS, PLACES), total / divisor)
    assert gradients_agree(module(body, tuple(MAPS.shape), tuple(PLACES.shape)), MAPS, PLACES, learned=1)


def test_a_batch_in_which_every_label_is_ignored_has_loss_0() -> None:
    body = 'type: "SoftmaxWithLoss" loss_param { ignore_label: 7 }'
    assert float(forward(body, SCORES, labels(7, 7, 7, 7))) == 0


def test_a_second_top_gives_the_probabilities() -> None:
    loss, probabilities = module('type: "SoftmaxWithLoss" top: "loss" top: "prob"', (4, 3), (4,))(
        put(SCORES), put(TRUTH)
    )
    assert close(probabilities, torch.softmax(SCORES, 1))
    assert close(loss, F.cross_entropy(SCORES, TRUTH))


def test_losses_are_computed_in_float32_from_bfloat16_scores() -> None:
    loss = module('type: "SoftmaxWithLoss"', (4, 3), (4,))(put(SCORES).bfloat16(), put(TRUTH))
    assert loss.dtype is torch.float32
    assert close(loss, F.cross_entropy(SCORES.bfloat16().double(), TRUTH), 1e-6)


def test_multinomial_logistic_loss_takes_the_log_of_probabilities() -> None:
    probabilities = torch.softmax(SCORES, 1)
    body = 'type: "MultinomialLogisticLoss"'
    assert close(forward(body, probabilities, TRUTH), F.cross_entropy(SCORES, TRUTH))
    assert gradients_agree(module(body, (4, 3), (4,)), probabilities, TRUTH, learned=1)
    certain = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert float(forward(body, certain, labels(0))) == pytest.approx(-math.log(1e-20))


def test_infogain_loss_weighs_each_confusion() -> None:
    gain = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.2], [0.3, 0.0, 2.0]], dtype=torch.float64)
    body = 'type: "InfogainLoss"'
    logs = torch.log_softmax(SCORES, 1)
    assert close(forward(body, SCORES, TRUTH, gain), -(gain[TRUTH] * logs).sum() / 4)
    identity = torch.eye(3, dtype=torch.float64)
    assert close(forward(body, MAPS, PLACES, identity), F.cross_entropy(MAPS, PLACES))
    ignoring = 'type: "InfogainLoss" loss_param { ignore_label: 2 }'
    assert close(forward(ignoring, MAPS, PLACES, identity), F.cross_entropy(MAPS, PLACES, ignore_index=2))
    tested = module(body, (4, 3), (4,), (3, 3))
    assert gradients_agree(tested, SCORES, TRUTH, gain, learned=1)


def test_infogain_loss_takes_its_matrix_from_the_text() -> None:
    gain = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.25], [0.5, 0.0, 2.0]], dtype=torch.float64)
    data = " ".join(f"data: {value:g}" for value in gain.flatten().tolist())
    body = f'type: "InfogainLoss" blobs {{ {data} }}'
    assert close(forward(body, SCORES, TRUTH), forward('type: "InfogainLoss"', SCORES, TRUTH, gain))
    assert gradients_agree(module(body, (4, 3), (4,)), SCORES, TRUTH, learned=1)
    with pytest.raises(EngineError, match=r"expected an infogain matrix 4×4, found shape \(9,\)"):
        module(body, (4, 4), (4,))


def test_infogain_loss_without_its_matrix_says_where_it_belongs() -> None:
    with pytest.raises(EngineError, match="expected the infogain matrix in blobs or as third bottom"):
        module('type: "InfogainLoss" infogain_loss_param { source: "/etc/passwd" }', (4, 3), (4,))


@pytest.mark.parametrize(("options", "divisor"), [("", 4), ("normalization: FULL", 12), ("normalization: NONE", 1)])
def test_sigmoid_cross_entropy_agrees_with_pytorch(options: str, divisor: int) -> None:
    targets = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    body = f'type: "SigmoidCrossEntropyLoss" loss_param {{ {options} }}'
    total = F.binary_cross_entropy_with_logits(SCORES, targets, reduction="sum")
    assert close(forward(body, SCORES, targets), total / divisor)
    assert gradients_agree(module(body, (4, 3), (4, 3)), SCORES, targets, learned=1)


def test_sigmoid_cross_entropy_leaves_ignored_targets_out() -> None:
    targets = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 1.0]], dtype=torch.float64)
    scores = SCORES[:2]
    options = "ignore_label: -1 normalization: VALID"
    counts = targets >= 0
    expected = F.binary_cross_entropy_with_logits(scores[counts], targets[counts])
    assert close(forward(f'type: "SigmoidCrossEntropyLoss" loss_param {{ {options} }}', scores, targets), expected)


def test_euclidean_loss_is_half_the_mean_square_distance() -> None:
    left, right = random(3, 2, 2), random(3, 2, 2, seed=8)
    assert close(forward('type: "EuclideanLoss"', left, right), ((left - right) ** 2).sum() / 6)
    assert gradients_agree(module('type: "EuclideanLoss"', (3, 2, 2), (3, 2, 2)), left, right)


def test_euclidean_loss_takes_labels_as_numbers() -> None:
    scores = torch.tensor([[1.0], [5.0]], dtype=torch.float64)
    assert float(forward('type: "EuclideanLoss"', scores, labels(0, 3))) == pytest.approx((1 + 4) / 4)


@pytest.mark.parametrize(("norm", "power"), [("L1", 1), ("L2", 2)])
def test_hinge_loss_wants_a_margin_of_1(norm: str, power: int) -> None:
    sign = torch.full((4, 3), -1.0, dtype=torch.float64)
    sign[torch.arange(4), TRUTH] = 1
    expected = F.relu(1 - sign * SCORES).pow(power).sum() / 4
    body = f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}'
    assert close(forward(body, SCORES, TRUTH), expected)
    assert gradients_agree(module(body, (4, 3), (4,)), SCORES, TRUTH, learned=1)


@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive_loss_draws_together_and_apart(legacy: bool) -> None:
    left, right = random(4, 3), random(4, 3, seed=8)
    together = labels(1, 0, 1, 0)
    squares = ((left - right) ** 2).sum(1)
    margin = 3.0
    apart = F.relu(margin - squares) if legacy else F.relu(margin - squares.sqrt()) ** 2
    expected = torch.where(together == 1, squares, apart).sum() / 8
    body = (
        f'type: "ContrastiveLoss" contrastive_loss_param {{ margin: {margin} legacy_version: {str(legacy).lower()} }}'
    )
    assert close(forward(body, left, right, together), expected)
    assert gradients_agree(module(body, (4, 3), (4, 3), (4,)), left, right, together, learned=2)


def test_contrastive_loss_of_two_equal_vectors_has_a_finite_gradient() -> None:
    tested = module('type: "ContrastiveLoss"', (1, 2), (1, 2), (1,))
    left = torch.ones(1, 2, device=DEVICE, requires_grad=True)
    tested(left, torch.ones(1, 2, device=DEVICE), put(labels(0))).backward()
    gradient: Tensor | None = left.grad
    assert gradient is not None
    assert gradient.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("type_", "shapes"),
    [
        ("SoftmaxWithLoss", [(4, 3), (5,)]),
        ("HingeLoss", [(4, 3), (5,)]),
        ("MultinomialLogisticLoss", [(4, 3), (5,)]),
        ("EuclideanLoss", [(4, 3), (4,)]),
        ("SigmoidCrossEntropyLoss", [(4, 3), (4,)]),
        ("ContrastiveLoss", [(4, 3), (4, 2), (4,)]),
        ("InfogainLoss", [(4, 3), (4,), (2, 2)]),
    ],
)
def test_bottoms_that_do_not_fit_are_refused_with_their_shapes(type_: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(EngineError, match=r"tested \(line 7\): expected .*found"):
        module(f'type: "{type_}"', *shapes)
