"""What a layer made of a picture, as a picture: feature maps side by side, vectors as small squares.

Pure numbers to pixels with NumPy and Pillow; no web, no database, no torch. Weights are in `filters.py`.

One scale holds for all maps of a layer, so that they can be compared. What is never negative goes from dark to bright;
what has both signs is blue below zero and red above it, with zero in the middle, however uneven the two sides are.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WANTED_WIDTH = 720  # px of a whole picture; single maps are enlarged by whole factors up to it
MAX_ZOOM = 12
MAX_PIXELS = 2_000_000  # before zooming; of what is more, the first maps are shown
GAP = 2  # px between maps, after zooming
GAP_INDEX = 255  # of the palette: see-through
LEVELS = 254
VECTOR_IN_ONE_ROW = 32

# Anchors of the two palettes: viridis (van der Walt, Smith), and blue–white–red after ColorBrewer's RdBu.
SEQUENTIAL = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
DIVERGING = ("#08519c", "#3182bd", "#6baed6", "#bdd7e7", "#f7f7f7", "#fcbba1", "#fb6a4a", "#de2d26", "#a50f15")


@dataclass(frozen=True)
class Tiling:
    """How many maps of which size lie in how many columns, and how often each pixel is repeated."""

    shown: int
    count: int  # of all maps; more than shown when the picture would become too large
    columns: int
    tile_height: int
    tile_width: int
    zoom: int

    @property
    def rows(self) -> int:
        return math.ceil(self.shown / self.columns)

    @property
    def width(self) -> int:
        return self.columns * (self.zoom * self.tile_width + GAP) - GAP

    @property
    def height(self) -> int:
        return self.rows * (self.zoom * self.tile_height + GAP) - GAP


@dataclass(frozen=True)
class Scale:
    """Which value has which colour: from `low` to `high`, dark to bright, or blue – white – red around zero."""

    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Scale:
        """The whole range of the finite values; symmetric around zero when there are negative ones."""
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return cls(0.0, 1.0)
        low, high = float(finite.min()), float(finite.max())
        if low < 0:
            limit = max(-low, high)
            return cls(-limit, limit)
        return cls(low, high)

    @classmethod
    def span(cls, values: NDArray[Any]) -> Scale:
        """From the lowest to the highest finite value, whatever their signs."""
        finite = values[np.isfinite(values)]
        return cls(float(finite.min()), float(finite.max())) if finite.size else cls(0.0, 1.0)

    @property
    def is_signed(self) -> bool:
        return self.low < 0

    @property
    def colors(self) -> tuple[str, ...]:
        return DIVERGING if self.is_signed else SEQUENTIAL

    def indices(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """The palette's index of each value; what is not a number is see-through."""
        numbers = values.astype(np.float32)
        spread = self.high - self.low
        share = (numbers - self.low) / spread if spread > 0 else np.zeros_like(numbers)
        indices: NDArray[np.uint8] = np.rint(np.nan_to_num(share.clip(0, 1)) * LEVELS).astype(np.uint8)
        indices[np.isnan(numbers)] = GAP_INDEX
        return indices


