"""What a text's data layers say about batches and transforms: the dataset replaces them, the form starts from them."""

from __future__ import annotations

from dataclasses import dataclass

from app.topology.net import Phase
from app.topology.text import Source
from app.topology.wiring import data_layers


@dataclass(frozen=True)
class DataSettings:
    """Of one phase; None and () where the text says nothing."""

    batch_size: int | None = None
    scale: float | None = None
    mirror: bool | None = None
    crop_size: int | None = None
    mean_values: tuple[float, ...] = ()
    has_mean_file: bool = False
    is_color: bool | None = None


_PARAMS = {
    "Data": "data_param",
    "HDF5Data": "hdf5_data_param",
    "ImageData": "image_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
}


def data_settings(source: Source, phase: Phase) -> DataSettings:
    """What the first data layer of a phase says."""
    layers = data_layers(source, phase)
    if not layers:
        return DataSettings()
    options = layers[0].options
    transform, param = options.transform_param, _PARAMS.get(options.type)
    return DataSettings(
        batch_size=(getattr(options, param).batch_size or None) if param else None,
        # seven digits of a float32 are what was written
        scale=float(f"{transform.scale:.7g}") if transform.HasField("scale") else None,
        mirror=transform.mirror if transform.HasField("mirror") else None,
        crop_size=transform.crop_size or None,
        mean_values=tuple(float(f"{value:.7g}") for value in transform.mean_value),
        has_mean_file=transform.HasField("mean_file"),
        is_color=options.image_data_param.is_color if options.type == "ImageData" else None,
    )
