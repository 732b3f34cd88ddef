from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from app.export.errors import ExportError
from app.export.onnx_model import onnx_model
from app.export.trained_net import TrainedNet
from app.preprocessing import Channels, MeanMode, Preprocessing
from app.topology.deploy import deploy_net
from app.topology.text import read
from tests.app.export.judged import LABELS, onnx_runtime, saved, whole
from tests.app.export.nets import probabilities, zoo_net
from worker.engine.compile import CompiledNet, compile_net
from worker.engine.pixels import PixelTransform


def with_preprocessing(
    folder: Path, name: str, size: int, options: dict[str, object]
) -> tuple[TrainedNet, CompiledNet]:
    """A net that sees `size` of pictures that are 4 pixels larger if they are cropped, and a mean image for them."""
    text, net, preprocessing = zoo_net(name, size)
    side = size + 4 * bool(options.get("crop_size"))
    preprocessing = replace(preprocessing, width=side, height=side, **options)  # type: ignore[arg-type]
    mean = np.random.default_rng(3).random((preprocessing.channels.number, side, side), dtype=np.float32) * 100
    np.save(folder / "mean.npy", mean)
    return saved(text, net, preprocessing, folder), net


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("lenet", 28, {"scale": 1 / 256}),
        ("lenet", 28, {"mean": MeanMode.PIXEL}),
        ("cifar10-quick", 32, {"mean": MeanMode.IMAGE, "crop_size": 32}),
        ("cifar10-quick", 32, {"mean": MeanMode.PIXEL, "mean_values": (104.0, 117.0, 123.0), "scale": 0.02}),
    ],
)
def test_pixels_are_prepared_inside_the_graph(tmp_path: Path, name: str, size: int, options: dict[str, object]) -> None:
    trained, net = with_preprocessing(tmp_path, name, size, options)
    preprocessing = trained.preprocessing
    shape = (3, preprocessing.height, preprocessing.width, preprocessing.channels.number)
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    in_bgr = torch.from_numpy(pixels[..., ::-1].copy())
    images = PixelTransform(preprocessing, tmp_path, torch.device("cpu")).central(in_bgr)
    wanted = probabilities(net, images.contiguous().numpy())
    for count in (1, 3):
        assert np.allclose(onnx_runtime(trained, pixels[:count]), wanted[:count], atol=1e-5)


def test_the_file_says_what_it_takes_and_what_its_answers_mean(tmp_path: Path) -> None:
    trained, _ = with_preprocessing(tmp_path, "lenet", 28, {"scale": 1 / 256})
    model = onnx.load_from_string(whole(onnx_model(trained)))
    onnx.checker.check_model(model, full_check=True)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(json.loads(facts["labels"])) == LABELS
    assert json.loads(facts["preprocessing"])["scale"] == 1 / 256
    (pixels,), (answer,) = model.graph.input, model.graph.output
    sizes = [dimension.dim_value for dimension in pixels.type.tensor_type.shape.dim]
    assert sizes[1:] == [28, 28, 1]
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert answer.type.tensor_type.shape.dim[1].dim_value == 10
    assert {"conv1", "pool1", "ip1", "prob"} <= {node.name for node in model.graph.node}  # as the layers are called


def test_a_layer_that_onnx_has_no_words_for_is_named(tmp_path: Path) -> None:
    text = (
        'input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4\n'
        'layer { name: "all rows" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { axis: 0\n'
        'num_output: 4 weight_filler { type: "xavier" } } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" softmax_param { axis: 0 } }'
    )
    preprocessing = Preprocessing(Channels.GRAY, 4, 4)
    net = compile_net(deploy_net(read(text)), {"data": (1, *preprocessing.input_shape)})
    with pytest.raises(ExportError, match=r"all rows \(line 2\): axis 0 .* cannot be written as ONNX"):
        onnx_model(saved(text, net, preprocessing, tmp_path))


def test_a_mean_image_that_is_lost_or_of_another_size_is_told(tmp_path: Path) -> None:
    trained, _ = with_preprocessing(tmp_path, "lenet", 28, {"mean": MeanMode.IMAGE})
    np.save(tmp_path / "mean.npy", np.zeros((1, 5, 5), np.float32))
    with pytest.raises(ExportError, match="expected a mean image of 1×28×28, found 1×5×5"):
        onnx_model(trained)
    (tmp_path / "mean.npy").unlink()
    with pytest.raises(ExportError, match="mean image of the dataset cannot be read"):
        onnx_model(trained)
