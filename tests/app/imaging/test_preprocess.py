"""Every kind of picture becomes the pixels that a person would expect, or gives its reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app.imaging.preprocess import ImageError, load_image, load_picture
from app.preprocessing import Channels, Preprocessing, ResizeMode
from tests.pace import soon
from tests.worker.datasets.pictures import file_of, gradient, noise, png_that_claims, with_orientation

COLOR = Preprocessing(Channels.COLOR, 40, 30)
GRAY = Preprocessing(Channels.GRAY, 40, 30)


def load(data: bytes, preprocessing: Preprocessing = COLOR) -> np.ndarray:
    return load_image(data, preprocessing).astype(int)


def bgr(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)[:, :, ::-1]


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_lossless_formats_give_the_very_pixels_in_bgr(form: str) -> None:
    data = file_of(gradient(), form, **({"lossless": True} if form == "WEBP" else {}))
    assert np.array_equal(load(data), bgr(gradient()))


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("TIFF", "CMYK"), ("GIF", "P")]
)
def test_other_formats_come_close(form: str, mode: str) -> None:
    image = gradient().convert(mode)
    assert np.abs(load(file_of(image, form)) - bgr(image)).mean() < 6


def test_gray_is_luma_and_has_one_channel() -> None:
    loaded = load_image(file_of(gradient()), GRAY)
    assert (loaded.shape, loaded.dtype) == ((30, 40, 1), np.uint8)
    red, green, blue = np.asarray(gradient()).astype(float).transpose(2, 0, 1)
    assert np.abs(loaded[:, :, 0] - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 1


def test_gray_pictures_fill_all_channels_of_a_colour_dataset() -> None:
    loaded = load(file_of(noise(1, 40, 30, channels=1)))
    assert np.array_equal(loaded[:, :, 0], loaded[:, :, 2])
    assert np.array_equal(loaded[:, :, 0], noise(1, 40, 30, channels=1))


@pytest.mark.parametrize(
    ("mode", "form"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("LA", "TIFF")]
)
def test_transparent_pixels_become_white(mode: str, form: str) -> None:
    image = Image.new(mode, (40, 30), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.paste((0, 0, 0, 128) if mode == "RGBA" else (0, 128), (20, 0, 40, 30))
    loaded = load(file_of(image, form, **({"lossless": True} if form == "WEBP" else {})))
    assert (loaded[:, :19] == 255).all()
    assert np.abs(loaded[:, 21:] - 127).max() <= 1


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_becomes_white(mode: str) -> None:
    image = Image.new(mode, (40, 30), 0)
    key = (0, 0, 0) if mode == "RGB" else 0
    assert (load(file_of(image, "PNG", transparency=key)) == 255).all()


def test_palette_and_two_colour_pictures_are_shown_in_their_colours() -> None:
    palette = gradient().quantize(64)
    assert np.array_equal(load(file_of(palette)), bgr(palette))
    bits = gradient().convert("1")
    assert np.array_equal(load(file_of(bits)), bgr(bits))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("P", (40, 30), color) for color in (0, 255)]
    frames = [Image.fromarray(np.full((30, 40, 3), value, np.uint8)) for value in (10, 200)]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        data = file_of(frames[0], form, save_all=True, append_images=[frames[1]])
        assert np.abs(load(data) - 10).max() <= 2, form


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", [ResizeMode.SQUASH, ResizeMode.CROP, ResizeMode.FILL])
def test_exif_orientation_is_applied(form: str, orientation: int, mode: ResizeMode) -> None:
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # Pillow's names of what brings each orientation upright
    turn = turns[orientation - 1]
    preprocessing = Preprocessing(Channels.COLOR, 24, 20, mode)
    image = gradient(120, 100)
    upright = image if turn is None else image.transpose(Image.Transpose(turn))
    expected = load(file_of(upright), preprocessing)
    loaded = load(with_orientation(image, orientation, form), preprocessing)
    if mode is ResizeMode.FILL and orientation > 4:
        loaded, expected = loaded[:, 5:19], expected[:, 5:19]  # the borders are noise
    assert np.abs(loaded - expected).max() <= 6


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_from_its_full_range(form: str) -> None:
    values = (np.arange(1200).reshape(30, 40) * 54).astype(np.uint16)
    picture = load_picture(file_of(Image.fromarray(values), form), GRAY)
    assert np.array_equal(np.asarray(picture.image), np.rint(values / 257))
    assert picture.note == "16-bit grey, scaled from 0–65,535 to 0–255"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0, 255)),
        (0.0, 200.0, (0, 200)),
        (0.0, 60000.0, (0, 233)),
        (-3.0, 5.0, (0, 255)),
        (7e9, 8e9, (0, 255)),
    ],
)
def test_float_grey_is_scaled_by_its_range(low: float, high: float, expected: tuple[int, int]) -> None:
    values = np.linspace(low, high, 1200, dtype=np.float32).reshape(30, 40)
    picture = load_picture(file_of(Image.fromarray(values), "TIFF"), GRAY)
    loaded = np.asarray(picture.image)
    assert (loaded.flat[0], loaded.flat[-1]) == expected
    assert picture.note == "float grey, scaled by its range to 0–255"


def test_float_grey_with_not_a_number_is_taken() -> None:
    values = np.full((30, 40), np.nan, np.float32)
    assert (load(file_of(Image.fromarray(values), "TIFF"), GRAY) == 0).all()


BROKEN: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", r"^empty file \(0 bytes\)$"),
    "HTML page": (b"\n<!DOCTYPE html><html>404</html>", r"^not an image: an HTML page$"),
    "SVG": (b"<?xml version='1.0'?><svg/>", r"SVG or XML"),
    "text": (b"no picture at all", r"^not an image, or damaged at its start$"),
    "zeros": (bytes(5000), r"^not an image: only zeros$"),
    "archive": (b"PK\x03\x04" + bytes(100), r"^not an image: an archive$"),
    "HEIF": (b"\0\0\0\x18ftypheic" + bytes(100), r"HEIF"),
    "PDF": (b"%PDF-1.7", r"PDF"),
    "cut JPEG": (file_of(gradient(400, 300), "JPEG")[:2000], r"^cut off"),
    "cut JPEG header": (file_of(gradient(), "JPEG")[:100], r"cut off|damaged|cannot be decoded"),
    "cut PNG": (file_of(noise(1, 99, 99))[:9000], r"^cut off"),
    "cut PNG header": (file_of(gradient())[:20], r"cut off|damaged"),
    "cut GIF": (file_of(noise(1, 99, 99), "GIF")[:3000], r"cut off|cannot"),
    "cut BMP": (file_of(noise(1, 99, 99), "BMP")[:500], r"cut off|cannot"),
    "cut TIFF": (file_of(noise(1, 99, 99), "TIFF")[:500], r"cut off|cannot|damaged"),
    "cut WebP": (file_of(noise(1, 99, 99), "WEBP")[:500], r"cut off|cannot|damaged"),
    "PNG with damaged data": (file_of(noise(1, 99, 99)).replace(b"IDAT", b"IDAT\xff\xff"), r"cannot|cut|damaged"),
    "flood": (png_that_claims(30000, 30000), r"^too large: 30000×30000, at most 64 million pixels$"),
    "flood in one line": (png_that_claims(2**31 - 1, 1), r"^too large"),
    "no pixels": (png_that_claims(0, 10), r"no pixels|cannot|damaged"),
    "PPM flood": (b"P6 100000 100000 255\n", r"^too large"),
    "other format of Pillow": (file_of(gradient(), "ICO"), r"^not an image"),
    "EPS, which would run Ghostscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"^not an image"),
}  # fmt: skip


@pytest.mark.parametrize("sample", BROKEN)
def test_broken_pictures_give_their_reason_at_once(sample: str) -> None:
    data, reason = BROKEN[sample]
    with soon(20), pytest.raises(ImageError, match=reason):
        load_image(data, COLOR)


@pytest.mark.filterwarnings("ignore")
def test_any_cut_and_any_flipped_byte_gives_a_picture_or_a_reason() -> None:
    random = np.random.RandomState(0)
    reasons = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        whole = file_of(noise(3, 20, 20), form)
        for _ in range(150):
            data = bytearray(whole[: random.randint(1, len(whole) + 1)])
            for _ in range(random.randint(0, 4)):
                data[random.randint(0, len(data))] = random.randint(0, 256)
            try:
                assert load_image(bytes(data), COLOR).shape == (30, 40, 3)
            except ImageError as error:
                reasons.append(str(error))
    assert all(reasons)
    assert len(reasons) > 300


def test_large_photographs_are_scaled_while_they_are_decoded() -> None:
    large = gradient(3000, 2000)
    data = file_of(large, "JPEG", quality=95)
    for channels in Channels:
        loaded = load_image(data, Preprocessing(channels, 64, 64))
        exact = large.convert("L" if channels is Channels.GRAY else "RGB").resize((64, 64), Image.Resampling.BOX)
        expected = np.asarray(exact).reshape(64, 64, -1)[:, :, ::-1].astype(int)
        assert np.abs(loaded - expected).max() <= 4


def test_a_path_and_an_open_file_are_taken_as_well(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "picture.png"
    path.write_bytes(file_of(gradient()))
    assert np.array_equal(load_image(path, COLOR), load_image(io.BytesIO(path.read_bytes()), COLOR))
