"""Pictures of an LMDB that are seen without LMDB's own code."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.archives.datums import pictures_in
from app.topology.caffe_pb2 import Datum
from app.uploads.pictures import some_pictures
from tests.worker.datasets.pictures import file_of, noise
from tests.worker.datasets.test_lmdb_source import caffe_lmdb, packed


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("ending", ["zip", "folder"])
def test_the_first_pictures_of_a_database_are_seen(ending: str, encoded: bool, tmp_path: Path) -> None:
    """`caffe_lmdb` gives OpenCV and Caffe RGB for BGR, so what comes back is in the other order."""
    folder = caffe_lmdb(tmp_path / "in" / "train_lmdb", [0, 1] * 20, encoded)
    path = tmp_path / "in" if ending == "folder" else packed(tmp_path / "in", tmp_path / "a.zip")
    found = list(some_pictures(path, ending, 5))
    assert [picture.path for picture in found] == [f"train_lmdb/{number:08d}" for number in range(5)]
    drawn = [noise(number)[:, :, ::-1].tobytes() for number in range(40)]
    assert all(pixels(picture.data).tobytes() in drawn for picture in found)
    assert (folder / "data.mdb").is_file()


def test_grey_pixels_and_files_without_a_size_are_seen() -> None:
    gray, png = noise(1, channels=1), file_of(noise(2))
    datums = [
        Datum(channels=1, height=10, width=12, data=gray.tobytes(), label=300),
        Datum(data=png, label=1, encoded=True),
    ]
    start = b'\x08\x01\x10"\x01' + b"\0".join(datum.SerializeToString() for datum in datums)
    first, second = pictures_in(start)
    assert (pixels(first) == gray).all()
    assert second == png


def test_what_only_looks_like_a_record_is_passed_over() -> None:
    cut = Datum(channels=3, height=10, width=12, data=noise(1).tobytes()).SerializeToString()[:-1]
    wrong = Datum(channels=3, height=11, width=12, data=noise(1).tobytes()).SerializeToString()
    assert list(pictures_in(cut)) == []
    assert list(pictures_in(wrong)) == []
    assert list(pictures_in(np.random.RandomState(1).bytes(200_000))) == []
    assert list(pictures_in(b"")) == []
