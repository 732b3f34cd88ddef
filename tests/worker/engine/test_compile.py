from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.topology.fit import fit
from app.topology.net import Layer, Phase
from app.topology.shapes import infer
from app.topology.text import read
from app.topology.zoo import ZooEntry, zoo, zoo_entry
from tests.worker.engine.drawn import NET, WITH_BATCH_NORM
from tests.worker.engine.oracle import DEVICE, close
from worker.engine.compile import CompiledNet, compile_net, scores_blob
from worker.engine.errors import EngineError

SHAPES = {"data": (4, 1, 12, 12), "label": (4,)}


def compiled(text: str = NET, phase: Phase = Phase.TRAIN, **options: object) -> CompiledNet:
    return compile_net(read(text).net(phase), SHAPES, **options).to(DEVICE)  # type: ignore[arg-type]


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    return images.to(DEVICE), (torch.arange(count) % 3).to(DEVICE)


def test_a_net_computes_what_the_same_calls_of_pytorch_compute() -> None:
    net, (images, labels) = compiled(phase=Phase.TEST, keep=["ip1"]), batch()
    weights = {name: weight.value for name, weight in net.weights().items()}
    hidden = F.relu(F.conv2d(images, weights["conv1.weight"], weights["conv1.bias"]))
    scores = F.linear(F.max_pool2d(hidden, 2).flatten(1), weights["ip1.weight"], weights["ip1.bias"])
    result = net(images, labels)
    assert close(result.blobs["ip1"], scores.cpu(), 1e-5)
    assert result.loss is not None
    assert close(result.loss, F.cross_entropy(scores, labels).cpu(), 1e-5)
    assert set(result.blobs) == {"ip1", "accuracy", "loss"}


def test_any_batch_size_runs() -> None:
    assert compiled(keep=["ip1"])(*batch(7)).blobs["ip1"].shape == (7, 3)


def test_two_phases_share_their_weights() -> None:
    train = compiled()
    test = compile_net(read(NET).net(Phase.TEST), SHAPES, weights_of=train)
    for name, weight in train.weights().items():
        assert test.weights()[name].value is weight.value


def test_running_statistics_are_shared_too() -> None:
    train = compiled(WITH_BATCH_NORM)
    test = compile_net(read(WITH_BATCH_NORM).net(Phase.TEST), SHAPES, weights_of=train)
    train(*batch())
    assert float(test.weights()["bn1.factor"].value) == 1
    assert not test.weights()["bn1.factor"].learned
    assert train.parameter_count() == sum(
        weight.value.numel() for name, weight in train.weights().items() if not name.startswith("bn1")
    )


def test_weights_are_named_and_ordered_as_caffe_orders_blobs() -> None:
    names = list(compiled(WITH_BATCH_NORM).weights())
    assert names[:6] == ["conv1.weight", "conv1.bias", "bn1.mean", "bn1.variance", "bn1.factor", "scale1.weight"]
    assert names[6:] == ["scale1.bias", "ip1.weight", "ip1.bias"]


def test_multipliers_are_read_per_blob() -> None:
    text = NET.replace("param { lr_mult: 2 }", "param { lr_mult: 0 decay_mult: 3 }")
    weights = compiled(text).weights()
    assert (weights["conv1.weight"].lr_mult, weights["conv1.weight"].decay_mult) == (1, 1)
    assert (weights["conv1.bias"].lr_mult, weights["conv1.bias"].decay_mult) == (0, 3)


def test_layers_that_name_a_parameter_share_it() -> None:
    twins = """
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" } param { name: "b" }
      inner_product_param { num_output: 144 weight_filler { type: "xavier" } } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { name: "b" }
      inner_product_param { num_output: 144 } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "a" top: "loss" }
    layer { name: "quiet" type: "Silence" bottom: "label" }
    """
    net = compiled(twins)
    weights = net.weights()
    assert weights["a.weight"].value is weights["b.weight"].value
    assert net.parameter_count() == 144 * 145
    assert float(weights["b.weight"].value.detach().abs().sum()) > 0  # filled by the first that names it


def test_parameters_of_different_shapes_cannot_be_shared() -> None:
    text = NET.replace("param { lr_mult: 1 }", 'param { name: "w" }')
    with pytest.raises(EngineError, match=r"ip1: the weights that it shares as .* are 3×150, not 6×1×3×3 as in conv1"):
        compiled(text)


def test_the_total_loss_weighs_every_loss() -> None:
    text = (
        NET
        + """
    layer { name: "aux" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "aux" loss_weight: 0.3 }
    layer { name: "size" type: "Reduction" bottom: "ip1" top: "size" loss_weight: 2 reduction_param { axis: 1 } }
    """
    )
    result = compiled(text, keep=["ip1"], phase=Phase.TEST)(*batch())
    blobs = result.blobs
    assert result.loss is not None
    assert close(result.loss, (blobs["loss"] + 0.3 * blobs["aux"] + 2 * blobs["ip1"].sum()).cpu(), 1e-5)


def test_a_net_without_a_loss_has_none() -> None:
    text = NET[: NET.index('layer { name: "accuracy"')]
    assert compiled(text + 'layer { name: "quiet" type: "Silence" bottom: "label" }')(*batch()).loss is None


def test_one_seed_gives_one_net() -> None:
    first, again, other = compiled(), compiled(), compiled(seed=2)
    assert torch.equal(first.weights()["ip1.weight"].value, again.weights()["ip1.weight"].value)
    assert not torch.equal(first.weights()["ip1.weight"].value, other.weights()["ip1.weight"].value)


