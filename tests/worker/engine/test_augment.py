from __future__ import annotations

import colorsys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.augmentation import Augmentation, Flip, QuadRotation
from app.preprocessing import Channels, MeanMode, Preprocessing
from tests.worker.engine.drawn import SIDE, draw_images
from tests.worker.engine.oracle import DEVICE
from worker.engine.augment import augment, check_turns, cut_out
from worker.engine.errors import EngineError
from worker.engine.loader import Split, TrainingBatches
from worker.engine.pixels import PixelTransform
from worker.engine.stores import DeviceStore


def random(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def images(count: int = 200, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    values = random(7).integers(0, 256, (1, channels, height, width)).astype(np.float32)
    return torch.from_numpy(values).repeat(count, 1, 1, 1).to(DEVICE)


def kinds(varied: Tensor) -> dict[bytes, int]:
    """How often each different image is among them."""
    found: dict[bytes, int] = {}
    for image in varied.cpu().contiguous():
        key = image.numpy().tobytes()
        found[key] = found.get(key, 0) + 1
    return found


def test_nothing_is_varied_by_default() -> None:
    assert not Augmentation().is_on
    assert augment(images(), Augmentation(), random()) is not None
    assert torch.equal(augment(images(), Augmentation(), random()), images())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Augmentation(flip=Flip.LEFT_RIGHT), [lambda image: image, lambda image: image.flip(2)]),
        (Augmentation(flip=Flip.UP_DOWN), [lambda image: image, lambda image: image.flip(1)]),
        (
            Augmentation(flip=Flip.BOTH),
            [lambda image: image, lambda image: image.flip(1), lambda image: image.flip(2), lambda i: i.flip(1, 2)],
        ),
        (Augmentation(quad_rotation=QuadRotation.BY_180), [lambda image: image, lambda image: image.rot90(2, (1, 2))]),
        (
            Augmentation(quad_rotation=QuadRotation.BY_90),
            [lambda image, turns=turns: image.rot90(turns, (1, 2)) for turns in (0, 1, 3)],
        ),
        (
            Augmentation(quad_rotation=QuadRotation.ALL),
            [lambda image, turns=turns: image.rot90(turns, (1, 2)) for turns in range(4)],
        ),
    ],
)
def test_flips_and_quarter_turns_give_each_of_their_kinds_equally_often(
    settings: Augmentation, expected: list[object]
) -> None:
    found = kinds(augment(images(600), settings, random()))
    wanted = {make(images(1)[0]).cpu().contiguous().numpy().tobytes() for make in expected if callable(make)}
    assert set(found) == wanted
    assert min(found.values()) > 600 / len(expected) * 0.7


def test_turns_by_90_degrees_need_square_images() -> None:
    check_turns(Augmentation(quad_rotation=QuadRotation.BY_180), 4, 6)
    with pytest.raises(EngineError, match="need square images, found 6×4; take rot180"):
        check_turns(Augmentation(quad_rotation=QuadRotation.ALL), 4, 6)


def test_a_rotation_by_a_quarter_is_the_quarter_turn() -> None:
    class Quarter:
        """Draws the ends of every range."""

        def uniform(self, low: float, high: float, size: object = None) -> np.ndarray:
            return np.full(size, high)  # type: ignore[call-overload, no-any-return]

        def normal(self, mean: float, spread: float, size: int) -> np.ndarray:
            return np.full(size, mean)

    turned = augment(images(1), Augmentation(rotation_degrees=90), Quarter())  # type: ignore[arg-type]
    assert torch.allclose(turned, images(1).rot90(1, (2, 3)), atol=0.05)


def test_rotations_stay_within_their_range_and_go_both_ways() -> None:
    line = torch.zeros(300, 1, 41, 41, device=DEVICE)
    line[:, :, 20, 20:] = 255
    varied = augment(line, Augmentation(rotation_degrees=30), random()).cpu().numpy()
    rows, columns = np.mgrid[:41, :41] - 20
    angles = [float(np.degrees(np.arctan2((image[0] * rows).sum(), (image[0] * columns).sum()))) for image in varied]
    assert 25 < max(angles) < 31
    assert -31 < min(angles) < -25


def test_shifts_move_content_by_up_to_their_share_of_the_side() -> None:
    dot = torch.zeros(300, 1, 21, 21, device=DEVICE)
    dot[:, :, 10, 10] = 255
    varied = augment(dot, Augmentation(shift=0.2), random()).cpu().numpy()[:, 0]
    rows = (varied.sum(2) * np.arange(21)).sum(1) / varied.sum((1, 2))
    assert 13.5 < rows.max() < 14.5
    assert 5.5 < rows.min() < 6.5


def test_zooms_enlarge_and_shrink() -> None:
    square = torch.zeros(200, 1, 41, 41, device=DEVICE)
    square[:, :, 10:31, 10:31] = 255
    areas = augment(square, Augmentation(zoom=0.1), random()).mean((1, 2, 3)) / square.mean()
    assert float(areas.min()) < 0.85
    assert float(areas.max()) > 1.15
    assert float(areas.sqrt().std()) == pytest.approx(0.1, abs=0.02)


