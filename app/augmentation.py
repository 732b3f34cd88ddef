"""How training images are varied at random: settings only. The arithmetic is in `worker/engine/augment`.

Mirror and crop are part of `app/preprocessing.py`, since crop changes what a net is fed at test time too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class Flip(StrEnum):
    NONE = "none"
    LEFT_RIGHT = "fliplr"
    UP_DOWN = "flipud"
    BOTH = "fliplrud"

    @property
    def is_left_right(self) -> bool:
        return self in (Flip.LEFT_RIGHT, Flip.BOTH)

    @property
    def is_up_down(self) -> bool:
        return self in (Flip.UP_DOWN, Flip.BOTH)

    @property
    def without_mirror(self) -> Flip:
        return Flip.UP_DOWN if self.is_up_down else Flip.NONE

    def with_mirror(self, mirror: bool) -> Flip:
        """Also from left to right, if `mirror` says so."""
        if not mirror or self.is_left_right:
            return self
        return Flip.BOTH if self.is_up_down else Flip.LEFT_RIGHT


class QuadRotation(StrEnum):
    NONE = "none"
    BY_90 = "rot90"  # 0, 90 or 270 degrees
    BY_180 = "rot180"  # 0 or 180
    ALL = "rotall"  # 0, 90, 180 or 270

    @property
    def changes_shape(self) -> bool:
        """Whether height and width change places."""
        return self in (QuadRotation.BY_90, QuadRotation.ALL)


@dataclass(frozen=True)
class Augmentation:
    """Ranges are those of DIGITS; everything is off by default. A σ is a standard deviation."""

    flip: str = Flip.NONE  # each side at random, independently
    quad_rotation: str = QuadRotation.NONE
    rotation_degrees: float = 0.0  # 0–180: uniform from minus to plus
    zoom: float = 0.0  # 0–1: σ of the zoom factor around 1
    shift: float = 0.0  # 0–0.5: of the side, uniform from minus to plus
    hue: float = 0.0  # 0–0.5: σ of the shift, of a whole turn
    saturation: float = 0.0  # 0–0.5: σ
    brightness: float = 0.0  # 0–0.5: σ of the shift of the value
    contrast: float = 0.0  # 0–5: factor uniform in 1 ± contrast, around each channel's mean
    noise: float = 0.0  # 0–1: σ, where 1 is the range from black to white
    cutout: float = 0.0  # 0–1: side of a square without content, of the shorter side

    @property
    def is_on(self) -> bool:
        return self != Augmentation()

    def to_dict(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Augmentation:
        return cls(**{name: values[name] for name in cls.names() if name in values})

    def validate(self) -> dict[str, str]:
        """What is wrong, by field; empty when nothing is."""
        faults = {}
        for name, most in MOST.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
                faults[name] = f"must be a number from 0 to {most:g}"
        for name, choices in (("flip", Flip), ("quad_rotation", QuadRotation)):
            if getattr(self, name) not in tuple(choices):
                faults[name] = f"must be one of {', '.join(choices)}"
        return faults


MOST = {
    "rotation_degrees": 180.0, "zoom": 1.0, "shift": 0.5, "hue": 0.5, "saturation": 0.5, "brightness": 0.5,
    "contrast": 5.0, "noise": 1.0, "cutout": 1.0,
}  # fmt: skip
