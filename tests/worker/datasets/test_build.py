"""Datasets from end to end; what was written is read back by code that shares nothing with the writer."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tarfile
import textwrap
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from app.archives import ArchiveError
from app.preprocessing import Channels, ResizeMode
from tests.memory import family_of, watched
from tests.worker.datasets.pictures import file_of, gradient, noise, png_that_claims, two_classes, zip_of
from tests.worker.datasets.protobuf import fields, floats
from tests.worker.datasets.real_data import real_data
from worker.datasets.build import BuildProgress, BuildResult, BuildSpec, BuildStopped, DatasetError, build

ROOT = Path(__file__).resolve().parents[3]


def spec_of(archive: Path, **values: object) -> BuildSpec:
    spec = BuildSpec(
        archive, archive.name, archive.parent / "dataset", "pets", 70, 10, 20, Channels.COLOR, 12, 10, processes=1
    )
    return replace(spec, **values)  # type: ignore[arg-type]


def make(spec: BuildSpec) -> BuildResult:
    return build(spec, lambda progress: None, lambda: False)


def stored(folder: Path, split: str) -> list[tuple[bytes, dict[int, list[int | bytes]]]]:
    """(key, fields of the Datum) in order of the keys."""
    with lmdb.open(str(folder / f"{split}.lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        return [(bytes(key), fields(bytes(value))) for key, value in transaction.cursor()]


def test_every_file_of_a_dataset_is_there_and_nothing_else(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip"))
    make(spec)
    expected = [
        "checkup.json",
        "class_means.npy",
        "duplicates.csv",
        "labels.txt",
        "manifest.json",
        "mean.binaryproto",
        "mean.npy",
        "mean.png",
        "skipped.csv",
    ]
    for split in ("train", "val", "test"):
        expected += [f"{split}.lmdb", f"{split}.txt", f"{split}.index.npy"]
    assert sorted(path.name for path in spec.out_dir.iterdir()) == sorted(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "pets.zip"]


def test_splits_are_per_class_and_lists_name_every_picture_once(tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=50))
    result = make(spec)
    assert {split: (counts.count, counts.per_class) for split, counts in result.splits.items()} == {
        "train": (70, [35, 35]),
        "val": (10, [5, 5]),
        "test": (20, [10, 10]),
    }
    lines = [line for split in result.splits for line in (spec.out_dir / f"{split}.txt").read_text().splitlines()]
    assert sorted(lines) == sorted(
        f"{name}/{n:03d}.png {label}" for label, name in enumerate(("cats", "dogs")) for n in range(50)
    )
    assert (spec.out_dir / "labels.txt").read_text() == "cats\ndogs\n"
    labels = [line[-1] for line in (spec.out_dir / "train.txt").read_text().splitlines()]
    assert labels != sorted(labels)  # shuffled


def caffe_pixels(datum: dict[int, list[int | bytes]]) -> np.ndarray:
    """(H, W, C) BGR or grey, as Caffe's DataTransformer sees it: OpenCV for encoded values, CHW bytes for raw ones."""
    channels, height, width = (int(datum[number][0]) for number in (1, 2, 3))
    data = np.frombuffer(bytes(datum[4][0]), np.uint8)
    if not datum.get(7, [0])[0]:
        return data.reshape(channels, height, width).transpose(1, 2, 0)
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    return cv2.imdecode(data, flag).reshape(height, width, channels)


@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize(("encoding", "tolerance"), [("png", 0), ("raw", 0), ("jpeg", 12)])
def test_caffe_reads_the_lmdb(channels: Channels, encoding: str, tolerance: int, tmp_path: Path) -> None:
    drawn = {f"{name}/{n}.png": gradient(12, 10).rotate(20 * n) for name in ("cat", "bird") for n in range(4)}
    archive = zip_of(tmp_path / "pets.zip", {name: file_of(picture) for name, picture in drawn.items()})
    spec = spec_of(archive, channels=channels, encoding=encoding, train_percent=50, val_percent=50, test_percent=0)
    make(spec)
    lines = (spec.out_dir / "train.txt").read_text().splitlines()
    entries = stored(spec.out_dir, "train")
    assert [key for key, _ in entries] == [b"%08d" % number for number in range(4)]
    for (_, datum), line in zip(entries, lines, strict=True):
        source, label = line.rsplit(" ", 1)
        assert datum.get(5, [0]) == [int(label)]
        expected = np.asarray(drawn[source].convert("L" if channels is Channels.GRAY else "RGB"))
        expected = expected.reshape(10, 12, -1)[:, :, ::-1].astype(int)
        found = caffe_pixels(datum)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() <= tolerance


