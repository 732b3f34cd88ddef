"""The decoded array equals what OpenCV decodes, is made once, and only as a whole."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.preprocessing import Channels
from tests.worker.datasets.pictures import two_classes
from tests.worker.datasets.test_build import caffe_pixels, make, spec_of, stored
from worker.datasets.build import DatasetError
from worker.datasets.cache import open_cache


@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize("encoding", ["png", "jpeg", "raw"])
def test_the_cache_holds_every_picture_and_label_in_order(channels: Channels, encoding: str, tmp_path: Path) -> None:
    spec = replace(spec_of(two_classes(tmp_path / "pets.zip")), channels=channels, encoding=encoding)
    make(spec)
    cached = open_cache(spec.out_dir, "train", processes=2)
    entries = stored(spec.out_dir, "train")
    assert cached.labels.tolist() == [datum.get(5, [0])[0] for _, datum in entries]
    assert cached.images.shape == (14, 10, 12, channels.number)
    expected = np.stack([caffe_pixels(datum) for _, datum in entries])
    assert np.abs(cached.images.astype(int) - expected).max() <= (1 if encoding == "jpeg" else 0)


def test_two_runs_at_once_make_it_once(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=400))
    make(spec)
    seen: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=open_cache, args=(spec.out_dir, "train", 1, lambda *done: seen.append(done)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(512, 560), (560, 560)]
    files = sorted(path.name for path in (spec.out_dir / "cache").iterdir())
    assert files == ["train.labels.npy", "train.lock", "train.u8"]


def test_what_a_killed_run_left_behind_is_made_again(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip"))
    make(spec)
    (spec.out_dir / "cache").mkdir()
    (spec.out_dir / "cache" / "train.u8.part").write_bytes(b"half" * 9999)
    (spec.out_dir / "cache" / "train.u8").write_bytes(b"without its labels")
    assert open_cache(spec.out_dir, "train").images.shape == (14, 10, 12, 3)


def test_a_damaged_cache_is_told(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip"))
    make(spec)
    open_cache(spec.out_dir, "train")
    (spec.out_dir / "cache" / "train.u8").write_bytes(b"cut")
    with pytest.raises(DatasetError, match=r"train.u8 is damaged; delete the folder"):
        open_cache(spec.out_dir, "train")
