"""The file that goes with a downloaded model makes the same pixels as we do, without anything of ours."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.imaging.preprocess import load_image
from app.imaging.source import preprocess_source
from app.preprocessing import Channels, MeanMode, Preprocessing, ResizeMode
from tests.worker.datasets.pictures import file_of, gradient, noise, with_orientation

PICTURES = {
    "small.png": file_of(noise(1, 12, 10)),
    "wide.jpg": file_of(gradient(900, 300), "JPEG"),
    "turned.jpg": with_orientation(gradient(300, 200), 6, "JPEG"),
    "cmyk.jpg": file_of(gradient().convert("CMYK"), "JPEG"),
    "glass.png": file_of(gradient().convert("RGBA").rotate(30)),
    "palette.gif": file_of(gradient(), "GIF"),
    "16-bit.png": file_of(Image.fromarray((np.arange(1200).reshape(30, 40) * 54).astype(np.uint16))),
    "float.tif": file_of(Image.fromarray(np.linspace(-3, 9, 1200, dtype=np.float32).reshape(30, 40)), "TIFF"),
}
CHOICES = [
    Preprocessing(channels, 48, 32, mode, fill_color, MeanMode.PIXEL, (1.0, 2.5, 3.0), crop_size=24)
    for channels, mode, fill_color in [
        (Channels.COLOR, ResizeMode.SQUASH, None),
        (Channels.COLOR, ResizeMode.FILL, None),
        (Channels.COLOR, ResizeMode.HALF_CROP, (255, 128, 0)),
        (Channels.GRAY, ResizeMode.FILL, (255, 128, 0)),
        (Channels.GRAY, ResizeMode.CROP, None),
    ]
]


def test_it_makes_our_pixels_of_every_kind_of_picture_in_a_python_of_its_own(tmp_path: Path) -> None:
    for name, data in PICTURES.items():
        (tmp_path / name).write_bytes(data)
    for number, preprocessing in enumerate(CHOICES):
        (tmp_path / f"preprocess{number}.py").write_text(preprocess_source(preprocessing), encoding="utf-8")
    code = """
        import importlib, sys
        import numpy
        for number in range(int(sys.argv[1])):
            module = importlib.import_module(f"preprocess{number}")
            numpy.savez(f"{number}.npz", **{name: module.load(name) for name in sys.argv[2:]})
        assert "app" not in sys.modules
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(len(CHOICES)), *PICTURES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    for number, preprocessing in enumerate(CHOICES):
        found = np.load(tmp_path / f"{number}.npz")
        for name, data in PICTURES.items():
            assert np.array_equal(found[name], load_image(data, preprocessing)), (name, preprocessing)


@pytest.mark.parametrize("preprocessing", CHOICES[:1])
def test_it_carries_the_whole_definition(preprocessing: Preprocessing) -> None:
    names: dict[str, object] = {}
    exec(compile(preprocess_source(preprocessing), "preprocess.py", "exec"), names)
    carried = names["PREPROCESSING"]
    assert isinstance(carried, names["Preprocessing"])  # type: ignore[arg-type]
    assert carried.to_dict() == preprocessing.to_dict()  # type: ignore[attr-defined]