@pytest.mark.parametrize("channels", list(Channels))
def test_the_mean_is_that_of_the_training_pictures_in_all_three_files(channels: Channels, tmp_path: Path) -> None:
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=20), channels=channels)
    result = make(spec)
    flag = cv2.IMREAD_COLOR if channels is Channels.COLOR else cv2.IMREAD_GRAYSCALE
    pictures = [caffe_pixels(datum).astype(np.float64) for _, datum in stored(spec.out_dir, "train")]
    expected = np.mean(pictures, axis=0).transpose(2, 0, 1)
    mean = np.load(spec.out_dir / "mean.npy")
    assert (mean.dtype, mean.shape) == (np.float32, (channels.number, 10, 12))
    assert np.allclose(mean, expected, atol=1e-4)
    blob = fields((spec.out_dir / "mean.binaryproto").read_bytes())
    assert [blob[number] for number in (1, 2, 3, 4)] == [[1], [channels.number], [10], [12]]
    assert np.allclose(floats(blob[5]), expected.ravel(), atol=1e-4)
    shown = cv2.imread(str(spec.out_dir / "mean.png"), flag).reshape(10, 12, -1).transpose(2, 0, 1)
    assert np.abs(shown - expected).max() <= 0.5 + 1e-4
    assert np.allclose(result.mean, expected.mean(axis=(1, 2)), atol=1e-4)


def test_the_same_source_and_seed_give_the_same_hash_with_any_number_of_processes(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=300)
    one, two = (make(spec_of(archive, processes=processes)) for processes in (1, 2))
    assert one.content_hash == two.content_hash
    assert one.mean == two.mean


def as_tar(archive: Path) -> Path:
    """pets.tar.gz beside pets.zip: the same pictures, backwards, in one folder more."""
    path = archive.with_suffix(".tar.gz")
    with zipfile.ZipFile(archive) as source, tarfile.open(path, "w:gz") as target:
        for name in reversed(source.namelist()):
            entry = tarfile.TarInfo(f"pets/{name}")
            entry.size = source.getinfo(name).file_size
            target.addfile(entry, source.open(name))
    return path


