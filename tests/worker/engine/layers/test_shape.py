from __future__ import annotations

import pytest
import torch

from tests.worker.engine.oracle import close, forward, gradients_agree, module, put, random
from worker.engine.errors import EngineError

SHAPE = (2, 6, 4, 5)


def test_concat_joins_along_its_axis() -> None:
    left, right = random(2, 3, 4), random(2, 5, 4, seed=2)
    assert close(forward('type: "Concat"', left, right), torch.cat([left, right], 1))
    assert close(forward('type: "Concat" concat_param { axis: -1 }', left, left), torch.cat([left, left], 2))
    assert close(forward('type: "Concat" concat_param { concat_dim: 0 }', left, left), torch.cat([left, left], 0))
    assert gradients_agree(module('type: "Concat"', (2, 3, 4), (2, 5, 4)), left, right)


@pytest.mark.parametrize(
    ("options", "sizes"), [("", [3, 3]), ("slice_point: 1", [1, 5]), ("slice_dim: 2 slice_point: 3", [3, 1])]
)
def test_slice_cuts_into_its_tops(options: str, sizes: list[int]) -> None:
    images = random(*SHAPE)
    tested = module(f'type: "Slice" top: "a" top: "b" slice_param {{ {options} }}', SHAPE)
    axis = 2 if "slice_dim" in options else 1
    for found, expected in zip(tested(put(images)), images.split(sizes, axis), strict=True):
        assert close(found, expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("slice_point: 4 slice_point: 2", "rising numbers below 6"),
        ("slice_point: 2", "expected 2 rising numbers"),
        ("slice_dim: 2", "4 along axis 2 do not divide into 3 tops"),
    ],
)
def test_an_impossible_slice_is_named(options: str, expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "Slice" top: "a" top: "b" top: "c" slice_param {{ {options} }}', SHAPE)
    assert expected in str(error.value)


def test_split_gives_each_reader_the_same() -> None:
    values = random(2, 3)
    first, second = module('type: "Split" top: "a" top: "b"', (2, 3))(put(values))
    assert close(first, values)
    assert close(second, values)


@pytest.mark.parametrize(
    ("options", "expected"), [("", (2, 120)), ("axis: 2", (2, 6, 20)), ("axis: 0 end_axis: 1", (12, 4, 5))]
)
def test_flatten_joins_axes(options: str, expected: tuple[int, ...]) -> None:
    images = random(*SHAPE)
    assert close(forward(f'type: "Flatten" flatten_param {{ {options} }}', images), images.reshape(expected))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("shape { dim: 0 dim: -1 }", (2, 120)),
        ("shape { dim: 0 dim: 3 dim: 2 dim: -1 }", (2, 3, 2, 20)),
        ("axis: 1 shape { dim: 3 dim: 2 dim: 20 }", (2, 3, 2, 20)),
        ("axis: 1 num_axes: 1 shape { dim: 2 dim: 3 }", (2, 2, 3, 4, 5)),
        ("axis: -1 num_axes: 0 shape { dim: 1 }", (2, 6, 4, 5, 1)),
        ("axis: 2 shape { dim: -1 dim: 1 }", (2, 6, 20, 1)),
    ],
)
def test_reshape_follows_caffes_rules(options: str, expected: tuple[int, ...]) -> None:
    images = random(*SHAPE)
    assert close(forward(f'type: "Reshape" reshape_param {{ {options} }}', images), images.reshape(expected))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("shape { dim: -1 dim: -1 }", "at most one -1"),
        ("axis: 2 num_axes: 5", "num_axes 5 from axis 2 exceeds"),
        ("axis: 3 shape { dim: 5 dim: 0 }", "0 copies an axis that its bottom"),
    ],
)
def test_an_impossible_reshape_is_named(options: str, expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "Reshape" reshape_param {{ {options} }}', SHAPE)
    assert expected in str(error.value)


def test_tile_repeats_the_whole_axis() -> None:
    values = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    assert forward('type: "Tile" tile_param { tiles: 3 }', values).tolist() == [[1, 2, 1, 2, 1, 2]]
    assert gradients_agree(module('type: "Tile" tile_param { axis: 0 tiles: 2 }', (1, 2)), values)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("", (slice(None), slice(None), slice(0, 2), slice(0, 3))),
        ("offset: 1", (slice(None), slice(None), slice(1, 3), slice(1, 4))),
        ("axis: 1 offset: 3 offset: 2 offset: 0", (slice(None), slice(3, 5), slice(2, 4), slice(0, 3))),
        ("axis: 3 offset: 2", (slice(None), slice(None), slice(None), slice(2, 5))),
    ],
)
def test_crop_takes_the_second_bottoms_size(options: str, part: tuple[slice, ...]) -> None:
    images, pattern = random(*SHAPE), random(2, 2, 2, 3)
    assert close(forward(f'type: "Crop" crop_param {{ {options} }}', images, pattern), images[part])


def test_a_crop_beyond_its_bottom_is_named() -> None:
    with pytest.raises(EngineError, match="offset 3 and size 2 exceed"):
        module('type: "Crop" crop_param { offset: 3 }', SHAPE, (2, 6, 2, 2))


def test_silence_makes_nothing() -> None:
    assert module('type: "Silence"', (2, 3))(put(random(2, 3))) == ()


def test_bottoms_that_do_not_fit_together_are_named() -> None:
    with pytest.raises(EngineError, match="bottoms may differ in axis 1 only"):
        module('type: "Concat"', (2, 3, 4), (2, 3, 5))
