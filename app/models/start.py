"""What a model's weights start from, as its row keeps it: a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Start:
    """Weights to start from, as a model's row keeps them."""

    key: str  # "model:3" or "pretrained:4"
    name: str
    epoch: str  # of a snapshot, as it is labelled; empty for a pretrained net
    path: str  # of the .safetensors, relative to the home
    sha256: str = ""
    preprocessing: Mapping[str, Any] | None = None
    freeze_loaded: bool = False  # train only what is new
    prototxt: str = ""  # the net's own, before its loaded layers were frozen; empty until they are

    @property
    def title(self) -> str:
        return f"{self.name}, epoch {self.epoch}" if self.epoch else self.name

    @property
    def address(self) -> str:
        """Its page, which may be gone."""
        noun, _, number = self.key.partition(":")
        return f"/models/{number}" if noun == "model" else f"/pretrained/{number}"

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "epoch": self.epoch, "path": self.path, "sha256": self.sha256,
                "preprocessing": dict(self.preprocessing or {}), "freeze_loaded": self.freeze_loaded,
                "prototxt": self.prototxt}  # fmt: skip