def test_the_archive_s_kind_order_and_wrapper_do_not_change_the_hash(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip")
    assert make(spec_of(archive)).content_hash == make(spec_of(as_tar(archive))).content_hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "pets.tar.gz", "pets.zip"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"channels": Channels.GRAY},
        {"width": 11},
        {"encoding": "raw"},
        {"val_percent": 20, "test_percent": 10},
    ],
)
def test_every_choice_changes_the_hash(change: dict[str, object], tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip")
    assert make(spec_of(archive)).content_hash != make(spec_of(archive, **change)).content_hash


def test_unreadable_pictures_are_listed_with_reasons_and_stop_nothing(tmp_path: Path) -> None:
    broken = {
        "cats/empty.png": b"",
        "cats/page.jpg": b"<!DOCTYPE html><html>404</html>",
        "dogs/cut.jpg": file_of(noise(1, 300, 300), "JPEG")[:5000],
        "dogs/flood.png": png_that_claims(30000, 30000),
        "dogs/犬,\"x\".png": b"text",
    }  # fmt: skip
    spec = spec_of(two_classes(tmp_path / "pets.zip", **broken), train_percent=100, val_percent=0, test_percent=0)
    result = make(spec)
    with (spec.out_dir / "skipped.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["source", "reason"]
    reasons = dict(rows[1:])
    assert set(reasons) == set(broken)
    assert reasons["cats/empty.png"] == "empty file (0 bytes)"
    assert reasons["cats/page.jpg"] == "not an image: an HTML page"
    assert reasons["dogs/flood.png"].startswith("too large: 30000×30000")
    assert (result.skipped_count, result.splits["train"].per_class) == (5, [10, 10])
    assert list(result.splits) == ["train"]
    assert len(stored(spec.out_dir, "train")) == len((spec.out_dir / "train.txt").read_text().splitlines()) == 20


def test_a_picture_that_crashes_the_decoder_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=30, **{"cats/bad.png": file_of(noise(5, 77, 10))})
    fake = tmp_path / "site" / "sitecustomize.py"
    fake.parent.mkdir()
    fake.write_text(
        "import os\nfrom PIL import Image\nload = Image.Image.resize\n"
        "def resize(self, *given, **more):\n"
        "    if self.width == 77: os.kill(os.getpid(), 11)\n"
        "    return load(self, *given, **more)\n"
        "Image.Image.resize = resize\n"
    )
    monkeypatch.setattr("worker.datasets.processes.PYTHON_PATH", f"{ROOT}{os.pathsep}{fake.parent}")
    result = make(spec_of(archive))
    assert result.skipped_count == 1
    assert "cats/bad.png,crashes the decoder" in (tmp_path / "dataset" / "skipped.csv").read_text()
    assert sum(counts.count for counts in result.splits.values()) == 60


def test_the_manifest_says_what_was_made(tmp_path: Path) -> None:
    spec = spec_of(
        two_classes(tmp_path / "pets.zip", **{"cats/16.png": file_of(Image.new("I;16", (12, 10), 9))}), seed=7
    )
    result = make(spec)
    manifest = json.loads((spec.out_dir / "manifest.json").read_text())
    assert manifest["classes"] == ["cats", "dogs"]
    assert manifest["content_hash"] == result.content_hash
    assert manifest["seed"] == 7
    assert manifest["splits"]["train"]["per_class"] == result.splits["train"].per_class
    assert manifest["notes"] == {"16-bit grey, scaled from 0–65,535 to 0–255": 1}
    assert manifest["sources"][0]["filename"] == "pets.zip"


@pytest.mark.parametrize(
    ("files", "change", "message"),
    [
        ({"cats/1.png": b"", "cats/2.png": b""}, {}, r"at least two classes; found one class, “cats”"),
        ({"cats/1.png": b"", **{f"dogs/{n}.png": b"" for n in range(5)}}, {}, r"Class “cats” has 1 image; .*least 3"),
        ({f"{c}/{n}.png": b"" for c in "ab" for n in range(5)}, {}, r"No picture of class “a” can be .*empty file"),
        ({"1.png": b"", "2.png": b""}, {}, r"Found 2 pictures but no class folders"),
        ({}, {"train_percent": 60}, r"must add up to 100 %; they add up to 90 %"),
        ({}, {"train_percent": 0, "test_percent": 90}, r"Training needs a share above 0 %"),
        ({}, {"val_percent": -10, "test_percent": 40}, r"between 0 and 100 %"),
        ({}, {"val_percent": float("nan")}, r"between 0 and 100 %"),
        ({}, {"width": 0}, r"1 to 8,192 pixels; found 0 × 10"),
        ({}, {"height": 10_000_000}, r"1 to 8,192 pixels"),
    ],
)  # fmt: skip
def test_bad_data_and_options_are_told_and_leave_nothing(
    files: dict[str, bytes], change: dict[str, object], message: str, tmp_path: Path
) -> None:
    archive = zip_of(tmp_path / "pets.zip", files) if files else two_classes(tmp_path / "pets.zip")
    with pytest.raises(DatasetError, match=message):
        make(spec_of(archive, **change))
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]


