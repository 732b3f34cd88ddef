"""A trained net as one ONNX file that takes pixels: preprocessing is inside the graph.

Input `pixels`: uint8 (N, H, W, C), RGB or grey, at the dataset's size (resize with the dataset's mode before). Output
`probabilities`: float32 (N, classes). Labels and preprocessing are in the file's metadata.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from worker.engine.compile import CompiledNet
from worker.engine.pixels import PixelTransform
from worker.engine.predict import load_deployed
from worker.export.spec import ExportSpec, write_whole


def export_onnx(spec: ExportSpec, path: Path) -> int:
    """Writes the ONNX file; gives its size in bytes. Raises EngineError as prediction does."""
    device = torch.device("cpu")
    net = load_deployed(spec.topology, spec.preprocessing, spec.snapshot, device)
    whole = _FromPixels(net, PixelTransform(spec.preprocessing, spec.dataset_dir, device))
    model = _exported(whole, spec)
    onnx.helper.set_model_props(
        model,
        {
            "labels": json.dumps(list(spec.classes), ensure_ascii=False),
            "preprocessing": json.dumps(spec.preprocessing.to_dict(), ensure_ascii=False),
        },
    )
    return write_whole(path, lambda partial: onnx.save_model(model, str(partial)))


class _FromPixels(nn.Module):
    def __init__(self, net: CompiledNet, transform: PixelTransform) -> None:
        super().__init__()
        self.net, self.transform = net, transform
        if transform.mean is not None:
            self.register_buffer("mean", transform.mean)

    def forward(self, pixels: Tensor) -> Tensor:
        in_bgr = pixels.flip(3) if pixels.shape[3] == 3 else pixels
        answer: Tensor = self.net(self.transform.central(in_bgr)).blobs[self.net.net.outputs[0]]
        return answer.flatten(1)


def _exported(whole: _FromPixels, spec: ExportSpec) -> Any:
    preprocessing = spec.preprocessing
    shape = (2, preprocessing.height, preprocessing.width, preprocessing.channels.number)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        logging.getLogger("onnxscript").setLevel(logging.WARNING)
        program = torch.onnx.export(
            whole.eval(),
            (torch.zeros(shape, dtype=torch.uint8),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            input_names=["pixels"],
            output_names=["probabilities"],
            verbose=False,
        )
    assert program is not None
    return program.model_proto
