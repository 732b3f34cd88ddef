"""A trained net as every form of it is written from: the layers that predict, what they are fed, their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.export.errors import ExportError, layer_error
from app.export.weights import Stored, stored_weights
from app.preprocessing import MeanMode, Preprocessing
from app.topology import caffe_pb2
from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.fit import fit_source
from app.topology.layers import Shape, as_text
from app.topology.net import Layer, Net
from app.topology.shapes import LayerInfo, infer
from app.topology.text import Source, read


@dataclass(frozen=True)
class Site:
    """Where a layer stands in its net: what it is fed, and its weights by their blobs' names."""

    info: LayerInfo
    shapes: tuple[Shape, ...]  # of its bottoms; the first axis is the batch, of which one image is taken
    weights: Mapping[str, Stored]

    @property
    def layer(self) -> Layer:
        return self.info.layer

    @property
    def options(self) -> caffe_pb2.LayerParameter:
        return self.info.layer.options

    @property
    def shape(self) -> Shape:
        """The first bottom's."""
        return self.shapes[0]

    def axis(self, axis: int) -> int:
        return axis % len(self.shape) if self.shape else 0

    def fail(self, problem: str) -> ExportError:
        return layer_error(self.layer, problem)


@dataclass(frozen=True)
class TrainedNet:
    source: Source
    net: Net
    sites: tuple[Site, ...]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    mean: Path  # of the dataset's mean image, (C, H, W) float32, where preprocessing asks for it

    def mean_values(self) -> NDArray[np.float32] | None:
        """What is subtracted from pixels, BGR: (C, H, W) of the dataset's size, (C, 1, 1), or nothing."""
        preprocessing = self.preprocessing
        if preprocessing.mean is MeanMode.NONE:
            return None
        if preprocessing.mean is MeanMode.PIXEL and preprocessing.mean_values:
            return np.array(preprocessing.mean_values, np.float32)[:, None, None]
        try:
            image: NDArray[np.float32] = np.load(self.mean, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError) as error:
            raise ExportError(f"the mean image of the dataset cannot be read: {error}") from error
        expected = (preprocessing.channels.number, preprocessing.height, preprocessing.width)
        if image.shape != expected:
            raise ExportError(f"expected a mean image of {as_text(expected)}, found {as_text(image.shape)}")
        if preprocessing.mean is MeanMode.PIXEL:
            return np.asarray(image.mean((1, 2), np.float64, keepdims=True), np.float32)
        return image


def trained_net(
    text: str, preprocessing: Preprocessing, classes: tuple[str, ...], weights: Path, mean: Path
) -> TrainedNet:
    """The net that predicts, from a model's prototxt and a snapshot's weights; raises ExportError."""
    try:
        source = fit_source(read(text), len(classes))
        net = deploy_net(source)
        infos = infer(net, {net.inputs[0]: (1, *preprocessing.input_shape)})
    except TopologyError as error:
        raise ExportError(f"the topology cannot predict: {error}") from error
    stored = stored_weights(weights)
    known: dict[str, Shape] = {net.inputs[0]: (1, *preprocessing.input_shape)}
    sites = []
    for info in infos:
        sites.append(Site(info, tuple(known[blob] for blob in info.bottoms), _weights_of(info, stored)))
        known.update(zip(info.tops, info.top_shapes, strict=True))
    return TrainedNet(source, net, tuple(sites), preprocessing, classes, mean)


def _weights_of(info: LayerInfo, stored: Mapping[str, Stored]) -> dict[str, Stored]:
    found = {}
    for name, shape in info.weights.items():
        if name not in stored:
            raise layer_error(info.layer, f"there are no weights {name}")
        if stored[name].shape != shape:
            raise layer_error(
                info.layer, f"expected {as_text(shape)} in {name}, found {as_text(stored[name].shape)} in the snapshot"
            )
        found[name.rpartition(".")[2]] = stored[name]
    return found
