"""Datasets from several sources: uploads joined, other folders for validation and testing, limits per class."""

from __future__ import annotations

import io
import json
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest

from tests.worker.datasets.pictures import file_of, noise, two_classes, zip_of
from tests.worker.datasets.test_build import make, spec_of
from worker.datasets.build import BuildProgress, BuildSpec, DatasetError, build
from worker.datasets.spec import Source


def pictures(*names: str) -> dict[str, bytes]:
    return {name: file_of(noise(number)) for number, name in enumerate(names)}


def listed(spec: BuildSpec, split: str) -> list[tuple[str, int]]:
    """(source, label) of every picture of a split, sorted."""
    lines = (spec.out_dir / f"{split}.txt").read_text().splitlines()
    return sorted((line.rsplit(" ", 1)[0], int(line.rsplit(" ", 1)[1])) for line in lines)


def all_of(path: Path, **values: object) -> BuildSpec:
    return spec_of(path, train_percent=100, val_percent=0, test_percent=0, **values)


def test_several_uploads_make_one_dataset_with_classes_joined_by_name(tmp_path: Path) -> None:
    first = zip_of(tmp_path / "a.zip", pictures("cats/1.png", "dogs/1.png"))
    second = zip_of(tmp_path / "b.zip", pictures("birds/1.png", "cats/1.png"))
    spec = all_of(first, more=(Source(second, "b.zip"),))
    assert make(spec).classes == ["birds", "cats", "dogs"]
    assert listed(spec, "train") == [
        ("a.zip/cats/1.png", 1),
        ("a.zip/dogs/1.png", 2),
        ("b.zip/birds/1.png", 0),
        ("b.zip/cats/1.png", 1),
    ]


def test_uploads_of_one_class_each_are_enough_together(tmp_path: Path) -> None:
    first = zip_of(tmp_path / "a.zip", pictures("cats/1.png"))
    second = tmp_path / "b.tar.gz"
    with tarfile.open(second, "w:gz") as archive:
        entry = tarfile.TarInfo("dogs/1.png")
        entry.size = len(file_of(noise(1)))
        archive.addfile(entry, io.BytesIO(file_of(noise(1))))
    result = make(all_of(first, more=(Source(second, "b.tar.gz"),)))
    assert (result.classes, result.splits["train"].per_class) == (["cats", "dogs"], [1, 1])


