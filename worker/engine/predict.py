"""Prediction: one picture through a snapshot, in float32, with a look into every layer if it is wanted.

The picture is read and resized by the function that made the dataset, so a model sees what it saw in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from app.imaging.preprocess import ImageError, load_image
from app.preprocessing import Preprocessing
from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.net import Layer
from app.topology.text import read
from worker.engine.activations import ActivationWriter, Histogram, LayerActivation
from worker.engine.compile import CompiledNet, Observer, compile_net
from worker.engine.device import set_up_device
from worker.engine.errors import EngineError
from worker.engine.pixels import PixelTransform
from worker.engine.snapshot import load_weights, read_weights

__all__ = ["Histogram", "LayerActivation", "PredictSpec", "Prediction", "load_deployed", "predict"]

TOP = 5
INPUT = "input.png"  # in the prediction's folder


@dataclass(frozen=True)
class PredictSpec:
    topology: str  # prototxt, as it was trained
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    dataset_dir: Path  # for the mean image
    snapshot: Path
    image: Path
    out_dir: Path
    with_layers: bool = False
    device: str = "cpu"
    threads: int | None = None


@dataclass(frozen=True)
class Prediction:
    top: list[tuple[str, float]]  # the five best classes and their probabilities, best first
    probabilities: list[float]  # of every class, in the order of the labels
    layers: list[LayerActivation]  # empty unless wanted; the image is the first


def predict(spec: PredictSpec) -> Prediction:
    """Raises EngineError when the picture, the snapshot or the topology cannot be used."""
    device = set_up_device(spec.device, spec.threads)
    transform = PixelTransform(spec.preprocessing, spec.dataset_dir, device)
    try:
        pixels = load_image(spec.image, spec.preprocessing)
    except (ImageError, OSError) as error:
        raise EngineError(f"the picture cannot be used: {error}") from error
    _save_input(pixels, spec)
    net = load_deployed(spec.topology, spec.preprocessing, spec.snapshot, device)
    writer = ActivationWriter(spec.out_dir) if spec.with_layers else None
    with torch.inference_mode():
        images = transform.central(torch.from_numpy(np.array(pixels[None])).to(device))
        if writer is not None:
            writer.add(net.net.inputs[0], "Data", images)
        result = net(images, observe=None if writer is None else _observer(writer))
    probabilities = result.blobs[net.net.outputs[0]].reshape(-1).tolist()
    return Prediction(_best(probabilities, spec.classes), probabilities, writer.written if writer else [])


def load_deployed(topology: str, preprocessing: Preprocessing, snapshot: Path, device: torch.device) -> CompiledNet:
    """The net that predicts, image in and probabilities out, with a snapshot's weights."""
    try:
        net = deploy_net(read(topology))
    except TopologyError as error:
        raise EngineError(f"the topology cannot predict: {error}") from error
    compiled = compile_net(net, {net.inputs[0]: (1, *preprocessing.input_shape)}, seed=None)
    load_weights(compiled, read_weights(snapshot))
    compiled.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return compiled


def _save_input(pixels: NDArray[np.uint8], spec: PredictSpec) -> None:
    """What the net is fed, for a person to look at: resized and cropped, before mean and scale."""
    height, width = spec.preprocessing.input_height, spec.preprocessing.input_width
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    window = pixels[top : top + height, left : left + width]
    picture = window[:, :, 0] if window.shape[2] == 1 else np.ascontiguousarray(window[:, :, ::-1])  # BGR to RGB
    spec.out_dir.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(spec.out_dir / INPUT, "PNG")


def _observer(writer: ActivationWriter) -> Observer:
    def observe(layer: Layer, tops: tuple[Tensor, ...]) -> None:
        for name, top in zip(layer.tops, tops, strict=True):
            writer.add(layer.name if len(tops) == 1 else f"{layer.name}: {name}", layer.type, top)

    return observe


def _best(probabilities: list[float], classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """Outputs without a label are left out, as in DIGITS."""
    ranked = sorted(zip(classes, probabilities, strict=False), key=lambda pair: -pair[1])
    return ranked[:TOP]
