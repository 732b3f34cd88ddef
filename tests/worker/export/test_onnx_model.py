from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from app.preprocessing import MeanMode
from tests.worker.export.deployed import images_for, zoo_net
from worker.engine.pixels import PixelTransform
from worker.engine.predict import load_deployed
from worker.engine.snapshot import Meta, write_snapshot
from worker.export.onnx_model import export_onnx
from worker.export.spec import ExportSpec

LABELS = ("零", *(f"class {number}" for number in range(1, 10)))


def saved(folder: Path, name: str, size: int, **options: object) -> ExportSpec:
    text, net, preprocessing = zoo_net(name, size)
    weights = {key: weight.value for key, weight in net.weights().items()}
    write_snapshot(folder / "snapshot", weights, None, Meta(1, 1, 1, 1, 1, "SGD", 1))
    crop = 4 * bool(options.get("crop_size"))
    preprocessing = replace(preprocessing, width=size + crop, height=size + crop, **options)  # type: ignore[arg-type]
    channels = preprocessing.channels.number
    mean = np.random.default_rng(3).random((channels, size + crop, size + crop), dtype=np.float32) * 100
    np.save(folder / "mean.npy", mean)
    return ExportSpec(text, preprocessing, LABELS, folder, folder / "snapshot")


def pixels_for(spec: ExportSpec, count: int = 3) -> np.ndarray:
    """(N, H, W, C) uint8."""
    values = images_for(replace(spec.preprocessing, crop_size=None), count)
    return np.clip(values + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def ours(spec: ExportSpec, pixels: np.ndarray) -> np.ndarray:
    device = torch.device("cpu")
    net = load_deployed(spec.topology, spec.preprocessing, spec.snapshot, device)
    in_bgr = pixels[..., ::-1].copy()
    with torch.inference_mode():
        images = PixelTransform(spec.preprocessing, spec.dataset_dir, device).central(torch.from_numpy(in_bgr))
        return net(images).blobs[net.net.outputs[0]].reshape(len(pixels), -1).numpy()


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("lenet", 28, {"scale": 1 / 256}),
        ("alexnet", 99, {"mean": MeanMode.IMAGE, "crop_size": 99}),
        ("resnet18", 64, {"mean": MeanMode.PIXEL, "mean_values": (104.0, 117.0, 123.0), "scale": 0.02}),
    ],
)
def test_onnx_runtime_answers_as_we_do(tmp_path: Path, name: str, size: int, options: dict[str, object]) -> None:
    spec = saved(tmp_path, name, size, **options)
    size_bytes = export_onnx(spec, tmp_path / "model.onnx")
    assert size_bytes == (tmp_path / "model.onnx").stat().st_size
    judge = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for count in (1, 3):
        pixels = pixels_for(spec, count)
        found = judge.run(["probabilities"], {"pixels": pixels})[0]
        assert np.allclose(found, ours(spec, pixels), atol=1e-4)
        assert found.shape == (count, 10)


def test_the_file_says_what_it_takes_and_what_its_answers_mean(tmp_path: Path) -> None:
    spec = saved(tmp_path, "lenet", 28, scale=1 / 256)
    export_onnx(spec, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(json.loads(facts["labels"])) == LABELS
    assert json.loads(facts["preprocessing"])["scale"] == 1 / 256
    (pixels,) = model.graph.input
    sizes = [dimension.dim_value for dimension in pixels.type.tensor_type.shape.dim]
    assert sizes[1:] == [28, 28, 1]
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