def test_two_uploads_with_one_name_stay_apart_in_the_lists(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    first, second = (zip_of(tmp_path / f"{n}.zip", pictures("cats/1.png", "dogs/1.png")) for n in "ab")
    spec = all_of(first, filename="pets.zip", more=(Source(second, "pets.zip"),))
    make(spec)
    assert [source for source, _ in listed(spec, "train")] == [
        "pets.zip#1/cats/1.png",
        "pets.zip#1/dogs/1.png",
        "pets.zip#2/cats/1.png",
        "pets.zip#2/dogs/1.png",
    ]


def test_sub_folders_serve_as_training_and_testing(tmp_path: Path) -> None:
    names = [f"mnist/{split}/{label}/{n}.png" for split in ("training", "testing") for label in "01" for n in range(4)]
    path = zip_of(tmp_path / "mnist.zip", pictures(*names))
    spec = spec_of(
        path,
        train_percent=75,
        val_percent=25,
        test_percent=0,
        within="mnist/training",
        test=Source(path, path.name, "mnist/testing"),
    )
    result = make(spec)
    assert {split: counts.per_class for split, counts in result.splits.items()} == {
        "train": [3, 3],
        "val": [1, 1],
        "test": [4, 4],
    }
    assert all(source.startswith("mnist/testing/") for source, _ in listed(spec, "test"))
    assert all(source.startswith("mnist/training/") for split in ("train", "val") for source, _ in listed(spec, split))


def test_another_upload_for_validation_is_matched_by_name_and_unknown_classes_are_told(tmp_path: Path) -> None:
    train = zip_of(tmp_path / "train.zip", pictures("b/1.png", "c/1.png"))
    val = zip_of(tmp_path / "val.zip", pictures("a/1.png", "a/2.png", "c/1.png"))
    spec = all_of(train, val=Source(val, "val.zip"))
    result = make(spec)
    assert result.splits["val"].per_class == [0, 1]
    assert listed(spec, "val") == [("val.zip/c/1.png", 1)]
    assert json.loads((spec.out_dir / "manifest.json").read_text())["unknown_classes"] == {"a": 2}


def test_a_compressed_tar_that_serves_twice_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate(("train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png")):
            data = file_of(noise(number))
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    spec = all_of(path, within="train", val=Source(path, path.name, "val"))
    assert make(spec).splits["val"].per_class == [1, 1]
    assert not list(spec.out_dir.glob("*.tar"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"within": "nowhere"}, r"There is no folder “nowhere” with pictures"),
        ({"val": ("pets.zip", "cats")}, r"Found 10 pictures but no class folders"),
        ({"val": ("other.zip", "")}, r"What was given for val holds no pictures of the training classes"),
        (
            {"val": ("pets.zip", ""), "val_percent": 10, "train_percent": 90},
            r"val has a folder or list of its own, so its share",
        ),
        ({"min_per_class": 11}, r"at least two classes; found no class"),
        ({"min_per_class": 5, "max_per_class": 3}, r"At most 3 images per class is less than the minimum, 5"),
        ({"max_per_class": 0}, r"At most 0 images per class"),
    ],
)
def test_what_does_not_fit_is_told_and_leaves_nothing(change: dict[str, object], message: str, tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip")
    zip_of(tmp_path / "other.zip", pictures("horses/1.png", "cows/1.png"))
    if isinstance(given := change.get("val"), tuple):
        change = change | {"val": Source(tmp_path / given[0], given[0], given[1])}
    spec = spec_of(archive, **({"train_percent": 100, "val_percent": 0, "test_percent": 0} | change))
    with pytest.raises(DatasetError, match=message):
        make(spec)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.zip", "pets.zip"]


def test_small_classes_are_left_out_and_told(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", **pictures("birds/1.png", "cows/1.png", "cows/2.png"))
    spec = all_of(archive, min_per_class=2)
    result = make(spec)
    assert (result.classes, result.splits["train"].per_class) == (["cats", "cows", "dogs"], [10, 2, 10])
    assert json.loads((spec.out_dir / "manifest.json").read_text())["small_classes"] == {"birds": 1}
    assert {label for source, label in listed(spec, "train") if source.startswith("cows")} == {1}


def test_of_large_classes_a_seeded_sample_is_taken_and_not_the_first(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=40)
    samples = []
    for seed in (1, 1, 2):
        spec = all_of(archive, max_per_class=10, seed=seed)
        assert make(spec).splits["train"].per_class == [10, 10]
        samples.append(listed(spec, "train"))
    assert samples[0] == samples[1] != samples[2]
    assert max(source for source, _ in samples[0] if source.startswith("cats")) > "cats/010.png"


def test_a_folder_on_the_server_gives_the_same_dataset_as_its_archive(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", **{"cats/broken.png": b"", "dogs/が犬\u0301.png": file_of(noise(77))})
    folder = tmp_path / "pets"
    with zipfile.ZipFile(archive) as source:
        source.extractall(folder)
    odd = unicodedata.normalize("NFD", "が") + "\n.png"  # a name that no list can hold as it is
    (folder / "cats" / odd).write_bytes(file_of(noise(78)))
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr(f"cats/{odd}", file_of(noise(78)))
    from_archive = make(all_of(archive))
    assert from_archive.skipped_count == 1
    spec = all_of(folder, out_dir=tmp_path / "other")
    assert make(spec).content_hash == from_archive.content_hash
    assert ("cats/が_.png", 0) in listed(spec, "train")


def test_a_file_that_vanishes_from_a_folder_costs_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for name, data in pictures(*(f"{c}/{n}.png" for c in "ab" for n in range(4))).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    def vanish(progress: BuildProgress) -> None:
        if progress.phase == "encoding":
            (folder / "a" / "1.png").unlink(missing_ok=True)

    spec = all_of(folder)
    assert build(spec, vanish, lambda: False).skipped_count == 1
    assert "a/1.png,cannot be read (No such file or directory)" in (spec.out_dir / "skipped.csv").read_text()
