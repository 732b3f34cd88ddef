from __future__ import annotations

from dataclasses import replace

import pytest

from app.models.preprocessing_differences import differences
from app.preprocessing import Channels, MeanMode, Preprocessing

BGR = (104.0, 117.0, 123.0)
CAFFE = Preprocessing(Channels.COLOR, 256, 256, mean=MeanMode.PIXEL, mean_values=BGR, crop_size=227)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": Channels.GRAY}, ["It was trained on color images; these are gray."]),
        ({"crop_size": 224}, ["It was trained on inputs of 227 × 227; these are 224 × 224."]),
        ({"width": 300, "height": 300}, []),  # what is cropped is what counts
        ({"scale": 1 / 256}, ["Its pixels were multiplied by 1; here they are by 0.00390625."]),
        ({"scale": 1.004}, []),
        (
            {"mean": MeanMode.NONE, "mean_values": ()},
            ["It had a mean pixel (104, 117, 123) subtracted; here it is no mean."],
        ),
        (
            {"mean_values": (123.0, 117.0, 104.0)},
            ["It had a mean pixel (104, 117, 123) subtracted; here it is a mean pixel (123, 117, 104)."],
        ),
        ({"mean_values": (105.0, 116.0, 120.0)}, []),
        ({"mean": MeanMode.IMAGE, "mean_values": ()}, []),
    ],
)
def test_what_differs_is_said_and_nothing_else(changes: dict[str, object], words: list[str]) -> None:
    assert differences(CAFFE, replace(CAFFE, **changes)) == words
