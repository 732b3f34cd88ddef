"""What the wizard shows beside its fields: real pictures in every resize mode, and their altered copies.

Drawn by the code and with the seeds of a build (`app/imaging`). Large targets are drawn smaller in the same shape; one
preview at a time, and no picture that would take much memory.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from PIL import Image

from app.imaging.copies import Augmentation, altered, copy_seed
from app.imaging.decode import Decoded, ImageError, Limits, decode
from app.imaging.preprocess import fit, upright
from app.imaging.resize import scaled_size
from app.preprocessing import Channels, Preprocessing, ResizeMode
from app.uploads.pictures import FoundPicture

MAX_SIDE = 256  # of what is drawn
LIMITS = Limits(pixels=16_000_000, jpeg_pixels=64_000_000)  # of pictures that are decoded here
MAX_COPIES = 6
MOST_WITH_COPIES = 3  # pictures
_EXACT_SIDE = 64  # up to this size a preview shows the very pixels
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Drawn:
    url: str  # a data: address, empty when there is nothing to show
    problem: str = ""


@dataclass(frozen=True)
class PreviewRow:
    """A picture of the upload: as it is, and what it becomes by name."""

    path: str
    width: int
    height: int
    original: Drawn
    results: dict[str, Drawn]


def resized(pictures: Iterable[FoundPicture], preprocessing: Preprocessing) -> list[PreviewRow]:
    """Each picture in each resize mode, at the size, channels and fill of `preprocessing`."""
    with _one_at_a_time:
        return [_row(picture, preprocessing, lambda decoded, _: _modes(decoded, preprocessing)) for picture in pictures]


def copies(
    pictures: Iterable[FoundPicture], preprocessing: Preprocessing, augmentation: Augmentation, seed: int
) -> list[PreviewRow]:
    """Each picture as it is stored and its first few altered copies, as a build with this seed would draw them.

    The paths of the pictures are those of the dataset's lists.
    """

    def draw(decoded: Decoded, path: bytes) -> Iterator[tuple[str, Drawn]]:
        return _copies(decoded, path, preprocessing, augmentation, seed)

    with _one_at_a_time:
        return [_row(picture, preprocessing, draw) for picture in pictures]


def drawn_size(preprocessing: Preprocessing) -> tuple[int, int]:
    """The size of the drawings: that of the dataset, or a smaller one of the same shape."""
    width, height = preprocessing.width, preprocessing.height
    share = min(1.0, MAX_SIDE / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


Draw = Callable[[Decoded, bytes], Iterator[tuple[str, Drawn]]]


def _row(picture: FoundPicture, preprocessing: Preprocessing, draw: Draw) -> PreviewRow:
    colored = replace(preprocessing, channels=Channels.COLOR)
    try:
        original = decoded = _decode(picture, colored)
        if preprocessing.channels is not Channels.COLOR:
            decoded = _decode(picture, preprocessing)
        results = dict(draw(decoded, picture.path.encode()))
    except ImageError as error:
        return PreviewRow(picture.path, 0, 0, Drawn("", str(error)), {})
    return PreviewRow(picture.path, *_upright_size(original), Drawn(_url(_small(upright(original)))), results)


def _modes(decoded: Decoded, preprocessing: Preprocessing) -> Iterator[tuple[str, Drawn]]:
    for mode in ResizeMode:
        try:
            yield mode.value, Drawn(_url(_fitted(decoded, replace(preprocessing, resize_mode=mode))))
        except ImageError as error:
            yield mode.value, Drawn("", str(error))


def _copies(
    decoded: Decoded, path: bytes, preprocessing: Preprocessing, augmentation: Augmentation, seed: int
) -> Iterator[tuple[str, Drawn]]:
    stored = _fitted(decoded, preprocessing)
    yield "stored", Drawn(_url(stored))
    for copy in range(1, min(augmentation.copies, MAX_COPIES) + 1):
        yield str(copy), Drawn(_url(altered(stored, augmentation, copy_seed(seed, copy, path))))


def _fitted(decoded: Decoded, preprocessing: Preprocessing) -> Image.Image:
    """What is stored of the picture, in the size of drawings; raises ImageError for one that would be left out."""
    found, wanted = _upright_size(decoded), (preprocessing.width, preprocessing.height)
    smaller = _smaller(preprocessing)
    if smaller.resize_mode is ResizeMode.NONE:
        if found != wanted:
            raise ImageError(f"left out: {found[0]}×{found[1]}")
        smaller = replace(smaller, resize_mode=ResizeMode.SQUASH)
    elif smaller.resize_mode is not ResizeMode.SQUASH:
        across, down = scaled_size(upright(decoded).size, smaller.width, smaller.height, smaller.resize_mode)
        if across * down > LIMITS.pixels:
            raise ImageError("too long and thin to be drawn here")
    return fit(decoded, smaller)


def _smaller(preprocessing: Preprocessing) -> Preprocessing:
    width, height = drawn_size(preprocessing)
    return replace(preprocessing, width=width, height=height)


def _decode(picture: FoundPicture, preprocessing: Preprocessing) -> Decoded:
    # Without resizing a JPEG would not be scaled while it is decoded; here it may be, what is drawn is small.
    return decode(picture.data, replace(_smaller(preprocessing), resize_mode=ResizeMode.SQUASH), LIMITS)


def _upright_size(decoded: Decoded) -> tuple[int, int]:
    width, height = decoded.original_size
    return (height, width) if decoded.orientation > 4 else (width, height)


def _small(image: Image.Image) -> Image.Image:
    share = MAX_SIDE / max(image.size)
    if share >= 1:
        return image
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))


def _url(image: Image.Image) -> str:
    file = io.BytesIO()
    if max(image.size) <= _EXACT_SIDE:
        image.save(file, "PNG", compress_level=1)
        kind = "png"
    else:
        image.save(file, "JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
