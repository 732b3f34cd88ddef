"""From the bytes of a picture to pixels of the dataset's size and channels: the one place where it is done.

Dataset builds, predictions and previews call the same functions, so that a model sees at test time what it saw in
training, and the wizard shows what will be stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.decode import FAILURES, Decoded, ImageError, decode, refusal
from app.imaging.jpeg import Content, image_of, pixels_of
from app.imaging.resize import ResizeError, resize
from app.preprocessing import Preprocessing, ResizeMode

__all__ = ["ImageError", "Picture", "fit", "load_image", "load_picture", "pixels_bgr", "upright"]


class Picture(NamedTuple):
    content: Content  # of the wanted size
    original_size: tuple[int, int]  # width, height as stored in the file
    note: str | None  # what was done to it that its owner should know
    is_source: bool  # the file holds exactly this picture and nothing else, so it may be stored as it is

    @property
    def image(self) -> Image.Image:
        """Mode L or RGB."""
        return image_of(self.content)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W) or (H, W, 3) uint8."""
        return pixels_of(self.content)


def load_image(source: bytes | Path | BinaryIO, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The picture as (H, W, C) uint8, BGR or grey, at the size of `preprocessing`; raises ImageError."""
    data = source if isinstance(source, bytes) else source.read_bytes() if isinstance(source, Path) else source.read()
    return pixels_bgr(load_picture(data, preprocessing).image)


def pixels_bgr(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, C) uint8 in Caffe's channel order, from an L or RGB picture."""
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])


def load_picture(data: bytes, preprocessing: Preprocessing) -> Picture:
    """The picture in mode L or RGB and of exactly the size of `preprocessing`; raises ImageError."""
    decoded = decode(data, preprocessing)
    if decoded.is_bare and decoded.original_size == (preprocessing.width, preprocessing.height):
        return Picture(decoded.content, decoded.original_size, None, True)
    return Picture(fit(decoded, preprocessing), decoded.original_size, decoded.note, False)


def fit(decoded: Decoded, preprocessing: Preprocessing) -> Image.Image:
    """The decoded picture, upright and of exactly the size of `preprocessing`; raises ImageError."""
    width, height, mode = preprocessing.width, preprocessing.height, preprocessing.resize_mode
    image, orientation = decoded.image, decoded.orientation
    try:
        if mode is ResizeMode.SQUASH:  # turning the small picture is cheaper
            size = (height, width) if orientation > 4 else (width, height)
            return _oriented(resize(image, *size, mode), orientation)
        return resize(upright(decoded), width, height, mode, preprocessing.fill_color)
    except ResizeError as error:
        raise ImageError(str(error)) from None
    except FAILURES as error:
        raise refusal(error) from None


def upright(decoded: Decoded) -> Image.Image:
    """The decoded picture as one looks at it, in its own size."""
    return _oriented(decoded.image, decoded.orientation)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _oriented(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation > 1 else image
