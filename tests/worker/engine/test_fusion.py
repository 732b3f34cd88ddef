"""Nets whose BatchNorm and Scale run as one, against the same nets run layer by layer (as they are when observed)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from app.solver.spec import SolverSpec
from app.topology.fit import fit
from app.topology.net import Layer, Phase
from app.topology.text import read
from app.topology.zoo import zoo_entry
from tests.worker.engine.oracle import DEVICE, close, put, random
from worker.engine.compile import CompiledNet, NetResult, compile_net
from worker.engine.solvers import Solver

SHAPES = {"data": (4, 2, 6, 5), "label": (4,)}
IN_PLACE = 'bottom: "conv" top: "conv"'

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" NORM }
layer { name: "scale" type: "Scale" SCALE }
layer { name: "relu" type: "ReLU" bottom: "END" top: "END" }
layer { name: "ip" type: "InnerProduct" bottom: "END" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
FILLED = 'bias_term: true filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'
SCALED = f"{IN_PLACE} scale_param {{ {FILLED} }}"


def drawn(norm: str = IN_PLACE, scale: str = SCALED, end: str = "conv") -> str:
    return NET.replace("NORM", norm).replace("SCALE", scale).replace("END", end)


ARRANGEMENTS = {
    "in place": drawn(),
    "apart": drawn('bottom: "conv" top: "bn"', f'bottom: "bn" top: "scale" scale_param {{ {FILLED} }}', "scale"),
    "scale in place": drawn('bottom: "conv" top: "bn"', f'bottom: "bn" top: "bn" scale_param {{ {FILLED} }}', "bn"),
    "norm in place": drawn(scale=f'bottom: "conv" top: "scale" scale_param {{ {FILLED} }}', end="scale"),
    "without bias": drawn(scale=f"{IN_PLACE} scale_param {{ filler {{ value: -0.7 }} }}"),
    "axis from the end": drawn(scale=f"{IN_PLACE} scale_param {{ axis: -3 {FILLED} }}"),
    "running statistics in training": drawn(f"{IN_PLACE} batch_norm_param {{ use_global_stats: true }}"),
    "eps and fraction": drawn(f"{IN_PLACE} batch_norm_param {{ eps: 0.1 moving_average_fraction: 0.5 }}"),
    "the bottom read elsewhere": drawn(
        'bottom: "conv" top: "bn"', f'bottom: "bn" top: "bn" scale_param {{ {FILLED} }}', "bn"
    )
    + 'layer { name: "sum" type: "Reduction" bottom: "conv" top: "sum" loss_weight: 0.01 }',
}


def compiled(text: str, phase: Phase = Phase.TRAIN, **options: object) -> CompiledNet:
    net = compile_net(read(text).net(phase), SHAPES, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, weight in net.weights().items():
            if name in ("bn.mean", "bn.variance", "bn.factor"):
                weight.value.copy_(random(*weight.value.shape).abs() + 0.5)
    return net.to(DEVICE)


def pairs(net: CompiledNet) -> list[tuple[str, str]]:
    """The layers that run as one."""
    fused = [step.compute for step in net.operations if step.compute is not step.module]
    return [(pair.norm.layer.name, pair.scale.layer.name) for pair in fused]  # type: ignore[attr-defined]


def look_away(layer: Layer, tops: tuple[Tensor, ...]) -> None: ...


def run(net: CompiledNet, dtype: torch.dtype, *, fused: bool) -> NetResult:
    images = put(random(*SHAPES["data"]).to(dtype) * 3 + 1)
    labels = put(torch.arange(4) % 3)
    return net(images, labels, observe=None if fused else look_away)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["f32", "f64"])
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_fused_pair_computes_learns_and_remembers_as_its_two_layers_do(
    arrangement: str, phase: Phase, dtype: torch.dtype, tolerance: float
) -> None:
    one, two = (compiled(ARRANGEMENTS[arrangement], phase, keep=["ip"]).to(dtype) for _ in range(2))
    assert pairs(one) == [("bn", "scale")]
    for _ in range(3):
        for net, fused in ((one, True), (two, False)):
            result = run(net, dtype, fused=fused)
            assert result.loss is not None
            result.loss.backward()
    first, second = run(one, dtype, fused=True), run(two, dtype, fused=False)
    assert first.blobs.keys() == second.blobs.keys()
    for name, blob in first.blobs.items():
        assert close(blob.detach(), second.blobs[name].detach().cpu(), tolerance), name
    expected = two.weights()
    for name, weight in one.weights().items():
        assert close(weight.value.detach(), expected[name].value.detach().cpu(), tolerance), name
        assert (weight.value.grad is None) == (not weight.learned)
        if weight.value.grad is not None:
            assert close(weight.value.grad, expected[name].value.grad.cpu(), tolerance), name  # type: ignore[union-attr]


def test_a_fused_pair_is_pytorchs_own_batch_norm() -> None:
    net = compiled(drawn(), keep=["conv"])
    weights = {name: weight.value for name, weight in net.weights().items()}
    peer = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU()).to(DEVICE)
    names = ["conv.weight", "conv.bias", "scale.weight", "scale.bias"]
    with torch.no_grad():
        for parameter, name in zip(peer.parameters(), names, strict=True):
            parameter.copy_(weights[name])
    images = put(random(*SHAPES["data"]).float())
    assert pairs(net) == [("bn", "scale")]
    found = net(images, put(torch.zeros(4, dtype=torch.int64))).blobs["conv"]
    assert close(found.detach(), peer(images).detach().cpu(), 1e-5)


def test_learning_rates_of_a_fused_scale_are_its_own() -> None:
    net = compiled(drawn(scale=f"param {{ lr_mult: 0 }} param {{ lr_mult: 3 }} {SCALED}"))
    assert pairs(net) == [("bn", "scale")]
    before = {name: weight.value.detach().clone() for name, weight in net.weights().items()}
    solver = Solver(SolverSpec(momentum=0, weight_decay=0), net.weights())
    loss = run(net, torch.float32, fused=True).loss
    assert loss is not None
    loss.backward()
    gradient = net.weights()["scale.bias"].value.grad
    assert gradient is not None
    moved = before["scale.bias"] - 3 * 0.1 * gradient
    solver.step(0.1)
    after = net.weights()
    assert torch.equal(after["scale.weight"].value, before["scale.weight"])
    assert close(after["scale.bias"].value.detach(), moved.cpu(), 1e-6)


def test_one_pixel_per_channel_is_normalised_alike() -> None:
    text = drawn().replace("kernel_size: 3", "kernel_h: 6 kernel_w: 5")
    one, two = (compile_net(read(text).net(Phase.TRAIN), SHAPES | {"data": (1, 2, 6, 5), "label": (1,)}) for _ in "12")
    images, labels = random(1, 2, 6, 5).float(), torch.tensor([1])
    assert pairs(one) == [("bn", "scale")]
    fused, apart = one(images, labels).loss, two(images, labels, observe=look_away).loss
    assert close(fused.detach(), apart.detach(), 1e-5)
    assert float(one.weights()["bn.variance"].value.abs().sum()) == 0


def test_an_observer_sees_what_each_of_the_two_made() -> None:
    net = compiled(drawn(), Phase.TEST)
    seen: dict[str, Tensor] = {}

    def observe(layer: Layer, tops: tuple[Tensor, ...]) -> None:
        seen[layer.name] = tops[0].detach().clone()

    with torch.no_grad():
        net(put(random(*SHAPES["data"]).float()), put(torch.arange(4) % 3), observe=observe)
    weights = net.weights()
    assert list(seen) == [layer.name for layer in net.net.layers]
    scaled = seen["bn"] * weights["scale.weight"].value[:, None, None] + weights["scale.bias"].value[:, None, None]
    assert close(seen["scale"], scaled.cpu(), 1e-5)
    assert not torch.equal(seen["bn"], seen["scale"])


AFTER_BN = 'layer { name: "scale"'
APART = ARRANGEMENTS["apart"]


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        pytest.param(APART, ["bn"], id="what lies between is wanted"),
        pytest.param(
            APART + 'layer { name: "sum" type: "Reduction" bottom: "bn" top: "sum" }', [], id="a second reader"
        ),
        pytest.param(
            drawn().replace(AFTER_BN, f'layer {{ name: "s" type: "Silence" bottom: "conv" }} {AFTER_BN}'),
            [],
            id="a reader before the scale",
        ),
        pytest.param(
            drawn().replace(AFTER_BN, f'layer {{ name: "t" type: "TanH" {IN_PLACE} }} {AFTER_BN}'),
            [],
            id="another layer between them",
        ),
        pytest.param(
            APART.replace('bottom: "conv" top: "bn"', 'bottom: "conv" top: "bn" loss_weight: 0.1'), [], id="a loss"
        ),
        pytest.param(drawn(scale=f"{IN_PLACE} scale_param {{ axis: 2 }}"), [], id="scaled along rows"),
        pytest.param(drawn(scale=f"{IN_PLACE} scale_param {{ num_axes: 0 }}"), [], id="one factor for all"),
        pytest.param(drawn(scale=f"{IN_PLACE} scale_param {{ num_axes: -1 }}"), [], id="a factor per value"),
        pytest.param(
            drawn(scale='bottom: "conv" bottom: "conv" top: "conv" scale_param { axis: 0 }'), [], id="two bottoms"
        ),
        pytest.param(
            drawn(norm='bottom: "data" top: "bn"') + 'layer { name: "s" type: "Silence" bottom: "bn" }',
            [],
            id="a scale of another blob",
        ),
    ],
)
def test_what_others_need_or_means_something_else_is_not_fused(text: str, keep: list[str]) -> None:
    net = compiled(text, keep=keep)
    assert pairs(net) == []
    assert net.operations == net.steps
    assert set(keep) <= set(run(net, torch.float32, fused=True).blobs)


@pytest.mark.parametrize(("name", "count"), [("resnet18", 20), ("resnet50", 53), ("mobilenet", 27)])
def test_every_pair_of_the_zoo_is_fused(name: str, count: int) -> None:
    net = read(fit(zoo_entry(name).prototxt, 10)).net(Phase.TRAIN)
    found = compile_net(net, {"data": (2, 3, 224, 224), "label": (2,)}, seed=None)
    assert len(pairs(found)) == count
    assert len(found.operations) == len(found.steps) - count
