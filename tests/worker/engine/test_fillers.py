from __future__ import annotations

import math

import pytest
import torch
from google.protobuf import text_format

from app.topology import caffe_pb2
from worker.engine.fillers import fill, supported_fillers


def filled(body: str, *shape: int, seed: int = 1) -> torch.Tensor:
    blob = torch.full(shape, float("nan"))
    fill(blob, text_format.Parse(body, caffe_pb2.FillerParameter()), torch.Generator().manual_seed(seed))
    return blob


def test_no_filler_stands_for_zeros() -> None:
    blob = torch.ones(3)
    fill(blob, None, torch.Generator())
    assert blob.tolist() == [0, 0, 0]


def test_constant_is_caffes_default_with_value_0() -> None:
    assert filled("", 3).tolist() == [0, 0, 0]
    assert filled('type: "constant" value: 0.1', 2).tolist() == pytest.approx([0.1, 0.1])


def test_uniform_stays_within_its_bounds() -> None:
    values = filled('type: "uniform" min: -2 max: 6', 100, 100)
    assert -2 <= float(values.min()) < -1.99
    assert 5.99 < float(values.max()) <= 6
    assert float(values.mean()) == pytest.approx(2, abs=0.1)


def test_gaussian_has_its_mean_and_spread() -> None:
    values = filled('type: "gaussian" mean: 3 std: 0.5', 200, 200)
    assert float(values.mean()) == pytest.approx(3, abs=0.01)
    assert float(values.std()) == pytest.approx(0.5, abs=0.01)


def test_a_sparse_gaussian_keeps_about_that_many_weights_per_output() -> None:
    values = filled('type: "gaussian" std: 1 sparse: 15', 100, 500)
    assert float((values != 0).float().mean()) == pytest.approx(15 / 100, abs=0.01)


@pytest.mark.parametrize(
    ("norm", "count"), [("", 50 * 25), ("FAN_IN", 50 * 25), ("FAN_OUT", 80 * 25), ("AVERAGE", 65 * 25)]
)
def test_xavier_and_msra_spread_by_the_fans(norm: str, count: int) -> None:
    option = f"variance_norm: {norm}" if norm else ""
    xavier = filled(f'type: "xavier" {option}', 80, 50, 5, 5)
    bound = math.sqrt(3 / count)
    assert float(xavier.abs().max()) == pytest.approx(bound, rel=0.01)
    assert float(xavier.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert float(filled(f'type: "msra" {option}', 80, 50, 5, 5).std()) == pytest.approx(math.sqrt(2 / count), rel=0.02)


def test_positive_unitball_rows_add_up_to_1() -> None:
    values = filled('type: "positive_unitball"', 4, 3, 5)
    assert float(values.min()) >= 0
    assert values.sum((1, 2)).tolist() == pytest.approx([1] * 4)


def test_bilinear_is_the_kernel_that_interpolates() -> None:
    kernel = filled('type: "bilinear"', 2, 1, 4, 4)
    row = [0.25, 0.75, 0.75, 0.25]
    assert torch.allclose(kernel[1, 0], torch.outer(torch.tensor(row), torch.tensor(row)))
    odd = filled('type: "bilinear"', 1, 1, 3, 3)
    assert torch.allclose(odd[0, 0, 1], torch.tensor([0.5, 1, 0.5]))


def test_a_seed_gives_the_same_values_again() -> None:
    assert torch.equal(filled('type: "xavier"', 20, 30), filled('type: "xavier"', 20, 30))
    assert not torch.equal(filled('type: "xavier"', 20, 30), filled('type: "xavier"', 20, 30, seed=2))


@pytest.mark.parametrize(
    ("body", "shape", "expected"),
    [
        ('type: "orthogonal"', (2, 2), 'unknown filler type "orthogonal"; known are bilinear, constant'),
        ('type: "uniform" min: 2 max: 1', (2,), "min 2 is larger than max 1"),
        ('type: "gaussian" std: -1', (2,), "std -1 is negative"),
        ('type: "bilinear"', (2, 3), "expected a square kernel"),
    ],
)
def test_an_impossible_filler_is_named(body: str, shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(ValueError, match="filler") as error:
        filled(body, *shape)
    assert expected in str(error.value)


def test_every_filler_of_the_language_is_here() -> None:
    from app.topology.shapes import FILLERS

    assert set(supported_fillers()) == FILLERS
