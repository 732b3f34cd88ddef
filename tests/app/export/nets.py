"""Nets of the zoo and single layers as they would be deployed, with weights whose answers tell the classes apart."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from app.preprocessing import Channels, Preprocessing
from app.topology.deploy import deploy_net
from app.topology.fit import fit
from app.topology.net import Layer, Net
from app.topology.text import read
from app.topology.zoo import zoo_entry
from worker.engine.compile import CompiledNet, compile_net

# As small as each net allows, so that all of them run in seconds.
SIZES = {
    "lenet": 28, "cifar10-quick": 32, "alexnet": 99, "caffenet": 99, "googlenet": 96, "squeezenet": 64,
    "vgg16": 32, "resnet18": 64, "resnet50": 64, "mobilenet": 64, "nin": 99,
}  # fmt: skip


# Pixels may be equal, and then any of them is the largest.
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param '
    '{ num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } } '
)
LAYERS = {
    "pooling with pads": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" '
    "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }",
    "max pooling rounded up": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" '
    "pooling_param { kernel_size: 2 stride: 2 } }",
    "lrn across": 'layer { name: "p" type: "LRN" bottom: "data" top: "p" lrn_param { local_size: 3 alpha: 0.5 } }',
    "deconvolution": 'layer { name: "p" type: "Deconvolution" bottom: "data" top: "p" convolution_param '
    '{ num_output: 3 kernel_size: 4 stride: 2 pad: 1 weight_filler { type: "xavier" } } }',
    "grouped, dilated": 'layer { name: "p" type: "Convolution" bottom: "data" top: "p" convolution_param '
    '{ num_output: 6 kernel_size: 3 group: 3 dilation: 2 weight_filler { type: "xavier" } } }',
    "rectangular": 'layer { name: "p" type: "Convolution" bottom: "data" top: "p" convolution_param '
    '{ num_output: 2 kernel_h: 3 kernel_w: 1 stride_h: 2 stride_w: 1 weight_filler { type: "xavier" } } }',
    "batch norm": 'layer { name: "p" type: "BatchNorm" bottom: "data" top: "p" }',
    "scale": 'layer { name: "p" type: "Scale" bottom: "data" top: "p" scale_param { bias_term: true '
    'filler { type: "gaussian" } } }',
    "prelu": 'layer { name: "p" type: "PReLU" bottom: "data" top: "p" }',
    "elu": 'layer { name: "p" type: "ELU" bottom: "data" top: "p" }',
    "leaky relu": 'layer { name: "p" type: "ReLU" bottom: "data" top: "p" relu_param { negative_slope: 0.3 } }',
    "sigmoid": 'layer { name: "p" type: "Sigmoid" bottom: "data" top: "p" }',
    "tanh": 'layer { name: "p" type: "TanH" bottom: "data" top: "p" }',
    "absval": 'layer { name: "p" type: "AbsVal" bottom: "data" top: "p" }',
    "bnll": 'layer { name: "p" type: "BNLL" bottom: "data" top: "p" }',
    "power": 'layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { power: 2 scale: 0.5 shift: 1 } }',
    "flatten": 'layer { name: "p" type: "Flatten" bottom: "data" top: "p" }',
    "reshape": 'layer { name: "p" type: "Reshape" bottom: "data" top: "p" '
    "reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }",
    "mvn": 'layer { name: "p" type: "MVN" bottom: "data" top: "p" }',
    "eltwise": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Eltwise" '
    'bottom: "data" bottom: "a" top: "p" eltwise_param { coeff: 2 coeff: -1 } }',
    "maximum": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Eltwise" '
    'bottom: "data" bottom: "a" top: "p" eltwise_param { operation: MAX } }',
    "concat": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Concat" '
    'bottom: "data" bottom: "a" top: "p" }',
    "slice": 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 } } '
    'layer { name: "q" type: "Silence" bottom: "b" } layer { name: "p" type: "TanH" bottom: "a" top: "p" }',
    "stochastic pooling": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '
    "{ pool: STOCHASTIC kernel_size: 3 stride: 2 } }",
    "stochastic global pooling": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '
    "{ pool: STOCHASTIC global_pooling: true } }",
    "log and exp": 'layer { name: "a" type: "Exp" bottom: "data" top: "a" exp_param { base: 2 scale: 0.01 } } '
    'layer { name: "p" type: "Log" bottom: "a" top: "p" log_param { base: 10 shift: 1 } }',
    "threshold": 'layer { name: "p" type: "Threshold" bottom: "data" top: "p" threshold_param { threshold: 2 } }',
    "lrn within": 'layer { name: "p" type: "LRN" bottom: "data" top: "p" lrn_param { local_size: 3 alpha: 0.001 '
    "norm_region: WITHIN_CHANNEL } }",
    "bias": 'layer { name: "p" type: "Bias" bottom: "data" top: "p" bias_param { filler { type: "gaussian" } } }',
    "global pooling": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '
    "{ pool: AVE global_pooling: true } }",
    "wide pads": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '
    "{ kernel_size: 3 stride: 2 pad: 2 } }",
    "product": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "p" type: "Eltwise" '
    'bottom: "data" bottom: "a" top: "p" eltwise_param { operation: PROD } }',
    "tile, crop": 'layer { name: "a" type: "Tile" bottom: "data" top: "a" tile_param { axis: 2 tiles: 2 } } '
    'layer { name: "p" type: "Crop" bottom: "a" bottom: "data" top: "p" crop_param { offset: 1 offset: 0 } }',
    "split": 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" } layer { name: "p" type: "Eltwise" '
    'bottom: "a" bottom: "b" top: "p" }',
    "reduction": 'layer { name: "p" type: "Reduction" bottom: "data" top: "p" reduction_param '
    "{ operation: SUMSQ axis: 2 coeff: 0.01 } }",
    "argmax": CONV
    + 'layer { name: "p" type: "ArgMax" bottom: "c" top: "p" argmax_param { top_k: 3 out_max_val: true } }',
    "transposed": 'layer { name: "p" type: "InnerProduct" bottom: "data" top: "p" inner_product_param '
    '{ num_output: 5 transpose: true weight_filler { type: "xavier" } } }',
    "dropout in place": 'layer { name: "p" type: "TanH" bottom: "data" top: "p" } '
    'layer { name: "d" type: "Dropout" bottom: "p" top: "p" }',
    "names that are no names": 'layer { name: "inception/1×1" type: "TanH" bottom: "data" top: "a/b" } '
    'layer { name: "層😀" type: "Sigmoid" bottom: "a/b" top: "a_b" } '
    'layer { name: "x" type: "Concat" bottom: "a/b" bottom: "a_b" top: "p" }',
    "several bottoms": 'layer { name: "a" type: "TanH" bottom: "data" top: "a" } layer { name: "c" type: "Convolution" '
    'bottom: "data" bottom: "a" top: "x" top: "y" convolution_param { num_output: 2 kernel_size: 3 weight_filler '
    '{ type: "xavier" } } } layer { name: "p" type: "Eltwise" bottom: "x" bottom: "y" top: "p" }',
    "average beyond the edge": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '
    "{ pool: AVE kernel_size: 3 stride: 4 pad: 1 } }",
    "rounded down": 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '
    "{ kernel_size: 2 stride: 2 round_mode: FLOOR } }",
    "inner product along one axis": 'layer { name: "p" type: "InnerProduct" bottom: "data" top: "p" '
    'inner_product_param { num_output: 5 axis: 3 weight_filler { type: "xavier" } } }',
    "scale by a second bottom": 'layer { name: "g" type: "Pooling" bottom: "data" top: "g" pooling_param { pool: AVE '
    'global_pooling: true } } layer { name: "f" type: "Flatten" bottom: "g" top: "f" } layer { name: "p" '
    'type: "Scale" bottom: "data" bottom: "f" top: "p" scale_param { axis: 0 } }',
    "prelu, one slope": 'layer { name: "p" type: "PReLU" bottom: "data" top: "p" prelu_param '
    "{ channel_shared: true } }",
    "mean of magnitudes": 'layer { name: "a" type: "Reduction" bottom: "data" top: "a" reduction_param '
    '{ operation: ASUM axis: 3 } } layer { name: "p" type: "MVN" bottom: "data" top: "b" mvn_param '
    '{ across_channels: true } } layer { name: "q" type: "Reduction" bottom: "b" top: "c" reduction_param '
    '{ operation: MEAN axis: 3 } } layer { name: "r" type: "Eltwise" bottom: "a" bottom: "c" top: "p" '
    "eltwise_param { coeff: 0.01 coeff: 1 } }",
    "places along an axis": CONV + 'layer { name: "p" type: "ArgMax" bottom: "c" top: "p" argmax_param { axis: 2 } }',
    "reshape with the batch": 'layer { name: "p" type: "Reshape" bottom: "data" top: "p" '
    "reshape_param { axis: 1 shape { dim: 9 dim: -1 } } }",
    "lrn, k": 'layer { name: "p" type: "LRN" bottom: "data" top: "p" lrn_param { local_size: 3 alpha: 0.001 k: 2 } }',
}
# Those that OpenCV refuses, or computes otherwise than Caffe.
BEYOND_OPENCV = (
    "stochastic pooling", "stochastic global pooling", "rounded down", "log and exp", "threshold", "bias", "lrn, k",
    "tile, crop", "reduction", "mean of magnitudes", "argmax", "places along an axis", "transposed", "prelu, one slope",
)  # fmt: skip


def deployed(text: str, shape: tuple[int, int, int], seed: int = 1) -> CompiledNet:
    """The net that predicts, its running statistics and scales as after some training."""
    net: Net = deploy_net(read(text))
    compiled = compile_net(net, {net.inputs[0]: (1, *shape)}, seed=seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in compiled.weights().items():
            _unsettle(name.rpartition(".")[2], weight.value, random)
        _spread(compiled, torch.from_numpy(_blobs_of_colour(shape, 4)))
    return compiled.eval()


def _spread(compiled: CompiledNet, images: torch.Tensor) -> None:
    """Scales the last weights so that the scores differ by about 2, and no class has all the probability."""
    scores: list[torch.Tensor] = []

    def observe(layer: Layer, tops: tuple[torch.Tensor, ...]) -> None:
        if compiled.net.layers[-1].bottoms[0] in layer.tops:
            scores[:] = [tops[0]]

    compiled(images, observe=observe)
    last = [step.module for step in compiled.steps if step.module.blobs][-1]
    for name in last.blobs:
        last.blob(name).mul_(2 / scores[0].std())


def _unsettle(blob: str, value: torch.Tensor, random: torch.Generator) -> None:
    if blob == "factor":
        value.fill_(3.0)
    elif blob == "variance":
        value.copy_(3 * (0.5 + torch.rand(value.shape, generator=random)))
    elif blob in ("mean", "bias"):
        value.copy_(0.01 * torch.randn(value.shape, generator=random))


def zoo_net(name: str, size: int, classes: int = 10) -> tuple[str, CompiledNet, Preprocessing]:
    """prototxt, net and preprocessing of one net of the zoo, for images of `size`."""
    entry = zoo_entry(name)
    text = fit(entry.prototxt, classes)
    channels = Channels.GRAY if entry.channels == 1 else Channels.COLOR
    preprocessing = Preprocessing(channels, size, size)
    return text, deployed(text, preprocessing.input_shape), preprocessing


def images_for(preprocessing: Preprocessing, count: int = 3, seed: int = 5) -> NDArray[np.float32]:
    """(N, C, H, W) smooth blobs of colour, around 0."""
    return _blobs_of_colour((preprocessing.channels.number, *preprocessing.input_shape[1:]), count, seed)


def _blobs_of_colour(shape: tuple[int, int, int], count: int, seed: int = 9) -> NDArray[np.float32]:
    coarse = np.random.default_rng(seed).normal(size=(count, shape[0], 8, 8)).astype(np.float32)
    large = torch.nn.functional.interpolate(torch.from_numpy(coarse), shape[1:], mode="bilinear")
    return 100 * large.numpy()  # about the size of pixels less their mean


def probabilities(net: CompiledNet, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Our own forward in float32: (N, classes)."""
    with torch.inference_mode():
        result = net(torch.from_numpy(images)).blobs[net.net.outputs[0]]
    return result.reshape(len(images), -1).numpy()


def layer_text(layers: str) -> str:
    """A net around these layers, which make blob `p` of images of 3 × 7 × 9."""
    return (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 7 dim: 9 } } }\n'
        + layers
        + '\nlayer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param { num_output: 4 '
        'weight_filler { type: "gaussian" std: 0.2 } } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "ip" top: "for" }'
    )
