"""What is written answers elsewhere as it does here: every net of the zoo, and every layer that can predict."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.export import onnx_layers, python_lines
from app.export.opencv import beyond_opencv
from app.preprocessing import Channels, Preprocessing
from app.topology.layers import DATA_TYPES, layer_types
from tests.app.export.judged import (
    around_128,
    generated_pytorch,
    onnx_runtime,
    opencv,
    pixels_of,
    prepared,
    saved,
)
from tests.app.export.nets import (
    BEYOND_OPENCV,
    LAYERS,
    SIZES,
    deployed,
    images_for,
    layer_text,
    probabilities,
    zoo_net,
)


@pytest.mark.parametrize("name", SIZES)
def test_every_net_of_the_zoo_answers_elsewhere_as_here(name: str, tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net(name, SIZES[name])
    trained = saved(text, net, around_128(preprocessing), tmp_path)
    pixels = pixels_of(images_for(preprocessing))
    images = prepared(pixels)
    wanted = probabilities(net, images)
    assert wanted.std(axis=0).max() > 1e-3  # the images are told apart at all
    assert np.allclose(opencv(trained, images), wanted, atol=1e-4)
    assert np.allclose(onnx_runtime(trained, pixels), wanted, atol=1e-4)
    assert np.allclose(generated_pytorch(trained, images, tmp_path), wanted, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_answers_elsewhere_as_here(name: str, tmp_path: Path) -> None:
    text = layer_text(LAYERS[name])
    preprocessing = Preprocessing(Channels.COLOR, 9, 7)
    net = deployed(text, preprocessing.input_shape)
    trained = saved(text, net, around_128(preprocessing), tmp_path)
    pixels = pixels_of(images_for(preprocessing))
    images = prepared(pixels)
    wanted = probabilities(net, images)
    assert beyond_opencv(trained) or np.allclose(opencv(trained, images), wanted, atol=1e-4)
    assert np.allclose(onnx_runtime(trained, pixels), wanted, atol=1e-5)
    assert np.allclose(generated_pytorch(trained, images, tmp_path), wanted, atol=1e-5)


@pytest.mark.parametrize("name", BEYOND_OPENCV)
def test_what_opencv_does_otherwise_is_said(name: str, tmp_path: Path) -> None:
    text = layer_text(LAYERS[name])
    preprocessing = Preprocessing(Channels.COLOR, 9, 7)
    net = deployed(text, preprocessing.input_shape)
    trained = saved(text, net, preprocessing, tmp_path)
    images = images_for(preprocessing)
    assert beyond_opencv(trained)
    try:
        found = opencv(trained, images)
    except cv2.error:
        return
    assert not np.allclose(found, probabilities(net, images), atol=1e-4)


def test_every_layer_that_can_predict_can_be_written() -> None:
    needs_labels = {kind.name for kind in layer_types() if kind.is_loss} | {"Accuracy", "Silence"}
    can_predict = {kind.name for kind in layer_types()} - needs_labels - DATA_TYPES
    assert can_predict <= python_lines.supported_types()
    assert can_predict <= onnx_layers.supported_types()
