from __future__ import annotations

import pytest
import torch

from tests.worker.engine.oracle import close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError

SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("options", "shape", "view"),
    [
        ("", (3,), (1, 3, 1, 1)),
        ("axis: 2", (4,), (1, 1, 4, 1)),
        ("axis: 1 num_axes: 2", (3, 4), (1, 3, 4, 1)),
        ("axis: 1 num_axes: -1", (3, 4, 5), (1, 3, 4, 5)),
        ("axis: -1", (5,), (1, 1, 1, 5)),
        ("num_axes: 0", (), (1, 1, 1, 1)),
    ],
)
def test_a_learned_factor_lies_along_its_axes(options: str, shape: tuple[int, ...], view: tuple[int, ...]) -> None:
    filled = 'filler { type: "gaussian" } bias_term: true bias_filler { type: "gaussian" }'
    tested = module(f'type: "Scale" scale_param {{ {options} {filled} }}', SHAPE)
    factor, summand = tested.blob("weight").cpu(), tested.blob("bias").cpu()
    assert factor.shape == summand.shape == shape
    images = random(*SHAPE)
    assert close(tested(put(images)), images * factor.reshape(view) + summand.reshape(view))
    assert gradients_agree(
        module(f'type: "Scale" scale_param {{ {options} {filled} }}', (2, 2, 2, 2)), random(2, 2, 2, 2)
    )


def test_a_factor_starts_at_one() -> None:
    images = random(*SHAPE)
    assert close(forward('type: "Scale"', images), images)


def test_a_second_bottom_scales() -> None:
    images, factor = random(*SHAPE), random(3, seed=9)
    assert close(forward('type: "Scale"', images, factor), images * factor.reshape(3, 1, 1))
    per_image = random(2, 3, seed=4)
    assert close(
        forward('type: "Scale" scale_param { axis: 0 }', images, per_image), images * per_image[:, :, None, None]
    )
    assert gradients_agree(module('type: "Scale"', (1, 2, 2, 2), (2,)), random(1, 2, 2, 2), random(2))


def test_a_second_bottom_along_the_batch_takes_another_batch_size() -> None:
    tested = module('type: "Scale" scale_param { axis: 0 }', (8, 3), (8,))
    values, factor = random(5, 3), random(5, seed=2)
    assert close(tested(put(values), put(factor)), values * factor[:, None])


def test_bias_adds_what_it_learned_or_its_second_bottom() -> None:
    tested = module('type: "Bias" bias_param { filler { type: "gaussian" } }', SHAPE)
    images, summand = random(*SHAPE), random(3, seed=9)
    assert list(tested.blobs) == ["bias"]
    assert close(tested(put(images)), images + tested.blob("bias").cpu().reshape(3, 1, 1))
    assert close(forward('type: "Bias"', images, summand), images + summand.reshape(3, 1, 1))
    assert gradients_agree(tested, images)


@pytest.mark.parametrize(
    ("shapes", "options", "expected"),
    [
        ([SHAPE], "axis: 2 num_axes: 3", "num_axes 3 from axis 2 exceeds"),
        ([SHAPE, (4,)], "", "to match"),
        ([SHAPE], "axis: 7", "axis 7 is outside"),
    ],
)
def test_an_impossible_extent_is_named(shapes: list[tuple[int, ...]], options: str, expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "Scale" scale_param {{ {options} }}', *shapes)
    assert expected in str(error.value)


def test_the_top_of_bfloat16_values_is_bfloat16() -> None:
    tested = module('type: "Scale" scale_param { bias_term: true }', SHAPE).float()
    assert tested(put(random(*SHAPE)).to(torch.bfloat16)).dtype is torch.bfloat16