def test_an_observer_sees_each_layer_before_the_next_overwrites_it() -> None:
    seen: list[tuple[str, float]] = []

    def observe(layer: Layer, tops: tuple[Tensor, ...]) -> None:
        seen.extend((layer.name, float(top.min())) for top in tops if layer.name in ("conv1", "relu1"))

    with torch.no_grad():
        compiled(phase=Phase.TEST)(*batch(), observe=observe)
    assert [name for name, _ in seen] == ["conv1", "relu1"]
    assert seen[0][1] < 0
    assert seen[1][1] == 0


APART = NET.replace('bottom: "conv1" top: "conv1" }', 'bottom: "conv1" top: "relu1" }').replace(
    'type: "Pooling" bottom: "conv1"', 'type: "Pooling" bottom: "relu1"'
)


def overwriting(text: str, **options: object) -> set[str]:
    return {step.module.layer.name for step in compiled(text, **options).steps if step.module.inplace}


def test_a_relu_overwrites_what_nobody_else_reads() -> None:
    assert overwriting(NET) == {"relu1"}
    assert overwriting(APART) == {"relu1"}


def test_a_relu_spares_what_others_read_and_what_gradients_need() -> None:
    second_reader = NET + 'layer { name: "sum" type: "Reduction" bottom: "conv1" top: "sum" }'
    assert overwriting(second_reader) == {"relu1"}  # it reads what the ReLU wrote
    before = NET.replace(
        'layer { name: "relu1"', 'layer { name: "s" type: "Silence" bottom: "conv1" }\nlayer { name: "relu1"'
    )
    assert overwriting(before) == set()
    after_sigmoid = NET.replace(
        'layer { name: "relu1"',
        'layer { name: "s" type: "Sigmoid" bottom: "conv1" top: "conv1" }\nlayer { name: "relu1"',
    )
    assert overwriting(after_sigmoid) == set()
    assert overwriting(APART, keep=["conv1"]) == set()
    assert overwriting(APART.replace('type: "Pooling" bottom: "relu1"', 'type: "Pooling" bottom: "conv1"')) == set()


def test_a_relu_on_the_image_itself_leaves_the_image_alone() -> None:
    text = NET.replace(
        'layer { name: "conv1"', 'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }\nlayer { name: "conv1"'
    )
    images, labels = batch()
    images -= 0.5
    compiled(text)(images, labels)
    assert float(images.min()) < 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kernel_size: 3", "kernel_size: 30", r"conv1: .*30.*\(line 4\)"),
        ('type: "xavier"', 'type: "orthogonal"', r'conv1: unknown filler "orthogonal".*\(line 4\)'),
        ("kernel_size: 2", "pool: STOCHASTIC kernel_size: 2 pad: 1", r"pool1.*STOCHASTIC takes no pad"),
        ('top: "accuracy"', 'top: "accuracy" top: "a" top: "b"', r"accuracy: expects 1 to 2 tops, found 3"),
    ],
)
def test_what_cannot_be_compiled_is_named_with_its_layer_and_line(old: str, new: str, expected: str) -> None:
    net = read(NET.replace(old, new)).net(Phase.TEST)
    with pytest.raises(EngineError, match=expected):
        compile_net(net, SHAPES)


def test_the_scores_are_what_the_last_top_1_accuracy_looks_at() -> None:
    assert scores_blob(read(NET).net(Phase.TEST)) == "ip1"
    assert scores_blob(read(NET).net(Phase.TRAIN)) == "ip1"


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
def test_the_zoo_makes_the_shapes_that_the_language_infers(entry: ZooEntry) -> None:
    """Two independent implementations: `app.topology.shapes`, and PyTorch run without values."""
    net = read(fit(entry.prototxt, 10)).net(Phase.TRAIN)
    shapes = {"data": (2, entry.channels, entry.image_size, entry.image_size), "label": (2,)}
    inferred = infer(net, shapes)
    found = compile_net(net, shapes, seed=None)
    made: dict[str, tuple[int, ...]] = {}

    def observe(layer: Layer, tops: tuple[Tensor, ...]) -> None:
        made.update({name: tuple(top.shape) for name, top in zip(layer.tops, tops, strict=True)})

    with torch.no_grad():
        labels = torch.zeros(2, dtype=torch.int64, device="meta")
        found.to("meta")(torch.empty(shapes["data"], device="meta"), labels, observe=observe)
    assert made == {name: inferred.blobs[name] for name in made}
    assert set(made) | set(net.inputs) == set(inferred.blobs)
    weights = [tuple(weight.value.shape) for weight in found.weights().values()]
    assert weights == [shape for layer in inferred for shape in layer.parameter_shapes]
    assert found.parameter_count() == sum(layer.parameters for layer in inferred)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet"])
def test_nets_with_batch_norm_begin_by_taking_every_class_for_as_likely(name: str) -> None:
    """A classifier that begins with large weights is sure of itself, and its first steps throw the net about."""
    entry = zoo_entry(name)
    assert entry is not None
    net = read(fit(entry.prototxt, 10)).net(Phase.TRAIN)
    found = compile_net(net, {"data": (8, 3, 32, 32), "label": (8,)}).to(DEVICE)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    with torch.no_grad():
        loss = found(images, torch.arange(8).to(DEVICE)).loss
    assert float(loss) == pytest.approx(math.log(10), rel=0.15)
