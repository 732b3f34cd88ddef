"""Nets of the zoo as they would be deployed, with weights whose answers tell the classes apart."""

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


def arrays(net: CompiledNet) -> dict[str, NDArray[np.float32]]:
    return {name: weight.value.detach().numpy() for name, weight in net.weights().items()}
