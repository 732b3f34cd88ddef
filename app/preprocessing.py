"""The one definition of preprocessing: how a picture becomes a network's input.

Made with the dataset (channels, size, resize mode), completed by the model form (mean, scale, crop, mirror), saved
with both, and used by training, evaluation, prediction, exports and downloads. Only the value lives here; the
arithmetic on pixels is in `app/imaging` and, per batch, in `worker/engine`.

The order of operations is Caffe's: decode → channels → resize to width × height → crop (random in training, central
otherwise) → mirror (training only) → subtract the mean → multiply by the scale. Colour inputs are in BGR order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

Color = tuple[int, int, int]  # red, green, blue


class Channels(StrEnum):
    GRAY = "gray"
    COLOR = "color"

    @property
    def number(self) -> int:
        return 1 if self is Channels.GRAY else 3


class ResizeMode(StrEnum):
    NONE = "none"
    SQUASH = "squash"
    CROP = "crop"
    FILL = "fill"
    HALF_CROP = "half_crop"


class Fill(StrEnum):
    """What the borders become that fill and half crop leave."""

    NOISE = "noise"
    COLOR = "color"


class MeanMode(StrEnum):
    NONE = "none"
    IMAGE = "image"
    PIXEL = "pixel"


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a float32 array (C, H, W), C = 1 or 3 (BGR)."""

    channels: Channels
    width: int
    height: int
    resize_mode: ResizeMode = ResizeMode.SQUASH
    fill_color: Color | None = None  # of the borders that fill and half crop leave; None: noise
    mean: MeanMode = MeanMode.NONE
    mean_values: tuple[float, ...] = ()  # per channel in 0–255, BGR; filled when mean is "pixel"
    scale: float = 1.0
    crop_size: int | None = None
    mirror: bool = False

    @property
    def input_height(self) -> int:
        return self.crop_size or self.height

    @property
    def input_width(self) -> int:
        return self.crop_size or self.width

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network is fed."""
        return self.channels.number, self.input_height, self.input_width

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "mean_values": list(self.mean_values),
            "channel_order": self.channel_order,
            "fill_color": color_text(self.fill_color) if self.fill_color else None,
        }

    @property
    def channel_order(self) -> str:
        return "gray" if self.channels is Channels.GRAY else "bgr"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        return cls(
            channels=Channels(values["channels"]),
            width=int(values["width"]),
            height=int(values["height"]),
            resize_mode=ResizeMode(values.get("resize_mode", ResizeMode.SQUASH)),
            fill_color=color_of(values["fill_color"]) if values.get("fill_color") else None,
            mean=MeanMode(values.get("mean", MeanMode.NONE)),
            mean_values=tuple(float(value) for value in values.get("mean_values", ())),
            scale=float(values.get("scale", 1.0)),
            crop_size=int(values["crop_size"]) if values.get("crop_size") else None,
            mirror=bool(values.get("mirror", False)),
        )


def color_of(text: str) -> Color:
    """(red, green, blue) of “#rrggbb”; raises ValueError for anything else."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(f"expected a colour like #ff8000, found {text!r}")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def fill_color_of(options: Mapping[str, Any]) -> Color | None:
    """Of a dataset's options; None when the borders are noise."""
    return color_of(options["fill_color"]) if options.get("fill") == Fill.COLOR else None


def color_text(color: Color) -> str:
    return f"#{bytes(color).hex()}"
