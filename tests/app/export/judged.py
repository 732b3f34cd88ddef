"""The outside judges of what we write: OpenCV's importer of Caffe nets, ONNX Runtime, and the generated PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from app.export.caffemodel import caffemodel
from app.export.model_source import model_source
from app.export.onnx_model import onnx_model
from app.export.pieces import Piece, PieceReader
from app.export.trained_net import TrainedNet, trained_net
from app.preprocessing import MeanMode, Preprocessing
from app.topology.writing import deploy_text
from worker.engine.compile import CompiledNet

Answers = NDArray[np.float32]

LABELS = ("零", *(f"class {number}" for number in range(1, 10)))


def saved(text: str, net: CompiledNet, preprocessing: Preprocessing, folder: Path) -> TrainedNet:
    """What the writers get: the net with its weights in a file, as a snapshot keeps them."""
    weights = {name: weight.value.detach().contiguous().clone() for name, weight in net.weights().items()}
    save_file(weights, folder / "weights.safetensors")
    return trained_net(text, preprocessing, LABELS, folder / "weights.safetensors", folder / "mean.npy")


def whole(pieces: Sequence[Piece]) -> bytes:
    with PieceReader(pieces) as reader:
        return reader.read()


def opencv(trained: TrainedNet, images: NDArray[np.float32]) -> Answers:
    """(N, classes) from prepared images (N, C, H, W)."""
    deploy = deploy_text(trained.source.text, trained.preprocessing, len(trained.classes)).encode()
    parts = [np.frombuffer(part, np.uint8) for part in (deploy, whole(caffemodel(trained)))]
    judge = cv2.dnn.readNetFromCaffe(*parts)
    answers = []
    for image in images:
        judge.setInput(image[None])
        answers.append(judge.forward().reshape(-1).copy())
    return np.stack(answers)


def onnx_runtime(trained: TrainedNet, pixels: NDArray[np.uint8]) -> Answers:
    """(N, classes) from pixels (N, H, W, C), RGB or grey."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(whole(onnx_model(trained)), options)
    (found,) = session.run(["probabilities"], {"pixels": pixels})
    return np.asarray(found)


def generated_names(trained: TrainedNet, folder: Path) -> dict[str, Any]:
    """What is in the generated model.py, as an import would give it."""
    names: dict[str, Any] = {"__name__": "model", "__file__": str(folder / "model.py")}
    exec(compile(model_source(trained), "model.py", "exec"), names)
    return names


def generated_pytorch(trained: TrainedNet, images: NDArray[np.float32], folder: Path) -> Answers:
    with torch.no_grad():
        found: torch.Tensor = generated_names(trained, folder)["Net"].load()(torch.from_numpy(images))
    return found.numpy()


def pixels_of(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, H, W, C) RGB or grey that are about these images (N, C, H, W; BGR) with 128 for 0."""
    return np.clip(images + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)[..., ::-1].copy()


def around_128(preprocessing: Preprocessing) -> Preprocessing:
    return replace(preprocessing, mean=MeanMode.PIXEL, mean_values=(128.0,) * preprocessing.channels.number)


def prepared(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The images of these pixels, prepared by `around_128`."""
    return np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) - 128)
