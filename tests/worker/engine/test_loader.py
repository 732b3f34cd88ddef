from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.preprocessing import Channels, Preprocessing
from tests.worker.engine.drawn import SIDE, draw_images
from tests.worker.engine.oracle import DEVICE
from worker.engine.loader import Split, TrainingBatches, in_order
from worker.engine.pixels import PixelTransform
from worker.engine.stores import DeviceStore, HostStore, Store

PLAIN = Preprocessing(Channels.GRAY, SIDE, SIDE)


def split(count: int, preprocessing: Preprocessing = PLAIN, store: Store | None = None) -> Split:
    images, labels = draw_images(count)
    images[:, 0, 0, 0] = np.arange(count)  # tells which image it is
    transform = PixelTransform(preprocessing, Path("nowhere"), DEVICE)
    return Split("train", store or DeviceStore(images, DEVICE), torch.from_numpy(labels).to(DEVICE), transform, DEVICE)


def seen(batches: TrainingBatches, iterations: range) -> list[int]:
    """The images of these iterations, by number."""
    return [int(image[0, 0, 0]) for iteration in iterations for images, _ in batches.at(iteration) for image in images]


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own() -> None:
    batches = TrainingBatches(split(24), batch_size=6, accumulation=1, seed=1)
    assert batches.iterations_per_epoch == 4
    first, second = seen(batches, range(4)), seen(batches, range(4, 8))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second
    assert first != sorted(first)


def test_the_last_batch_of_an_epoch_is_filled_up_from_its_beginning() -> None:
    batches = TrainingBatches(split(20), batch_size=8, accumulation=1, seed=1)
    assert batches.iterations_per_epoch == 3
    epoch = seen(batches, range(3))
    assert sorted(epoch[:20]) == list(range(20))
    assert epoch[20:] == epoch[:4]
    assert sorted(seen(batches, range(3, 6))[:20]) == list(range(20))


def test_a_batch_larger_than_the_split_repeats_it() -> None:
    batches = TrainingBatches(split(3), batch_size=7, accumulation=1, seed=1)
    assert batches.iterations_per_epoch == 1
    images = seen(batches, range(1))
    assert images[:3] == images[3:6]
    assert images[6] == images[0]


def test_accumulation_goes_through_the_same_images_in_smaller_batches() -> None:
    whole = TrainingBatches(split(30), batch_size=8, accumulation=1, seed=1)
    parts = TrainingBatches(split(30), batch_size=4, accumulation=2, seed=1)
    assert parts.iterations_per_epoch == whole.iterations_per_epoch == 4
    assert len(list(parts.at(0))) == 2
    assert seen(parts, range(8)) == seen(whole, range(8))


def test_any_iteration_can_be_had_without_those_before_it() -> None:
    in_a_row, at_once = (TrainingBatches(split(20), batch_size=8, accumulation=1, seed=5) for _ in range(2))
    everything = seen(in_a_row, range(9))
    assert seen(at_once, range(7, 9)) == everything[7 * 8 :]


def test_labels_belong_to_their_images() -> None:
    batches = TrainingBatches(split(24), batch_size=6, accumulation=1, seed=1)
    for images, labels in batches.at(2):
        assert [int(image[0, 0, 0]) % 3 for image in images] == labels.tolist()


def test_another_seed_gives_another_order() -> None:
    first, second = (TrainingBatches(split(24), batch_size=6, accumulation=1, seed=seed) for seed in (1, 2))
    assert seen(first, range(4)) != seen(second, range(4))


def test_crops_and_mirrors_are_drawn_anew_for_each_batch_and_the_same_for_each_run() -> None:
    preprocessing = replace(PLAIN, crop_size=8, mirror=True)
    runs = [TrainingBatches(split(24, preprocessing), batch_size=24, accumulation=1, seed=1) for _ in range(2)]
    first, again = (next(iter(run.at(0)))[0] for run in runs)
    assert first.shape == (24, 1, 8, 8)
    assert torch.equal(first, again)
    other_epoch, labels = next(iter(runs[0].at(1)))
    assert sorted(labels.tolist()) == sorted([0, 1, 2] * 8)
    assert not torch.equal(first.sum((1, 2, 3)).sort().values, other_epoch.sum((1, 2, 3)).sort().values)


@pytest.mark.parametrize("preprocessing", [PLAIN, replace(PLAIN, crop_size=8, mirror=True)])
def test_every_store_gives_the_same_batches(preprocessing: Preprocessing) -> None:
    images, _ = draw_images(20)
    images[:, 0, 0, 0] = np.arange(20)
    ahead = HostStore(images)
    ahead.is_quick = False  # as if it were larger than memory: batches are prepared in a thread
    stores = [HostStore(images), DeviceStore(images, DEVICE), ahead]
    runs = [TrainingBatches(split(20, preprocessing, store), batch_size=6, accumulation=2, seed=3) for store in stores]
    for iteration in (0, 1, 2, 7, 3):
        expected, *others = [torch.cat([images.cpu() for images, _ in run.at(iteration)]) for run in runs]
        for other in others:
            assert torch.equal(other, expected)


def test_evaluation_goes_through_a_split_in_order_with_a_smaller_last_batch() -> None:
    for store in (None, HostStore(split(7).store.take(np.arange(7), None).cpu().numpy())):
        if isinstance(store, HostStore):
            store.is_quick = False
        batches = list(in_order(split(7, store=store), 3))
        assert [len(images) for images, _ in batches] == [3, 3, 1]
        assert [int(image[0, 0, 0]) for images, _ in batches for image in images] == list(range(7))
        assert [int(label) for _, labels in batches for label in labels] == [0, 1, 2, 0, 1, 2, 0]


def test_a_thread_that_fails_says_so_where_the_batch_is_asked_for() -> None:
    images, _ = draw_images(6)

    class Broken(HostStore):
        is_quick = False

        def take(self, *_: object) -> torch.Tensor:
            raise OSError("the disk is gone")

    store = Broken(images)
    store.is_quick = False
    with pytest.raises(OSError, match="the disk is gone"):
        list(TrainingBatches(split(6, store=store), batch_size=3, accumulation=1, seed=1).at(0))
