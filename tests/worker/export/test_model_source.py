from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from app.preprocessing import Channels, MeanMode, Preprocessing
from app.topology.layers import layer_types
from tests.worker.export.deployed import deployed, images_for, probabilities, zoo_net
from tests.worker.export.test_caffemodel import LAYERS, SIZES
from tests.worker.export.test_onnx_model import LABELS, ours, pixels_for, saved
from worker.engine.compile import CompiledNet
from worker.export.model_source import model_source
from worker.export.source_lines import supported_types
from worker.export.spec import ExportSpec


def weights_of(net: CompiledNet) -> dict[str, torch.Tensor]:
    return {name: weight.value.detach() for name, weight in net.weights().items()}


def run(text: str, preprocessing: Preprocessing, folder: Path) -> dict[str, Any]:
    """The generated file's names, as an import would give them."""
    spec = ExportSpec(text, preprocessing, LABELS, folder, folder)
    names: dict[str, Any] = {"__name__": "model", "__file__": str(folder / "model.py")}
    exec(compile(model_source(spec), "model.py", "exec"), names)
    return names


@pytest.mark.parametrize("name", SIZES)
def test_the_zoo_answers_in_plain_pytorch_as_we_do(name: str, tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net(name, SIZES[name])
    images = images_for(preprocessing)
    with torch.no_grad():
        found = run(text, preprocessing, tmp_path)["forward"](weights_of(net), torch.from_numpy(images))
    assert np.allclose(found.numpy(), probabilities(net, images), atol=1e-5)


MORE = {
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
    "argmax": 'layer { name: "p" type: "ArgMax" bottom: "data" top: "p" argmax_param { top_k: 3 out_max_val: true } }',
    "transposed": 'layer { name: "p" type: "InnerProduct" bottom: "data" top: "p" inner_product_param '
    '{ num_output: 5 transpose: true weight_filler { type: "xavier" } } }',
    "dropout in place": 'layer { name: "p" type: "TanH" bottom: "data" top: "p" } '
    'layer { name: "d" type: "Dropout" bottom: "p" top: "p" }',
    "names that are no names": 'layer { name: "inception/1×1" type: "TanH" bottom: "data" top: "a/b" } '
    'layer { name: "層😀" type: "Sigmoid" bottom: "a/b" top: "a_b" } '
    'layer { name: "x" type: "Concat" bottom: "a/b" bottom: "a_b" top: "p" }',
}


@pytest.mark.parametrize("name", LAYERS | MORE)
def test_single_layers_answer_as_we_do(name: str, tmp_path: Path) -> None:
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 7 dim: 9 } } }\n'
        + (LAYERS | MORE)[name]
        + '\nlayer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param { num_output: 4 '
        'weight_filler { type: "gaussian" std: 0.2 } } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "ip" top: "for" }'
    )
    preprocessing = Preprocessing(Channels.COLOR, 9, 7)
    net = deployed(text, preprocessing.input_shape)
    images = images_for(preprocessing)
    with torch.no_grad():
        found = run(text, preprocessing, tmp_path)["forward"](weights_of(net), torch.from_numpy(images))
    assert np.allclose(found.numpy(), probabilities(net, images), atol=1e-5)


def test_every_layer_that_can_predict_can_be_written() -> None:
    needs_labels = {kind.name for kind in layer_types() if kind.is_loss} | {"Accuracy", "Silence"}
    from app.topology.layers import DATA_TYPES

    assert {kind.name for kind in layer_types()} - needs_labels - DATA_TYPES <= set(supported_types())


@pytest.mark.parametrize(
    "options",
    [
        {"mean": MeanMode.IMAGE, "crop_size": 28, "scale": 0.5},
        {"mean": MeanMode.PIXEL, "scale": 0.01},
        {"mean": MeanMode.PIXEL, "mean_values": (33.0,)},
    ],
)
def test_pictures_are_prepared_as_we_prepare_them(options: dict[str, object], tmp_path: Path) -> None:
    spec = saved(tmp_path, "lenet", 28, **options)
    names = run(spec.topology, spec.preprocessing, tmp_path)
    pixels = pixels_for(spec, 1)
    from safetensors.torch import load_file

    weights = load_file(spec.snapshot / "weights.safetensors")
    with torch.no_grad():
        found = names["forward"](weights, names["prepare"](Image.fromarray(pixels[0, :, :, 0])))
    assert np.allclose(found.numpy(), ours(spec, pixels), atol=1e-5)


def test_the_file_runs_by_itself(tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net("cifar10-quick", 32)
    spec = ExportSpec(text, replace(preprocessing, scale=1 / 256), LABELS, tmp_path, tmp_path)
    (tmp_path / "model.py").write_text(model_source(spec), encoding="utf-8")
    save_file({name: value.contiguous() for name, value in weights_of(net).items()}, tmp_path / "weights.safetensors")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 40, 4), dtype=np.uint8)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "model.py", "a.png"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 5
    assert sum(float(line.split("%")[0]) for line in done.stdout.splitlines()) <= 100.1