def test_without_resizing_other_sizes_are_skipped(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", **{"cats/large.png": file_of(noise(1, 20, 20))})
    result = make(spec_of(archive, resize_mode=ResizeMode.NONE))
    assert result.skipped_count == 1
    assert "is 20×20, not 12×10, and resizing is off" in (tmp_path / "dataset" / "skipped.csv").read_text()


def test_a_stopped_build_leaves_nothing(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=2000)
    seen: list[BuildProgress] = []
    with pytest.raises(BuildStopped):
        build(spec_of(archive, processes=2), seen.append, lambda: any(entry.done for entry in seen))
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]
    assert 0 < seen[-1].done < 4000


def test_progress_counts_every_picture_and_comes_a_few_times_a_second(tmp_path: Path) -> None:
    seen: list[BuildProgress] = []
    started = time.monotonic()
    build(spec_of(two_classes(tmp_path / "pets.zip", per_class=600)), seen.append, lambda: False)
    assert [entry.phase for entry in seen if entry.done == entry.total and entry.phase == "encoding"] == ["encoding"]
    assert [entry for entry in seen if entry.phase == "encoding"][-1].done == 1200
    assert len(seen) <= 8 + 4 * (time.monotonic() - started)


def test_a_dataset_that_is_there_is_replaced(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip")
    make(spec_of(archive))
    (tmp_path / "dataset" / "cache").mkdir()
    (tmp_path / "dataset" / "notes.txt").write_text("mine")
    result = make(spec_of(archive, seed=2))
    manifest = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    assert manifest["content_hash"] == result.content_hash
    assert not (tmp_path / "dataset" / "cache").exists()
    assert (tmp_path / "dataset" / "notes.txt").read_text() == "mine"


def test_the_map_grows_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.datasets.lmdb_writer._FIRST_MAP_BYTES", 64 * 1024)
    spec = spec_of(two_classes(tmp_path / "pets.zip", per_class=200), encoding="raw")
    make(spec)
    assert len(stored(spec.out_dir, "train")) == 280


def test_real_digits_give_a_dataset_of_the_size_of_the_case_study(tmp_path: Path) -> None:
    spec = spec_of(
        real_data() / "mnist-test.zip", out_dir=tmp_path / "dataset", channels=Channels.GRAY, width=28, height=28
    )
    result = make(replace(spec, processes=2))
    assert {split: counts.count for split, counts in result.splits.items()} == {
        "train": 7000,
        "val": 1000,
        "test": 2000,
    }
    assert result.skipped_count == 0
    assert result.mean == pytest.approx([33.785], abs=0.001)


def test_a_build_of_real_digits_stays_small(tmp_path: Path) -> None:
    """All processes of a build together, whatever the process has that starts it."""
    code = f"""
        from dataclasses import replace
        from pathlib import Path
        from app.preprocessing import Channels
        from tests.worker.datasets.test_build import spec_of
        from worker.datasets.build import build

        spec = spec_of(Path({str(real_data() / "mnist-test.zip")!r}), out_dir=Path({str(tmp_path / "dataset")!r}),
                       channels=Channels.GRAY, width=28, height=28)
        build(replace(spec, processes=2), lambda progress: None, lambda: False)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    with watched(lambda: family_of(process.pid)) as peak:
        assert process.wait(120) == 0
    assert peak.most_processes == 3
    assert peak.total_bytes < 400_000_000


def test_archive_errors_are_dataset_errors(tmp_path: Path) -> None:
    path = tmp_path / "photo.zip"
    path.write_bytes(file_of(noise(1)))
    with pytest.raises(DatasetError, match=r"“photo.zip” is a PNG image") as caught:
        make(spec_of(path))
    assert isinstance(caught.value.__cause__, ArchiveError)


def test_pictures_that_need_nothing_done_are_stored_as_they_are(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip")
    spec = spec_of(archive)
    make(spec)
    files = {}
    with zipfile.ZipFile(archive) as source:
        files = {name: source.read(name) for name in source.namelist()}
    lines = (spec.out_dir / "train.txt").read_text().splitlines()
    for (_, datum), line in zip(stored(spec.out_dir, "train"), lines, strict=True):
        assert datum[4] == [files[line.rsplit(" ", 1)[0]]]
