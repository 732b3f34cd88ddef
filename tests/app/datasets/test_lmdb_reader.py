"""The gallery's reader, on splits written here by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from app.datasets.lmdb_reader import INDEX_DTYPE, open_split
from app.topology.caffe_pb2 import Datum
from tests.pace import soon


def write_split(folder: Path, labels: list[int], encoded: bool = True) -> list[bytes]:
    """A split with one picture per label; gives the stored bytes."""
    stored, lines = [], []
    with lmdb.open(str(folder / "val.lmdb"), map_size=1 << 26) as env, env.begin(write=True) as transaction:
        for number, label in enumerate(labels):
            pixels = np.full((4, 6, 3), (number, label, 9), np.uint8)
            data = cv2.imencode(".png", pixels)[1].tobytes() if encoded else pixels.transpose(2, 0, 1).tobytes()
            datum = Datum(channels=3, height=4, width=6, data=data, label=label, encoded=encoded)
            transaction.put(b"%08d" % number, datum.SerializeToString())
            stored.append(data)
            lines.append(f"犬 {label}/{number} x.png {label}\n".encode())
    index = np.zeros(len(labels), INDEX_DTYPE)
    index["label"], index["width"], index["height"] = labels, 60, 40
    index["stored_bytes"] = [len(data) for data in stored]
    index["list_offset"] = np.cumsum([0, *(len(line) for line in lines)])[:-1]
    np.save(folder / "val.index.npy", index)
    (folder / "val.txt").write_bytes(b"".join(lines))
    return stored


def test_pictures_come_as_they_are_stored(tmp_path: Path) -> None:
    stored = write_split(tmp_path, [0, 1, 1])
    with open_split(tmp_path, "val") as split:
        assert split.count == 3
        assert [split.image(number) for number in range(3)] == list(zip(stored, [0, 1, 1], strict=True))


def test_raw_pictures_come_as_png(tmp_path: Path) -> None:
    write_split(tmp_path, [0, 7], encoded=False)
    with open_split(tmp_path, "val") as split:
        data, label = split.image(1)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert label == 7
    assert (pixels == (1, 7, 9)).all()


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_without_a_picture_is_an_index_error(number: int, tmp_path: Path) -> None:
    write_split(tmp_path, [0, 1, 1])
    with open_split(tmp_path, "val") as split, pytest.raises(IndexError, match="pictures 0 to 2"):
        split.image(number)


def test_pages_follow_each_other_without_gaps_or_doubles(tmp_path: Path) -> None:
    labels = [number % 3 for number in range(20)]
    write_split(tmp_path, labels)
    with open_split(tmp_path, "val") as split:
        for label, expected in ((None, list(range(20))), (1, list(range(1, 20, 3))), (9, [])):
            numbers, after = [], -1
            while True:
                page = split.page(label, after, limit=3)
                assert page.total == len(expected)
                numbers += [image.number for image in page.images]
                if page.next is None:
                    break
                after = page.next
            assert numbers == expected


def test_a_page_says_where_each_picture_comes_from(tmp_path: Path) -> None:
    stored = write_split(tmp_path, [2, 5])
    with open_split(tmp_path, "val") as split:
        image = split.page(label=5).images[0]
    assert (image.number, image.label, image.source) == (1, 5, "犬 5/1 x.png")
    assert (image.width, image.height, image.stored_bytes) == (60, 40, len(stored[1]))


def test_a_page_in_the_middle_of_a_million_opens_at_once(tmp_path: Path) -> None:
    index = np.zeros(1_000_000, INDEX_DTYPE)
    index["label"] = np.arange(1_000_000) % 1000
    index["list_offset"] = np.arange(1_000_000) * 8
    np.save(tmp_path / "val.index.npy", index)
    (tmp_path / "val.txt").write_bytes(b"a.png 0\n" * 1_000_000)
    for label, after in ((None, 40_000 * 25), (7, -1), (999, 500_000)):
        with soon(2), open_split(tmp_path, "val") as split:
            split.page(label, after, 25)


def test_a_split_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_split(tmp_path, "test")


def test_a_split_may_be_open_several_times_at_once(tmp_path: Path) -> None:
    write_split(tmp_path, [0, 1, 1])
    with open_split(tmp_path, "val") as first:
        assert first.image(1)[1] == 1
        with open_split(tmp_path, "val") as second:
            assert second.image(2)[1] == 1
        assert first.image(0)[1] == 0


def test_threads_read_beside_each_other(tmp_path: Path) -> None:
    write_split(tmp_path, list(range(50)))

    def read(number: int) -> int:
        with open_split(tmp_path, "val") as split:
            return split.image(number % 50)[1]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(400))) == [number % 50 for number in range(400)]
