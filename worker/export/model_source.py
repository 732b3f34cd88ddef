"""The downloaded `model.py`: a trained net as plain PyTorch that anybody can read and run, weights beside it.

It needs torch, safetensors, NumPy and Pillow, and nothing of Trainyard: `python model.py PICTURE`.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from app.preprocessing import MeanMode
from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.text import read
from worker.engine.compile import CompiledNet, compile_net
from worker.engine.errors import EngineError, layer_error
from worker.export.source_lines import expression
from worker.export.spec import ExportSpec, write_whole


def export_model_source(spec: ExportSpec, path: Path) -> int:
    """Writes model.py; gives its size in bytes."""
    text = model_source(spec)
    return write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def model_source(spec: ExportSpec) -> str:
    """The text of model.py. Raises EngineError for a topology that cannot predict."""
    try:
        net = deploy_net(read(spec.topology))
    except TopologyError as error:
        raise EngineError(f"the topology cannot predict: {error}") from error
    compiled = compile_net(net, {net.inputs[0]: (1, *spec.preprocessing.input_shape)}, seed=None)
    lines = "\n".join(f"    {line}" for line in _forward_lines(compiled))
    return _TEMPLATE.format(
        name=repr(net.name or "net"),
        labels=repr(list(spec.classes)),
        lines=lines,
        **_preparation(spec),
    )


def _forward_lines(compiled: CompiledNet) -> list[str]:
    names = _Names()
    lines = []
    for step in compiled.steps:
        line = expression(step.module, [names.of(blob) for blob in step.bottoms])
        if line is None:
            raise layer_error(step.module.layer, f"{step.module.layer.type} cannot be written as plain PyTorch yet")
        tops = ", ".join(names.of(blob) for blob in step.tops)
        lines.append(f"{tops} = {line}  # {step.module.layer.name!r}")
    lines.append(f"return {names.of(compiled.net.outputs[0])}.flatten(1)")
    return [f"{names.of(compiled.net.inputs[0])} = images", *lines]


class _Names:
    """Blobs as Python names, each of its own."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def of(self, blob: str) -> str:
        if blob not in self._taken:
            plain = re.sub(r"\W", "_", blob, flags=re.ASCII).strip("_") or "blob"
            plain = f"blob_{plain}" if plain[0].isdigit() or keyword.iskeyword(plain) or plain in _RESERVED else plain
            name, number = plain, 2
            while name in self._taken.values():
                name, number = f"{plain}_{number}", number + 1
            self._taken[blob] = name
        return self._taken[blob]


_RESERVED = frozenset({"w", "images", "torch", "F", "functools", "float"})


def _preparation(spec: ExportSpec) -> dict[str, object]:
    preprocessing = spec.preprocessing
    mean = {
        MeanMode.NONE: "None",
        MeanMode.PIXEL: repr(list(preprocessing.mean_values)) if preprocessing.mean_values else '"mean.npy, averaged"',
        MeanMode.IMAGE: '"mean.npy"',
    }[preprocessing.mean]
    return {
        "mode": "L" if preprocessing.channels.number == 1 else "RGB",
        "width": preprocessing.width,
        "height": preprocessing.height,
        "resize_mode": str(preprocessing.resize_mode),
        "crop": (preprocessing.input_height, preprocessing.input_width),
        "mean": mean,
        "scale": repr(preprocessing.scale),
    }


_TEMPLATE = '''"""A trained net, written by Trainyard. Usage: python model.py PICTURE

Beside this file: weights.safetensors, and mean.npy where a mean image is subtracted.
Needs torch, safetensors, numpy and pillow.
"""

import functools  # noqa: F401
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from safetensors.torch import load_file

NAME = {name}
LABELS = {labels}
HERE = Path(__file__).parent

# The picture: {mode}, resized to WIDTH × HEIGHT, its centre of CROP (height, width), less MEAN, times SCALE.
WIDTH, HEIGHT, RESIZE_MODE = {width}, {height}, "{resize_mode}"
CROP = {crop}
MEAN = {mean}  # None, a number per channel (BGR), or the file of the mean image (C, H, W; BGR)
SCALE = {scale}


def prepare(picture):
    """(1, C, H, W) float32 from a path or a PIL image; colours in the order blue, green, red."""
    image = picture if isinstance(picture, Image.Image) else Image.open(picture)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("{mode}")
    if image.size != (WIDTH, HEIGHT):
        if RESIZE_MODE == "crop":
            image = ImageOps.fit(image, (WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        elif RESIZE_MODE == "squash":
            image = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        else:
            sys.exit(f"resize the picture to {{WIDTH}}×{{HEIGHT}} first (mode {{RESIZE_MODE}})")
    return prepare_pixels(np.asarray(image))


def prepare_pixels(pixels):
    """The same from pixels (H, W) or (H, W, 3) RGB of the right size."""
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels[:, :, ::-1]
    values = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)
    if isinstance(MEAN, str):
        mean = torch.from_numpy(np.load(HERE / "mean.npy").astype(np.float32))
        values = values - (mean.mean((1, 2), keepdim=True) if "averaged" in MEAN else mean)
    elif MEAN is not None:
        values = values - torch.tensor(MEAN)[:, None, None]
    top, left = (HEIGHT - CROP[0]) // 2, (WIDTH - CROP[1]) // 2
    return (values[:, top : top + CROP[0], left : left + CROP[1]] * SCALE)[None]


def forward(w, images):
    """Probabilities (N, classes) from prepared images (N, C, H, W) and the dictionary of weights."""
{lines}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python model.py PICTURE")
    with torch.no_grad():
        probabilities = forward(load_file(HERE / "weights.safetensors"), prepare(sys.argv[1]))[0]
    for probability, place in zip(*(part.tolist() for part in probabilities.topk(min(5, len(probabilities))))):
        print(f"{{100 * probability:6.2f}} %  {{LABELS[place] if place < len(LABELS) else place}}")
'''
