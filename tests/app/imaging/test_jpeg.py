"""JPEGs come out the same whether Pillow decodes them or libjpeg-turbo does it directly."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from app.imaging import jpeg
from app.imaging.decode import ImageError, decode
from app.imaging.jpeg import decode_jpeg
from app.imaging.preprocess import load_picture
from app.preprocessing import Channels, Preprocessing
from tests.worker.datasets.pictures import file_of, gradient, noise, with_orientation
from tests.worker.datasets.real_data import real_data

BLURRED = Image.fromarray(noise(3, 70, 45)).resize((701, 453), Image.Resampling.BICUBIC)
FILES = {
    "colour": file_of(BLURRED, "JPEG"),
    "grey": file_of(BLURRED.convert("L"), "JPEG"),
    "progressive": file_of(BLURRED, "JPEG", progressive=True),
    "without subsampling": file_of(BLURRED, "JPEG", subsampling=0, quality=97),
    "subsampled across": file_of(BLURRED, "JPEG", subsampling=1),
    "kept in RGB": file_of(BLURRED, "JPEG", keep_rgb=True),
    "with EXIF": with_orientation(BLURRED, 6, "JPEG"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize("side", [700, 200, 100, 40])
def test_the_pixels_are_those_of_pillow_at_every_scale(
    name: str, channels: Channels, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Preprocessing(channels, side, side)
    direct = decode(FILES[name], wanted)
    monkeypatch.setattr(jpeg, "_decode", None)
    by_pillow = decode(FILES[name], wanted)
    assert np.array_equal(np.asarray(direct.image), np.asarray(by_pillow.image))
    assert direct[1:] == by_pillow[1:]


def test_real_thumbnails_have_the_pixels_of_pillow() -> None:
    with zipfile.ZipFile(real_data() / "cifar10-test.zip") as archive:
        for name in archive.namelist()[::50]:
            data = archive.read(name)
            expected = Image.open(io.BytesIO(data))
            found = decode_jpeg(data, expected.mode, expected.size)
            assert found is not None
            assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize("side", [32, 20])
def test_pixels_that_are_at_hand_are_those_of_the_picture(channels: Channels, side: int) -> None:
    for picture in (gradient(32, 32), gradient(32, 32).convert("L")):
        found = load_picture(file_of(picture, "JPEG"), Preprocessing(channels, side, side))
        assert isinstance(found.content, np.ndarray) == (side == 32 and picture.mode == found.image.mode)
        assert found.image.mode == ("L" if channels is Channels.GRAY else "RGB")
        assert np.array_equal(found.pixels, np.asarray(found.image))


def test_what_is_damaged_is_left_to_pillow_which_says_why() -> None:
    cut = FILES["colour"][:3000]
    assert decode_jpeg(cut, "RGB", (701, 453)) is None
    assert decode_jpeg(b"", "RGB", (701, 453)) is None
    assert decode_jpeg(FILES["colour"], "RGB", (300, 200)) is None  # a size that libjpeg does not scale to
    with pytest.raises(ImageError, match=r"cut off \(image file is truncated"):
        decode(cut, Preprocessing(Channels.COLOR, 64, 64))


def test_cmyk_is_left_to_pillow() -> None:
    data = file_of(gradient(300, 200).convert("CMYK"), "JPEG")
    decoded = decode(data, Preprocessing(Channels.COLOR, 300, 200)).image
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(gradient(300, 200))).mean() < 6
