"""Archives of every kind of source, drawn small: class folders in splits, lists, Caffe LMDBs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.worker.datasets.pictures import file_of, noise, zip_of
from tests.worker.datasets.test_lmdb_source import caffe_lmdb, packed


def folders_zip(path: Path, folders: Mapping[str, int], seed: int = 0, **more: bytes) -> Path:
    """`folders` by path with their number of pictures, no two pictures alike."""
    files: dict[str, bytes] = {}
    for folder, count in folders.items():
        files |= {f"{folder}/{number}.png": file_of(noise(seed + len(files) + number)) for number in range(count)}
    return zip_of(path, files | more)


def lists_zip(path: Path, **more: bytes) -> Path:
    """Twelve pictures in one folder, lists by number in the archive: eight for training, two each for the others."""
    files = {f"images/{number:02d}.png": file_of(noise(number)) for number in range(12)}
    lists = {
        "train.txt": list_of(range(8)),
        "val.txt": list_of(range(8, 10)),
        "test.txt": list_of(range(10, 12)),
        "labels.txt": b"cat\ndog\n",
    }
    return zip_of(path, files | lists | more)


def loose_zip(path: Path, count: int = 12, seed: int = 0, **more: bytes) -> Path:
    """Pictures in no folder, and no list unless it is among `more`."""
    return zip_of(path, {f"{number:02d}.png": file_of(noise(seed + number)) for number in range(count)} | more)


def list_of(numbers: range, names: tuple[str, ...] = ("0", "1")) -> bytes:
    return "".join(f"images/{number:02d}.png {names[number % len(names)]}\n" for number in numbers).encode()


def lmdb_zip(folder: Path) -> Path:
    """Eight pictures to train with, two for validation, in Caffe LMDBs, and the names of their classes."""
    caffe_lmdb(folder / "in" / "digits_train_lmdb", [0, 1] * 4)
    caffe_lmdb(folder / "in" / "digits_val_lmdb", [0, 1], seed=50)
    (folder / "in" / "labels.txt").write_text("cat\ndog\n")
    return packed(folder / "in", folder / "lmdb.zip")