def test_noise_has_its_spread_on_the_scale_from_black_to_white() -> None:
    grey = torch.full((50, 1, 32, 32), 128.0, device=DEVICE)
    noisy = augment(grey, Augmentation(noise=0.05), random())
    assert float(noisy.std()) == pytest.approx(0.05 * 255, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(128, abs=0.5)


def test_contrast_spreads_each_channel_around_its_mean() -> None:
    varied = augment(images(), Augmentation(contrast=0.5), random())
    assert torch.allclose(varied.mean((2, 3)), images().mean((2, 3)), atol=0.01)
    factors = varied.std((2, 3))[:, 0] / images().std((2, 3))[:, 0]
    assert 0.5 <= float(factors.min()) < 0.55
    assert 1.45 < float(factors.max()) <= 1.5001


def test_hsv_shifts_are_those_of_the_standard_library() -> None:
    class Shifts:
        def normal(self, mean: float, spread: float, size: int) -> np.ndarray:
            return np.full(size, 1.0)

    settings = Augmentation(hue=0.2, saturation=-0.3, brightness=0.1)
    varied = augment(images(1), settings, Shifts()).cpu().numpy()[0]  # type: ignore[arg-type]
    for blue, green, red, *found in np.concatenate([images(1).cpu().numpy()[0], varied]).reshape(6, -1).T:
        hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
        moved = (hue + 0.2) % 1, min(1, max(0, saturation - 0.3)), min(1, value + 0.1)
        expected = [channel * 255 for channel in reversed(colorsys.hsv_to_rgb(*moved))]
        assert found == pytest.approx(expected, abs=0.05)


def test_the_brightness_of_grey_images_is_shifted_too() -> None:
    varied = augment(images(channels=1), Augmentation(brightness=0.2, hue=0.1), random())
    assert varied.shape == images(channels=1).shape
    assert 0 <= float(varied.min()) <= float(varied.max()) <= 255
    assert len(kinds(varied)) > 100


def test_a_cutout_is_a_square_of_its_size_anywhere() -> None:
    whole = torch.ones(300, 2, 20, 30, device=DEVICE)
    cut = cut_out(whole, Augmentation(cutout=0.5), random())
    areas = (cut[:, 0] == 0).sum((1, 2))
    assert 95 <= int(areas.max()) <= 110  # 10 by 10, less where it reaches beyond an edge
    assert torch.equal(cut[:, 0], cut[:, 1])
    assert bool((cut == 0).any(0).all())


def batches(seed: int, settings: Augmentation, tmp_path: Path) -> TrainingBatches:
    drawn, labels = draw_images(24, channels=3)
    np.save(tmp_path / "mean.npy", drawn.mean(0).transpose(2, 0, 1).astype(np.float32))
    preprocessing = Preprocessing(Channels.COLOR, SIDE, SIDE, mean=MeanMode.IMAGE, scale=0.01, crop_size=9, mirror=True)
    transform = PixelTransform(preprocessing, tmp_path, DEVICE)
    split = Split("train", DeviceStore(drawn, DEVICE), torch.from_numpy(labels).to(DEVICE), transform, DEVICE)
    return TrainingBatches(split, batch_size=8, accumulation=1, seed=seed, augmentation=settings)


EVERYTHING = Augmentation(
    Flip.BOTH, QuadRotation.ALL, rotation_degrees=20, zoom=0.1, shift=0.1, hue=0.02, saturation=0.04, brightness=0.06,
    contrast=0.3, noise=0.03, cutout=0.3,
)  # fmt: skip


def first(loader: TrainingBatches, iteration: int = 0) -> Tensor:
    return next(iter(loader.at(iteration)))[0]


def test_a_seed_gives_the_same_batches_whenever_they_are_made(tmp_path: Path) -> None:
    one, again, other = (batches(seed, EVERYTHING, tmp_path) for seed in (1, 1, 2))
    first(one)
    assert torch.equal(first(one, 5), first(again, 5))
    assert not torch.equal(first(one, 5), first(other, 5))
    assert first(one).shape == (8, 3, 9, 9)
    assert bool(first(one).isfinite().all())


def test_a_setting_that_changes_nothing_leaves_batches_as_they_are_without(tmp_path: Path) -> None:
    """Through the path of varied images: crop, mirror and mean fall on the same pixels."""
    plain, path = batches(1, Augmentation(), tmp_path), batches(1, Augmentation(zoom=1e-12), tmp_path)
    assert path.augmentation is not None
    assert torch.allclose(first(plain), first(path), atol=1e-3)


def test_settings_are_checked_and_survive_a_round_trip() -> None:
    assert EVERYTHING.validate() == {}
    assert Augmentation.from_dict(EVERYTHING.to_dict()) == EVERYTHING
    wrong = replace(EVERYTHING, zoom=-1, noise=float("nan"), flip="sideways")
    assert set(wrong.validate()) == {"zoom", "noise", "flip"}
