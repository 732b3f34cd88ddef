"""Planted duplicates, leaks and two-label pictures are found, real pictures are left in peace."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from app.datasets.checkup import Checkup, all_groups, pictures_to_drop, read_checkup
from app.imaging.copies import Augmentation
from app.preprocessing import Channels
from tests.worker.datasets.pictures import file_of, zip_of
from tests.worker.datasets.real_data import real_data
from tests.worker.datasets.test_build import make, spec_of
from worker.datasets.build import BuildSpec, DatasetError
from worker.datasets.checkup import _close_pairs
from worker.datasets.fingerprint import distances, fingerprints, likeness
from worker.datasets.spec import Source


def scene(seed: int, side: int = 64) -> Image.Image:
    """A picture with large and small shapes, unlike any other seed's."""
    random = np.random.RandomState(seed)
    pixels = np.zeros((side, side, 3))
    for cells in (3, 6, 12):
        grain = random.randint(0, 256, (cells, cells, 3)).astype(np.uint8)
        pixels += np.asarray(Image.fromarray(grain).resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray((pixels / 3).astype(np.uint8))


def again(picture: Image.Image, way: str) -> bytes:
    """The same picture as another file."""
    if way == "jpeg":
        return file_of(picture, "JPEG", quality=80)
    if way == "smaller":
        return file_of(picture.resize((48, 48), Image.Resampling.BICUBIC))
    if way == "brighter":
        return file_of(ImageEnhance.Brightness(picture).enhance(1.12))
    return file_of(picture, "BMP")


def of(path: Path, files: dict[str, bytes], **values: object) -> tuple[BuildSpec, Checkup]:
    spec = spec_of(zip_of(path, files), width=64, height=64, **values)
    make(spec)
    checkup = read_checkup(spec.out_dir)
    assert checkup is not None
    return spec, checkup


def ordinary(count: int = 20) -> dict[str, bytes]:
    return {
        f"{name}/{n}.png": file_of(scene(n + 500 * k)) for k, name in enumerate(("cats", "dogs")) for n in range(count)
    }


def sources(checkup: Checkup) -> list[set[str]]:
    return [{member.source for member in group.members} for group in checkup.groups]


def test_different_pictures_are_no_duplicates(tmp_path: Path) -> None:
    _, checkup = of(tmp_path / "pets.zip", ordinary(60))
    assert checkup.groups == ()
    assert checkup.group_counts == {"exact": 0, "near": 0, "two_labels": 0, "leaks": 0}
    assert checkup.is_complete


@pytest.mark.parametrize(
    ("way", "kind"), [("bmp", "exact"), ("jpeg", "near"), ("smaller", "near"), ("brighter", "near")]
)
def test_the_same_picture_again_is_found(way: str, kind: str, tmp_path: Path) -> None:
    planted = {f"cats/again-{n}.x.png": again(scene(n), way) for n in range(5)}
    _, checkup = of(tmp_path / "pets.zip", ordinary() | planted, train_percent=100, val_percent=0, test_percent=0)
    assert sorted(map(sorted, sources(checkup))) == [[f"cats/{n}.png", f"cats/again-{n}.x.png"] for n in range(5)]
    assert {group.kind for group in checkup.groups} == {kind}
    assert checkup.group_counts[kind] == 5
    assert checkup.picture_counts[kind] == 10
    assert (checkup.group_counts["two_labels"], checkup.group_counts["leaks"]) == (0, 0)


def test_one_picture_under_two_labels_comes_first(tmp_path: Path) -> None:
    planted = {"dogs/is-it.png": again(scene(3), "jpeg"), "cats/again.png": again(scene(4), "bmp")}
    _, checkup = of(tmp_path / "pets.zip", ordinary() | planted)
    first = checkup.groups[0]
    assert {member.source for member in first.members} == {"cats/3.png", "dogs/is-it.png"}
    assert {member.label for member in first.members} == {0, 1}
    assert first.has_two_labels
    assert checkup.group_counts["two_labels"] == 1


def test_a_picture_in_training_and_testing_is_a_leak(tmp_path: Path) -> None:
    test = zip_of(
        tmp_path / "test.zip", {"cats/leak.png": again(scene(3), "jpeg"), "dogs/new.png": file_of(scene(9999))}
    )
    spec, checkup = of(
        tmp_path / "pets.zip",
        ordinary(),
        train_percent=100,
        val_percent=0,
        test_percent=0,
        test=Source(test, "test.zip"),
    )
    assert checkup.group_counts["leaks"] == 1
    assert {(member.split, member.source) for member in checkup.groups[0].members} == {
        ("train", "pets.zip/cats/3.png"),
        ("test", "test.zip/cats/leak.png"),
    }
    for member in checkup.groups[0].members:
        lines = (spec.out_dir / f"{member.split}.txt").read_text().splitlines()
        assert lines[member.number] == f"{member.source} {member.label}"


def test_a_group_is_everything_that_hangs_together(tmp_path: Path) -> None:
    planted = {f"cats/again-{way}.png": again(scene(3), way) for way in ("bmp", "jpeg", "smaller")}
    _, checkup = of(tmp_path / "pets.zip", ordinary() | planted)
    assert [group.size for group in checkup.groups] == [4]
    assert checkup.groups[0].kind == "near"


def test_broken_files_and_imbalance_are_told(tmp_path: Path) -> None:
    broken = {f"dogs/broken-{n}.png": b"" for n in range(40)}
    extra = {f"cats/more-{n}.png": file_of(scene(7000 + n)) for n in range(20)}
    _, checkup = of(
        tmp_path / "pets.zip", ordinary() | broken | extra, train_percent=100, val_percent=0, test_percent=0
    )
    assert checkup.unreadable == {"empty file": 40}
    assert (checkup.smallest_class, checkup.largest_class) == (("dogs", 20), ("cats", 40))
    assert checkup.imbalance == 2


def test_classes_that_are_too_small_and_what_was_done_to_pictures_are_told(tmp_path: Path) -> None:
    deep = Image.fromarray(np.asarray(scene(8000).convert("L")).astype(np.uint16) * 257)
    few = {"mice/0.png": file_of(scene(8001)), "mice/1.png": b"", "mice/2.png": b"", "rare/0.png": file_of(scene(8002))}
    spec, checkup = of(
        tmp_path / "pets.zip",
        ordinary() | few | {"cats/deep.png": file_of(deep)},
        min_per_class=3,
        augmentation=Augmentation(copies=3, mirror=True),
    )
    assert checkup.small_classes == {"rare": 1}
    assert len(checkup.absent) == 2
    assert {name for name, _ in checkup.absent} == {"mice"}
    assert checkup.notes == {"16-bit grey, scaled from 0–65,535 to 0–255": 1}
    assert checkup.unreadable == {"empty file": 2}  # once each, not for every copy
    assert len((spec.out_dir / "skipped.csv").read_text().splitlines()) == 3
    assert read_checkup(spec.out_dir) == checkup


def test_keeping_one_of_each_makes_a_new_version_in_which_the_others_stay_where_they_were(tmp_path: Path) -> None:
    planted = {
        "cats/again.png": again(scene(1), "bmp"),
        "cats/third.png": again(scene(1), "jpeg"),
        "dogs/two.png": again(scene(2), "bmp"),
    }
    spec, _ = of(tmp_path / "pets.zip", ordinary() | planted)
    drop = pictures_to_drop(spec.out_dir, {"exact", "near", "two_labels", "leaks"}, keep_one=True)
    of_one = {"cats/1.png", "cats/again.png", "cats/third.png"}
    assert len(drop & of_one) == 2
    assert drop - of_one == {"cats/2.png", "dogs/two.png"}  # nobody knows which label is right
    new = spec_of(spec.archive, width=64, height=64, out_dir=tmp_path / "new", drop=frozenset(drop))
    make(new)
    for split in ("train", "val", "test"):
        before = (spec.out_dir / f"{split}.txt").read_text().splitlines()
        after = (new.out_dir / f"{split}.txt").read_text().splitlines()
        assert after == [line for line in before if line.rsplit(" ", 1)[0] not in drop]
    checkup = read_checkup(new.out_dir)
    assert checkup is not None
    assert checkup.groups == ()
    assert json.loads((new.out_dir / "manifest.json").read_text())["dropped_count"] == 4


def test_only_what_was_chosen_is_dropped(tmp_path: Path) -> None:
    planted = {"cats/again.png": again(scene(1), "bmp"), "dogs/near.png": again(scene(503), "jpeg")}
    spec, _ = of(tmp_path / "pets.zip", ordinary() | planted, train_percent=100, val_percent=0, test_percent=0)
    assert pictures_to_drop(spec.out_dir, {"near"}, keep_one=False) == {"dogs/3.png", "dogs/near.png"}
    assert len(pictures_to_drop(spec.out_dir, {"exact"}, keep_one=True)) == 1
    assert pictures_to_drop(spec.out_dir, {"leaks"}, keep_one=True) == set()


def test_dropping_a_whole_class_is_told(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "pets.zip", ordinary(5))
    with pytest.raises(DatasetError, match=r"No picture of class “cats” is left"):
        make(spec_of(archive, drop=frozenset(f"cats/{n}.png" for n in range(5))))


def test_many_blank_pictures_neither_hang_nor_hide_the_rest(tmp_path: Path) -> None:
    blank = {f"cats/blank-{n}.png": file_of(Image.new("RGB", (64, 64), (n // 2, 0, 0))) for n in range(200)}
    spec, checkup = of(tmp_path / "pets.zip", ordinary() | blank)
    assert checkup.group_counts["exact"] == 100
    assert checkup.group_counts["near"] == 0
    assert len(list(all_groups(spec.out_dir))) == 100


def test_a_long_group_is_shortened_on_the_page_and_whole_in_the_file(tmp_path: Path) -> None:
    same = {f"cats/same-{n}.png": file_of(scene(1)) for n in range(60)}
    spec, checkup = of(tmp_path / "pets.zip", ordinary() | same)
    assert (checkup.groups[0].size, len(checkup.groups[0].members)) == (61, 24)
    assert [len(group.members) for group in all_groups(spec.out_dir)] == [61]


def test_fingerprints_do_not_depend_on_the_batch() -> None:
    pictures = [np.asarray(scene(n, 300)) for n in range(40)]
    together, sketches = fingerprints(pictures)
    alone = [fingerprints([picture]) for picture in pictures]
    assert distances(together, np.concatenate([print_ for print_, _ in alone])).max() <= 1
    assert likeness(sketches, np.concatenate([sketch for _, sketch in alone])).min() > 0.999
    assert [found.shape for found in fingerprints([])] == [(0, 2), (0, 128)]


def test_the_likeness_of_sketches_is_about_the_correlation_of_the_pictures() -> None:
    """Of smooth pictures, whose correlation lies in the frequencies that a sketch holds."""
    random = np.random.RandomState(3)
    coarse = random.randn(60, 6, 6)
    coarse[30:] = coarse[:30] + random.randn(30, 6, 6) * np.linspace(0, 1, 30)[:, None, None]
    pictures = [
        np.asarray(Image.fromarray(plane * 30 + 128).resize((64, 64), Image.Resampling.BICUBIC)) for plane in coarse
    ]
    pixels = np.stack(pictures).clip(0, 255).astype(np.uint8)
    _, sketches = fingerprints(list(pixels))
    expected = [np.corrcoef(pixels[n].ravel(), pixels[n + 30].ravel())[0, 1] for n in range(30)]
    found = likeness(sketches[:30], sketches[30:])
    assert np.abs(found - expected).max() < 0.05
    assert np.abs(found - expected)[np.array(expected) > 0.97].max() < 0.005
    flat = fingerprints([np.full((64, 64), 7, np.uint8)])[1]
    assert likeness(flat, flat).tolist() == [0]


def test_comparing_is_complete_where_all_share_a_quarter() -> None:
    prints = np.random.RandomState(3).randint(0, 2**62, (2, 500)).astype(np.uint64)
    prints[:, 7] = prints[:, 403] ^ np.uint64(1)
    pairs, is_complete = _close_pairs(prints, np.zeros(500, np.uint16), lambda: None)
    assert is_complete
    assert pairs.tolist() == [7 * 500 + 403]


def test_all_that_is_planted_among_real_photographs_is_found_and_the_others_are_left_in_peace(tmp_path: Path) -> None:
    """Under 1 % of CIFAR-10's test pictures may be taken for duplicates."""
    with zipfile.ZipFile(real_data() / "cifar10-test.zip") as source:
        files = {name: source.read(name) for name in source.namelist()}
    names = sorted(files)
    planted: dict[str, list[tuple[str, str]]] = {"exact": [], "near": [], "two_labels": []}
    for number, name in enumerate(names[::83]):
        kind = tuple(planted)[number % 3]
        folder, way = name.split("/")[0], "bmp" if kind != "near" else ("jpeg", "smaller", "brighter")[number // 3 % 3]
        if kind == "two_labels":
            folder = "truck" if folder != "truck" else "bird"
        planted[kind].append((name, f"{folder}/planted-{number}.png"))
        files[planted[kind][-1][1]] = again(Image.open(io.BytesIO(files[name])), way)
    files |= {f"frog/broken-{n}.jpg": (b"", b"<html>404", files[names[n]][:300], bytes(99))[n % 4] for n in range(40)}
    spec = spec_of(zip_of(tmp_path / "cifar.zip", files), channels=Channels.COLOR, width=32, height=32, processes=2)
    make(spec)
    groups = list(all_groups(spec.out_dir))
    group_of = {member.source: group for group in groups for member in group.members}
    split_of = {member.source: member.split for group in groups for member in group.members}
    leaks = 0
    for kind, pairs in planted.items():
        for first, second in pairs:
            assert group_of.get(first) is group_of[second], (kind, first, second)
            assert group_of[first].has_two_labels or kind != "two_labels"
            assert group_of[first].kind == "exact" or kind != "exact"
            assert group_of[first].is_leak is (split_of[first] != split_of[second]) or group_of[first].size > 2
            leaks += split_of[first] != split_of[second]
    assert leaks > 30
    pictures = sum(group.size for group in groups)
    assert pictures - 2 * sum(len(pairs) for pairs in planted.values()) < 100
    checkup = read_checkup(spec.out_dir)
    assert checkup is not None
    assert sum(checkup.unreadable.values()) == 40
