"""The mean image of a pretrained net: Caffe's mean.binaryproto, or the mean.npy of a dataset of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from app.preprocessing import MeanMode, Preprocessing
from app.topology import caffe_pb2
from worker.engine.errors import EngineError

MeanImage = NDArray[np.float32]  # (C, H, W), BGR


@dataclass(frozen=True)
class SentMean:
    """The preprocessing with what its mean says, and the image where there is one."""

    preprocessing: Preprocessing
    image: MeanImage | None = None
    remarks: list[str] = field(default_factory=list)


def mean_of(preprocessing: Preprocessing, path: Path | None, is_size_given: bool) -> SentMean:
    """Without a file the preprocessing stays as it is. Raises EngineError.

    A mean image larger than the input says how large images were before the crop, if nobody else did.
    """
    if path is None:
        return SentMean(preprocessing)
    image = _read(path)
    channels, height, width = image.shape
    if channels != preprocessing.channels.number:
        found = f"{channels} channel{'s' * (channels != 1)}"
        raise EngineError(f"The mean image has {found}, the net takes {preprocessing.channels} images.")
    is_larger = min(height, width) >= preprocessing.input_height == preprocessing.input_width
    if is_larger and not is_size_given and (height, width) != (preprocessing.height, preprocessing.width):
        crop = preprocessing.input_height
        preprocessing = replace(preprocessing, width=width, height=height, crop_size=crop)
    if (height, width) == (preprocessing.height, preprocessing.width):
        return SentMean(replace(preprocessing, mean=MeanMode.IMAGE, mean_values=()), image)
    values = _per_channel(image)
    remark = (
        f"The mean image is {width} × {height}, images are {preprocessing.width} × {preprocessing.height}: "
        "its mean per channel is subtracted."
    )
    return SentMean(replace(preprocessing, mean=MeanMode.PIXEL, mean_values=values), None, [remark])


def mean_of_dataset(preprocessing: Preprocessing, path: Path) -> SentMean:
    """What a model of ours subtracts, which may be nothing, or the mean per channel, of its dataset's mean image."""
    if preprocessing.mean is MeanMode.NONE or preprocessing.mean_values:
        return SentMean(preprocessing)
    image = _read(path)
    if preprocessing.mean is MeanMode.IMAGE:
        return SentMean(preprocessing, image)
    return SentMean(replace(preprocessing, mean_values=_per_channel(image)))


def _per_channel(image: MeanImage) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in image.mean((1, 2), dtype=np.float64))


def _read(path: Path) -> MeanImage:
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False), np.float32)
        except (OSError, ValueError) as error:
            raise EngineError(f"The mean image of the dataset cannot be read: {error}") from error
    try:
        blob = caffe_pb2.BlobProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise EngineError(f"This is no mean.binaryproto, or a damaged one: {error}") from error
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(shape[-3:])
    values = np.array(blob.data or blob.double_data, np.float32)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != values.size or not np.isfinite(values).all():
        raise EngineError("This is no mean.binaryproto: expected channels × height × width finite numbers.")
    return values.reshape(shape)
