"""Layers under test: built from a line of prototxt, run in float64, their gradients checked by differences.

`TRAINYARD_TEST_DEVICE=cuda:0` runs the same tests on another device.
"""

from __future__ import annotations

import os

import torch
from google.protobuf import text_format
from torch import Tensor

from app.topology import caffe_pb2
from app.topology.net import Layer, Phase
from worker.engine.layers import LayerModule, Site, build_layer

DEVICE = torch.device(os.environ.get("TRAINYARD_TEST_DEVICE", "cpu"))


def layer(body: str) -> Layer:
    """`type: "ReLU" relu_param { … }` as a Layer called "tested"; one top unless the body names others."""
    options = text_format.Parse(f'name: "tested" {body}', caffe_pb2.LayerParameter())
    tops = tuple(options.top) or ("top",)
    return Layer("tested", options.type, tuple(options.bottom), tops, options, line=7)


def module(body: str, *shapes: tuple[int, ...], phase: Phase = Phase.TRAIN, seed: int = 3) -> LayerModule:
    """The layer's module in float64, its blobs filled."""
    built = build_layer(Site(layer(body), shapes, phase))
    built.fill_blobs(torch.Generator().manual_seed(seed))
    return built.double().to(DEVICE)


def forward(body: str, *bottoms: Tensor, phase: Phase = Phase.TRAIN) -> Tensor:
    """The first top for these bottoms."""
    top = module(body, *[tuple(bottom.shape) for bottom in bottoms], phase=phase)(*[put(bottom) for bottom in bottoms])
    return (top[0] if isinstance(top, tuple) else top).cpu()


def gradients_agree(tested: LayerModule, *bottoms: Tensor, learned: int = -1) -> bool:
    """Whether autograd's gradients, for the bottoms and for the blobs, are those of small differences.

    Only the first `learned` bottoms get a gradient (labels have none); all of them by default.
    """
    count = len(bottoms) if learned < 0 else learned
    inputs = [put(bottom).requires_grad_(place < count) for place, bottom in enumerate(bottoms)]
    blobs = [tested.blob(name) for name, blob in tested.blobs.items() if blob.learned]

    def run(*values: Tensor) -> Tensor | tuple[Tensor, ...]:
        result = tested(*values[: len(inputs)])
        return result[0] if isinstance(result, tuple) else result

    return bool(torch.autograd.gradcheck(run, (*inputs, *blobs), atol=1e-6, rtol=1e-4))


def put(values: Tensor) -> Tensor:
    return values.detach().clone().to(DEVICE)


def random(*shape: int, seed: int = 5) -> Tensor:
    """Float64 values of a normal distribution."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> bool:
    """Whether two results are the same in shape and in value."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return bool(torch.allclose(found.cpu().double(), expected.double(), rtol=tolerance, atol=tolerance))
