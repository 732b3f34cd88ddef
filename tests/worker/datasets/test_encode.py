"""What is encoded here is decoded by OpenCV to the same pixels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.topology import caffe_pb2
from tests.worker.datasets.pictures import gradient, noise
from tests.worker.datasets.protobuf import fields
from worker.datasets import encode as encoding
from worker.datasets.encode import datum, encode_all, encode_pngs
from worker.datasets.spec import Encoding

ROOT = Path(__file__).resolve().parents[3]
PICTURES: dict[str, NDArray[np.uint8]] = {
    "colour noise": noise(1, 61, 47),
    "grey noise": noise(1, 61, 47, channels=1),
    "gradient": np.asarray(gradient(256, 200)),
    "grey gradient": np.asarray(gradient(256, 200).convert("L")),
    "one pixel": noise(2, 1, 1),
    "one grey pixel": noise(2, 1, 1, channels=1),
    "one row": noise(3, 500, 1),
    "one column": noise(3, 1, 500),
    "flat": np.full((40, 40, 3), 7, np.uint8),
    "not contiguous": noise(4, 60, 60)[::2, ::3],
}


ENCODED: list[tuple[bytes, Encoding]] = [(b"", "png"), (bytes(127), "jpeg"), (bytes(70_000), "raw")]


def decoded(data: bytes, like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    flag = cv2.IMREAD_GRAYSCALE if like.ndim == 2 else cv2.IMREAD_COLOR_RGB
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


def png(picture: NDArray[np.uint8]) -> bytes:
    return encode_pngs([picture])[0]


@pytest.mark.parametrize("with_isal", [True, False])
@pytest.mark.parametrize("name", PICTURES)
def test_opencv_reads_the_very_pixels(name: str, with_isal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_isal:
        monkeypatch.setattr(encoding, "_isal_compress", None)
    assert np.array_equal(decoded(png(PICTURES[name]), PICTURES[name]), PICTURES[name])


def test_smooth_pictures_are_filtered_and_flat_ones_are_small() -> None:
    smooth = np.asarray(gradient(256, 200))
    assert len(png(smooth)) < smooth.size / 20
    drawing = np.zeros((200, 200), np.uint8)
    drawing[50:60] = 255
    assert len(png(drawing)) < 1500


def test_each_picture_of_many_is_encoded_as_if_it_were_alone() -> None:
    """Smooth ones, which are filtered, among noise, which is not; more than are packed at once."""
    pictures = [noise(n, 300, 200) if n % 3 else np.asarray(gradient(300, 200).rotate(n)) for n in range(9)]
    assert list(encode_all(pictures, "png", 90)) == [png(picture) for picture in pictures]
    assert list(encode_all([], "png", 90)) == []


def test_jpeg_follows_its_quality() -> None:
    picture = np.asarray(gradient(64, 64))
    low, high = (next(encode_all([picture], "jpeg", quality)) for quality in (20, 95))
    assert len(low) < len(high)
    assert np.abs(decoded(high, picture).astype(int) - picture).max() < 8


@pytest.mark.parametrize("name", ["colour noise", "grey noise"])
def test_raw_is_channels_first_in_bgr(name: str) -> None:
    picture = PICTURES[name]
    message = fields(datum(next(encode_all([picture], "raw", 90)), "raw", picture.shape, 300))
    channels = 3 if picture.ndim == 3 else 1
    assert (message[1], message[2], message[3], message[5]) == ([channels], [47], [61], [300])
    pixels = np.frombuffer(bytes(message[4][0]), np.uint8).reshape(channels, 47, 61)
    assert np.array_equal(pixels[0], picture if channels == 1 else picture[:, :, 2])


@pytest.mark.parametrize("shape", [(1, 1), (127, 128, 3), (8192, 300, 3), (28, 28)])
@pytest.mark.parametrize("label", [0, 1, 127, 128, 16_383, 16_384, 2_000_000])
def test_a_datum_is_the_bytes_that_protobuf_writes(shape: tuple[int, ...], label: int) -> None:
    for data, name in ENCODED:
        expected = caffe_pb2.Datum(
            channels=3 if len(shape) == 3 else 1, height=shape[0], width=shape[1], data=data, label=label
        )
        expected.encoded = name != "raw"
        assert datum(data, name, shape, label) == expected.SerializeToString()


def test_a_process_for_pictures_starts_without_protobuf() -> None:
    script = "import sys, worker.datasets.encoding_job; print('google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT).stdout == "False\n"
