"""Files of weights as the web process knows them: what is in a .safetensors, from its header alone; no torch."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

Shape = tuple[int, ...]


class WeightsError(Exception):
    """The file of weights cannot be read; the text says why."""


def weight_shapes(path: Path) -> dict[str, Shape]:
    """Weight → its shape, in the order of the file; raises WeightsError."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.offset_keys()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path.name} cannot be read: {error}") from error
