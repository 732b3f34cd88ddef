"""What data layers say about batches and transforms."""

import pytest

from app.topology.data import DataSettings, data_settings
from app.topology.net import Phase
from app.topology.text import read
from app.topology.zoo import zoo_entry


def test_both_phases_have_their_own() -> None:
    source = read(zoo_entry("alexnet").prototxt)

    assert data_settings(source, Phase.TRAIN) == DataSettings(batch_size=64, mirror=True, crop_size=227)
    assert data_settings(source, Phase.TEST) == DataSettings(batch_size=50, crop_size=227)


def test_a_text_without_data_layers_says_nothing() -> None:
    assert data_settings(read(""), Phase.TRAIN) == DataSettings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'type: "Data" transform_param { scale: 0.1 mean_value: 104 mean_value: 117.5 } data_param { source: "x" }',
            DataSettings(scale=0.1, mean_values=(104, 117.5)),
        ),
        (
            'type: "ImageData" image_data_param { batch_size: 7 is_color: false mean_file: "m" crop_size: 3 }',
            DataSettings(batch_size=7, is_color=False, has_mean_file=True, crop_size=3),
        ),
        ('type: "MemoryData" memory_data_param { batch_size: 5 }', DataSettings(batch_size=5)),
        ('type: "HDF5Data" hdf5_data_param { batch_size: 0 }', DataSettings()),
        ('type: "Input" input_param { shape { dim: 1 } }', DataSettings()),
    ],
)
def test_every_kind_of_data_layer_is_read(text: str, expected: DataSettings) -> None:
    assert data_settings(read(f'layer {{ name: "d" top: "data" {text} }}'), Phase.TRAIN) == expected