def tile(count: int, height: int, width: int, columns: int | None = None, wanted_width: int = WANTED_WIDTH) -> Tiling:
    """A tiling about twice as wide as high (or with the given columns), within MAX_PIXELS."""
    count, height, width = max(1, count), max(1, height), max(1, width)
    area = (height + GAP) * (width + GAP)
    shown = max(1, min(count, MAX_PIXELS // area))
    if columns is None:
        columns = _columns(shown, math.sqrt(2 * shown * (height + GAP) / (width + GAP)))
    zoom = max(1, min(MAX_ZOOM, (wanted_width // columns - GAP) // width))
    return Tiling(shown, count, columns, height, width, zoom)


def _columns(count: int, wanted: float) -> int:
    """About as many columns as wanted, and the last row as full as can be."""
    candidates = range(max(1, math.floor(0.75 * wanted)), min(count, math.ceil(1.4 * wanted)) + 1)
    return min(candidates, key=lambda columns: (-count % columns, abs(columns - wanted)), default=count)


def tiling_of(shape: tuple[int, ...]) -> Tiling:
    """The tiling of a layer's output (C, H, W), (C,) or with a batch of one in front."""
    return tile(*maps_shape(shape))


def maps_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(number of maps, height, width) of a layer's output; a vector is one map of a few rows."""
    sizes = [size for place, size in enumerate(shape) if not (place == 0 and size == 1 and len(shape) in (2, 4))]
    while len(sizes) > 1 and sizes[-1] == sizes[-2] == 1:  # (C, 1, 1): a vector
        sizes = sizes[:-2]
    if len(sizes) >= 3:
        return math.prod(sizes[:-2]), sizes[-2], sizes[-1]
    if len(sizes) == 2:
        return 1, sizes[0], sizes[1]
    count = max(1, sizes[0]) if sizes else 1
    if count <= VECTOR_IN_ONE_ROW:
        return 1, 1, count
    columns = math.ceil(math.sqrt(2 * min(count, MAX_PIXELS)))
    return 1, math.ceil(min(count, MAX_PIXELS) / columns), columns


def draw(values: NDArray[Any], scale: Scale | None = None) -> Image.Image:
    """The output of one layer, (C, H, W), (C,) or with a batch of one in front, as a palette picture."""
    count, height, width = maps_shape(values.shape)
    tiling = tile(count, height, width)
    if count == 1:
        flat = np.full(height * width, np.nan, np.float32)
        some = np.asarray(values).reshape(-1)[: height * width]
        flat[: some.size] = some
        maps = flat.reshape(1, height, width)
    else:
        maps = np.asarray(values).reshape(count, height, width)[: tiling.shown]
    return draw_maps(maps, tiling, scale or Scale.of(maps))


def draw_maps(maps: NDArray[Any], tiling: Tiling, scale: Scale) -> Image.Image:
    """Maps (N, H, W) side by side as a palette picture; gaps are see-through."""
    canvas = np.full((tiling.height, tiling.width), GAP_INDEX, np.uint8)
    _place(canvas, scale.indices(maps), tiling)
    picture = Image.fromarray(canvas)
    picture.putpalette(_palette(scale.colors).tobytes())
    picture.info["transparency"] = GAP_INDEX
    return picture


def draw_colors(maps: NDArray[Any], tiling: Tiling, scale: Scale) -> Image.Image:
    """Maps (N, 3, H, W) in BGR order as colours, (N, 1, H, W) in grey, side by side; gaps are see-through."""
    spread = scale.high - scale.low
    shares = (maps.astype(np.float32) - scale.low) / spread if spread > 0 else np.zeros(maps.shape, np.float32)
    pixels = np.rint(np.nan_to_num(shares.clip(0, 1)) * 255).astype(np.uint8)[:, ::-1].transpose(0, 2, 3, 1)
    pixels = pixels.repeat(3 // pixels.shape[3], axis=3)
    opaque = np.full((*pixels.shape[:3], 1), 255, np.uint8)
    canvas = np.zeros((tiling.height, tiling.width, 4), np.uint8)
    _place(canvas, np.concatenate([pixels, opaque], axis=3), tiling)
    return Image.fromarray(canvas)


def load(path: Path) -> NDArray[Any]:
    """The numbers of a layer as they were saved, mapped rather than read; raises OSError or ValueError."""
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def png(picture: Image.Image) -> bytes:
    """PNG at a low level: these are made on the fly, and are small anyway."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=2)
    return file.getvalue()


def _place(canvas: NDArray[np.uint8], maps: NDArray[np.uint8], tiling: Tiling) -> None:
    height, width = tiling.zoom * tiling.tile_height, tiling.zoom * tiling.tile_width
    for number, one in enumerate(maps[: tiling.shown]):
        row, column = divmod(number, tiling.columns)
        top, left = row * (height + GAP), column * (width + GAP)
        zoomed = one.repeat(tiling.zoom, axis=0).repeat(tiling.zoom, axis=1)
        canvas[top : top + height, left : left + width] = zoomed


def _palette(colors: tuple[str, ...]) -> NDArray[np.uint8]:
    """(256, 3): the anchors, with the colours between them mixed evenly."""
    anchors = np.array([[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in colors], float)
    at = np.linspace(0, len(colors) - 1, LEVELS + 1)
    mixed = [np.interp(at, range(len(colors)), anchors[:, channel]) for channel in range(3)]
    palette = np.zeros((256, 3), np.uint8)
    palette[: LEVELS + 1] = np.rint(np.stack(mixed, axis=1))
    return palette
