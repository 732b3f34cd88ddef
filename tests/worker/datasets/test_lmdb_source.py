"""Existing Caffe LMDBs as sources: encoded and raw, whole splits, damaged and hostile ones."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from app.archives import inspect
from app.topology.caffe_pb2 import Datum
from tests.worker.datasets.pictures import noise
from tests.worker.datasets.test_build import caffe_pixels, make, spec_of, stored
from worker.datasets.build import BuildSpec, DatasetError
from worker.datasets.spec import Databases


def caffe_lmdb(folder: Path, labels: list[int], encoded: bool = True, seed: int = 0) -> Path:
    """As convert_imageset writes it: keys %08d_name, BGR pixels or PNG files."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 26) as env, env.begin(write=True) as transaction:
        for number, label in enumerate(labels):
            pixels = noise(seed + number)
            data = cv2.imencode(".png", pixels)[1].tobytes() if encoded else pixels.transpose(2, 0, 1).tobytes()
            datum = Datum(channels=3, height=10, width=12, data=data, label=label, encoded=encoded)
            transaction.put(b"%08d_cats/%d.png" % (number, number), datum.SerializeToString())
    return folder


def packed(folder: Path, path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*.*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, ".")
    return path


def of(path: Path, databases: Databases, **values: object) -> BuildSpec:
    given = {"train_percent": 100, "val_percent": 0, "test_percent": 0, "out_dir": path.parent / "dataset"}
    return spec_of(path, databases=databases, **(given | values))


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_pictures_and_labels_of_a_caffe_lmdb_become_a_dataset(ending: str, encoded: bool, tmp_path: Path) -> None:
    caffe_lmdb(tmp_path / "in" / "train_lmdb", [0, 1, 1, 0, 1], encoded)
    path = packed(tmp_path / "in", tmp_path / f"a.{ending}")
    assert inspect(path, path.name).databases == ("train_lmdb",)
    spec = of(path, Databases("train_lmdb"))
    result = make(spec)
    assert (result.classes, result.splits["train"].per_class) == (["0", "1"], [2, 3])
    lines = (spec.out_dir / "train.txt").read_text().splitlines()
    for (_, datum), line in zip(stored(spec.out_dir, "train"), lines, strict=True):
        number = int(line.split("/")[1].split("_")[0])
        assert line == f"train_lmdb/{number:08d}_cats/{number}.png {[0, 1, 1, 0, 1][number]}"
        assert np.array_equal(caffe_pixels(datum), noise(number))
    assert sorted(found.name for found in tmp_path.iterdir()) == [path.name, "dataset", "in"]


def test_lmdbs_for_validation_and_testing_and_names_beside_them(tmp_path: Path) -> None:
    caffe_lmdb(tmp_path / "in" / "train_lmdb", [0, 2, 2, 0])
    caffe_lmdb(tmp_path / "in" / "val_lmdb", [2, 0], seed=50)
    (tmp_path / "in" / "labels.txt").write_text("cat\ncow\ndog\n")
    path = packed(tmp_path / "in", tmp_path / "a.zip")
    result = make(of(path, Databases("train_lmdb", val="val_lmdb", labels="labels.txt")))
    assert result.classes == ["cat", "dog"]
    assert {split: counts.per_class for split, counts in result.splits.items()} == {"train": [2, 2], "val": [1, 1]}


def test_a_folder_on_the_server_that_is_an_lmdb_is_read_where_it_lies(tmp_path: Path) -> None:
    folder = caffe_lmdb(tmp_path / "in", list(range(4)) * 3)
    before = sorted(found.name for found in folder.iterdir())
    spec = of(folder, Databases("."), train_percent=67, val_percent=33)
    assert make(spec).splits["val"].per_class == [1, 1, 1, 1]
    assert sorted(found.name for found in folder.iterdir()) == before


def test_many_keys_are_read_in_several_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.datasets.lmdb_source._TASK_KEYS", 7)
    caffe_lmdb(tmp_path / "in", [0, 1] * 25)
    path = packed(tmp_path / "in", tmp_path / "a.zip")
    assert make(of(path, Databases("."))).splits["train"].count == 50


def test_values_that_are_no_pictures_cost_only_themselves(tmp_path: Path) -> None:
    folder = caffe_lmdb(tmp_path / "in", [0, 1, 0, 1])
    with lmdb.open(str(folder)) as env, env.begin(write=True) as transaction:
        odd = [Datum(label=0, float_data=[1.0], channels=1, height=1, width=1), Datum(label=1, data=b"?", encoded=True)]
        for number, datum in enumerate(odd):
            transaction.put(b"9%d" % number, datum.SerializeToString())
    spec = of(packed(folder, tmp_path / "a.zip"), Databases("."))
    assert make(spec).skipped_count == 2
    skipped = (spec.out_dir / "skipped.csv").read_text()
    assert './90,"raw pixels of an unsupported form' in skipped
    assert './91,"not an image' in skipped


def damaged(data: bytes, how: str) -> bytes:
    if how == "cut":
        return data[: len(data) // 2]
    if how == "noise":
        return np.random.RandomState(1).bytes(40_000)
    random = np.random.RandomState(3)
    out = bytearray(data)
    for _ in range(400):
        out[random.randint(len(out))] = random.randint(256)
    return bytes(out)


@pytest.mark.parametrize("how", ["cut", "noise", "flipped bytes"])
def test_a_damaged_lmdb_is_told_and_takes_nothing_down(how: str, tmp_path: Path) -> None:
    folder = caffe_lmdb(tmp_path / "in", [0, 1] * 40, encoded=False)
    data = folder / "data.mdb"
    data.write_bytes(damaged(data.read_bytes(), how))
    path = packed(folder, tmp_path / "a.zip")
    try:
        result = make(of(path, Databases(".")))
    except DatasetError as error:
        assert "LMDB" in str(error) or "class" in str(error)  # noqa: PT017
    else:
        assert how == "flipped bytes"
        assert result.splits["train"].count + result.skipped_count > 0


@pytest.mark.parametrize(
    ("databases", "message"),
    [
        (Databases("nowhere"), r"no LMDB \(data.mdb\) in the folder nowhere; LMDBs of the archive: \."),
        (Databases(".", labels="labels.txt"), r"There is no list labels.txt"),
    ],
)
def test_what_is_not_there_is_told(databases: Databases, message: str, tmp_path: Path) -> None:
    path = packed(caffe_lmdb(tmp_path / "in", [0, 1]), tmp_path / "a.zip")
    with pytest.raises(DatasetError, match=message):
        make(of(path, databases))


def test_an_empty_lmdb_is_told(tmp_path: Path) -> None:
    path = packed(caffe_lmdb(tmp_path / "in", []), tmp_path / "a.zip")
    with pytest.raises(DatasetError, match=r"has no pictures"):
        make(of(path, Databases(".")))
