from __future__ import annotations

import pytest
import torch

from tests.worker.engine.oracle import close, forward, labels, module, put, random
from worker.engine.errors import EngineError

SCORES = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], dtype=torch.float64)


def test_drawn_scores_are_counted() -> None:
    truth = labels(1, 1, 2, 0)
    assert float(forward('type: "Accuracy"', SCORES, truth)) == 0.5
    assert float(forward('type: "Accuracy" accuracy_param { top_k: 2 }', SCORES, truth)) == 0.75
    assert float(forward('type: "Accuracy" accuracy_param { top_k: 3 }', SCORES, truth)) == 1


def test_ignored_labels_count_neither_way() -> None:
    body = 'type: "Accuracy" accuracy_param { ignore_label: 2 }'
    assert float(forward(body, SCORES, labels(1, 1, 2, 2))) == 0.5
    assert float(forward(body, SCORES, labels(2, 2, 2, 2))) == 0
    assert float(forward('type: "Accuracy" accuracy_param { ignore_label: 255 }', SCORES, labels(1, 0, 255, 255))) == 1


def test_a_second_top_gives_the_accuracy_of_each_class() -> None:
    tested = module('type: "Accuracy" top: "all" top: "each"', (4, 3), (4,))
    overall, each = tested(put(SCORES), put(labels(1, 1, 2, 2)))
    assert float(overall) == 0.75
    assert each.tolist() == [0, 0.5, 1]


def test_scores_along_a_later_axis_are_counted_place_by_place() -> None:
    scores = torch.stack([SCORES, SCORES.flip(1)]).transpose(1, 2)  # (2, 3, 4): images, classes, places
    truth = torch.tensor([[1, 0, 2, 2], [1, 2, 0, 1]])
    assert float(forward('type: "Accuracy"', scores, truth)) == 7 / 8


def test_of_equal_scores_the_first_class_ranks_first_as_in_argmax() -> None:
    scores = torch.ones(3, 3, dtype=torch.float64)
    assert float(forward('type: "Accuracy"', scores, labels(0, 1, 2))) == pytest.approx(1 / 3)
    assert float(forward('type: "Accuracy" accuracy_param { top_k: 2 }', scores, labels(0, 1, 2))) == pytest.approx(
        2 / 3
    )
    scores = random(500, 10).bfloat16().double()
    expected = (scores.argmax(1) == 3).double().mean()
    assert close(forward('type: "Accuracy"', scores, torch.full((500,), 3)), expected, 1e-6)


def test_scores_that_are_no_numbers_are_never_right() -> None:
    scores = torch.full((4, 3), float("nan"), dtype=torch.float64)
    assert float(forward('type: "Accuracy" accuracy_param { top_k: 2 }', scores, labels(0, 1, 2, 0))) == 0


@pytest.mark.parametrize(
    ("options", "label_shape", "expected"),
    [("top_k: 4", (4,), "top_k: expected 1 to 3 (the classes), found 4"), ("", (5,), "expected 4 labels for scores")],
)
def test_what_does_not_fit_is_named(options: str, label_shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "Accuracy" accuracy_param {{ {options} }}', (4, 3), label_shape)
    assert expected in str(error.value)
