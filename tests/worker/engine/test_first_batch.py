"""The previewed first batch is what training really feeds to its net."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from app.augmentation import Augmentation
from app.preprocessing import Channels, MeanMode, Preprocessing
from tests.worker.engine.drawn import NET, PLAIN, SIDE, SOLVER, Listener, draw_dataset, draw_images, train_spec
from tests.worker.engine.fed import what_nets_are_fed
from worker.engine.errors import EngineError
from worker.engine.first_batch import FedImage, FirstBatchSpec, first_batch
from worker.engine.spec import TrainSpec
from worker.engine.train import train

EVERYTHING = Augmentation(
    flip="flipud", quad_rotation="rotall", rotation_degrees=20, zoom=0.1, shift=0.1, hue=0.1, saturation=0.1,
    brightness=0.1, contrast=0.5, cutout=0.3,
)  # fmt: skip
COLOUR = Preprocessing(Channels.COLOR, SIDE, SIDE, scale=1 / 256, mirror=True)


def preview_of(spec: TrainSpec) -> list[FedImage]:
    return list(
        first_batch(
            FirstBatchSpec(spec.preprocessing, spec.augmentation or Augmentation(), spec.dataset_dir,
                           spec.solver.batch_size, spec.solver.batch_accumulation, spec.solver.seed)
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("preprocessing", "augmentation", "accumulation"),
    [
        (PLAIN, None, 1),
        (replace(PLAIN, crop_size=9, mirror=True), None, 2),
        (replace(PLAIN, crop_size=9, mirror=True, mean=MeanMode.PIXEL, mean_values=(60.0,)), None, 1),
        (replace(COLOUR, crop_size=10), EVERYTHING, 2),
        (replace(COLOUR, mean=MeanMode.PIXEL, mean_values=(40.0, 50.0, 60.0)), EVERYTHING, 1),
        (PLAIN, Augmentation(noise=0.1, rotation_degrees=90), 1),
    ],
)
def test_the_preview_is_the_batch_that_training_feeds(
    tmp_path: Path, preprocessing: Preprocessing, augmentation: Augmentation | None, accumulation: int
) -> None:
    topology = NET.replace("kernel_size: 2 stride: 2", "kernel_size: 2 stride: 1")
    solver = replace(SOLVER, epochs=1, batch_accumulation=accumulation, seed=5, val_interval=0)
    spec = train_spec(
        tmp_path, topology=topology, preprocessing=preprocessing, solver=solver, augmentation=augmentation
    )
    preview = preview_of(spec)
    with what_nets_are_fed() as fed:
        train(spec, Listener())
    images = np.concatenate([images for images, _ in fed[:accumulation]])
    labels = np.concatenate([labels for _, labels in fed[:accumulation]])
    mean = np.array(preprocessing.mean_values or (0.0,), np.float32)
    pixels = np.clip(np.round(images.transpose(0, 2, 3, 1) * 256 + mean), 0, 255).astype(np.uint8)

    assert len(preview) == accumulation * SOLVER.batch_size
    assert [image.label for image in preview] == labels.tolist()
    np.testing.assert_array_equal(np.stack([image.pixels for image in preview]), pixels)
    other = np.concatenate([images for images, _ in fed[accumulation : 2 * accumulation]])
    assert not np.array_equal(other, images)


@pytest.mark.parametrize("mean", [MeanMode.NONE, MeanMode.IMAGE, MeanMode.PIXEL])
@pytest.mark.parametrize("crop", [None, 8])
def test_images_that_are_not_varied_are_shown_as_they_are_stored(
    tmp_path: Path, mean: MeanMode, crop: int | None
) -> None:
    """Whatever was subtracted from them: they are windows of the stored images, value by value."""
    folder = draw_dataset(tmp_path / "dataset", channels=3)
    preprocessing = Preprocessing(Channels.COLOR, SIDE, SIDE, mean=mean, scale=0.017, crop_size=crop)
    stored, labels = draw_images(60, 3)
    shown = list(first_batch(FirstBatchSpec(preprocessing, Augmentation(), folder, 16, 1, 3)))
    assert len({image.index for image in shown}) == 16
    for image in shown:
        windows = np.lib.stride_tricks.sliding_window_view(stored[image.index], image.pixels.shape)
        assert any(np.array_equal(window, image.pixels) for window in windows.reshape(-1, *image.pixels.shape))
        assert image.label == labels[image.index]


def test_no_more_is_decoded_than_is_shown(tmp_path: Path) -> None:
    folder = draw_dataset(tmp_path / "dataset")
    shutil.rmtree(folder / "cache")
    spec = FirstBatchSpec(PLAIN, Augmentation(), folder, 4, 1000, 1)
    assert len(list(islice(first_batch(spec), 10))) == 10
    assert not (folder / "cache").exists()


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    folder = draw_dataset(tmp_path / "dataset")
    of_colour = replace(COLOUR, mean=MeanMode.IMAGE)
    with pytest.raises(EngineError, match="expected a mean image of shape"):
        list(first_batch(FirstBatchSpec(of_colour, Augmentation(), folder, 4, 1, 1)))
    (folder / "train.lmdb" / "data.mdb").unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        list(first_batch(FirstBatchSpec(PLAIN, Augmentation(), folder, 4, 1, 1)))
    shutil.rmtree(folder / "train.lmdb")
    with pytest.raises(EngineError, match="expected the training split"):
        list(first_batch(FirstBatchSpec(PLAIN, Augmentation(), folder, 4, 1, 1)))
