"""The sizes that pictures had before a dataset was made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.datasets.image_sizes import Sizes, original_sizes
from app.datasets.lmdb_reader import INDEX_DTYPE
from tests.pace import soon


def save(folder: Path, split: str, sizes: list[tuple[int, int]]) -> None:
    index = np.zeros(len(sizes), INDEX_DTYPE)
    index["width"] = [width for width, _ in sizes]
    index["height"] = [height for _, height in sizes]
    np.save(folder / f"{split}.index.npy", index)


def test_sizes_are_counted_over_all_splits(tmp_path: Path) -> None:
    save(tmp_path, "train", [(40, 30)] * 3 + [(30, 40)])
    save(tmp_path, "test", [(40, 30), (10, 99)])
    longer_sides = [(32, 47, 5), (48, 63, 0), (64, 95, 0), (96, 127, 1)]
    assert original_sizes(tmp_path, ["train", "test"], "a") == Sizes(
        6, 3, [(40, 30, 4), (10, 99, 1), (30, 40, 1)], (10, 40, 40), (30, 30, 99), longer_sides
    )


def test_altered_copies_are_not_counted(tmp_path: Path) -> None:
    save(tmp_path, "train", [(40, 30), (40, 30), (50, 60)])
    index = np.load(tmp_path / "train.index.npy")
    index["copy"] = [0, 1, 0]
    np.save(tmp_path / "train.index.npy", index)
    found = original_sizes(tmp_path, ["train"], "a")
    assert found
    assert (found.count, found.common) == (2, [(40, 30, 1), (50, 60, 1)])


def test_sides_at_the_bounds_of_a_bin_lie_in_it(tmp_path: Path) -> None:
    save(tmp_path, "train", [(1, 1), (2, 1), (3, 3), (4, 4), (5, 5), (6, 6), (2**31, 1)])
    found = original_sizes(tmp_path, ["train"], "a")
    assert found
    assert found.longer_sides[:5] == [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 5, 2), (6, 7, 1)]
    assert found.longer_sides[-1] == (2**31, 3 * 2**30 - 1, 1)


def test_a_rebuilt_dataset_is_counted_anew(tmp_path: Path) -> None:
    save(tmp_path, "train", [(1, 1)])
    assert original_sizes(tmp_path, ["train"], "a")
    save(tmp_path, "train", [(2, 2)])
    found = original_sizes(tmp_path, ["train"], "b")
    assert found
    assert found.common == [(2, 2, 1)]


def test_files_that_are_gone_or_empty_give_nothing(tmp_path: Path) -> None:
    assert original_sizes(tmp_path, ["train"], "a") is None
    assert original_sizes(tmp_path, [], "a") is None
    save(tmp_path, "val", [])
    assert original_sizes(tmp_path, ["val"], "a") is None
    (tmp_path / "test.index.npy").write_bytes(b"nonsense")
    assert original_sizes(tmp_path, ["test"], "a") is None


def test_a_million_pictures_are_counted_soon(tmp_path: Path) -> None:
    index = np.zeros(1_000_000, INDEX_DTYPE)
    index["width"] = np.random.RandomState(1).randint(1, 5000, len(index))
    index["height"] = index["width"][::-1]
    np.save(tmp_path / "train.index.npy", index)
    with soon(20):
        found = original_sizes(tmp_path, ["train"], "a")
    assert found
    assert found.count == 1_000_000
