"""Datasets from lists of `path label`, with names or numbers, whole or divided."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.worker.datasets.pictures import file_of, noise, zip_of
from tests.worker.datasets.test_build import make, spec_of
from tests.worker.datasets.test_listing import listed
from worker.datasets.build import BuildSpec, DatasetError
from worker.datasets.spec import Lists


def archive_of(folder: Path, **texts: str) -> Path:
    """Eight pictures in one folder, and text files."""
    files = {f"data/images/{number}.png": file_of(noise(number)) for number in range(8)}
    return zip_of(folder / "a.zip", files | {name.replace("__", "."): text.encode() for name, text in texts.items()})


def of(archive: Path, lists: Lists, **values: object) -> BuildSpec:
    return spec_of(archive, lists=lists, **({"train_percent": 100, "val_percent": 0, "test_percent": 0} | values))


def lines(labels: str, path: str = "data/images/{}.png", start: int = 0) -> str:
    return "".join(f"{path.format(start + number)} {label}\n" for number, label in enumerate(labels.split()))


def test_names_in_lists_are_the_classes(tmp_path: Path) -> None:
    spec = of(archive_of(tmp_path, train__txt=lines("cat dog cat dog")), Lists("train.txt"))
    assert make(spec).classes == ["cat", "dog"]
    assert listed(spec, "train") == [(f"data/images/{n}.png", n % 2) for n in range(4)]


def test_numbers_are_named_by_the_labels_file(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, train__txt=lines("0 2 0 2"), labels__txt="cat\ncow\ndog\n")
    spec = of(archive, Lists("train.txt", labels="labels.txt"))
    assert make(spec).classes == ["cat", "dog"]  # nothing is a cow
    assert [label for _, label in listed(spec, "train")] == [0, 1, 0, 1]


def test_numbers_without_names_are_in_order_of_their_value(tmp_path: Path) -> None:
    spec = of(archive_of(tmp_path, train__txt=lines("10 9 10 9")), Lists("train.txt"))
    assert make(spec).classes == ["9", "10"]


def test_lists_for_validation_and_testing_are_whole_splits(tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path, train__txt=lines("a b"), val__txt=lines("a b", start=2), test__txt=lines("b a", start=4)
    )
    spec = of(archive, Lists("train.txt", "val.txt", "test.txt"))
    make(spec)
    assert [source for source, _ in listed(spec, "val")] == ["data/images/2.png", "data/images/3.png"]
    assert listed(spec, "test") == [("data/images/4.png", 1), ("data/images/5.png", 0)]


def test_a_list_is_divided_by_the_percentages(tmp_path: Path) -> None:
    spec = of(
        archive_of(tmp_path, train__txt=lines("a b a b a b a b")), Lists("train.txt"), train_percent=50, val_percent=50
    )
    result = make(spec)
    assert {split: counts.per_class for split, counts in result.splits.items()} == {"train": [2, 2], "val": [2, 2]}


@pytest.mark.parametrize(
    "path",
    [
        "data/images/{}.png",
        "images/{}.png",
        "{}.png",
        "./{}.png",
        "/home/me/data/images/{}.png",
        "C:\\data\\images\\{}.png",
    ],
)
def test_paths_are_found_with_more_or_fewer_folders(path: str, tmp_path: Path) -> None:
    spec = of(archive_of(tmp_path, train__txt=lines("a b", path)), Lists("train.txt"))
    make(spec)
    assert [source for source, _ in listed(spec, "train")] == ["data/images/0.png", "data/images/1.png"]


def test_lists_may_lie_beside_the_archive_or_beside_the_pictures(tmp_path: Path) -> None:
    beside = tmp_path / "mine.txt"
    beside.write_text(lines("a b"))
    make(of(archive_of(tmp_path), Lists(beside)))
    archive = zip_of(
        tmp_path / "b.zip", {f"x/{n}.png": file_of(noise(n)) for n in range(2)} | {"x/list.txt": b"0.png a\n1.png b"}
    )
    make(of(archive, Lists("x/list.txt")))


def test_lines_that_name_nothing_are_listed_with_reasons(tmp_path: Path) -> None:
    text = lines("a b") + "data/images/99.png a\nrubbish\ndata/images/3.png c\n"
    spec = of(archive_of(tmp_path, train__txt=text, labels__txt="a\nb\n"), Lists("train.txt", labels="labels.txt"))
    assert make(spec).skipped_count == 3
    with (spec.out_dir / "skipped.csv").open(newline="") as file:
        reasons = dict(list(csv.reader(file))[1:])
    assert reasons == {
        "data/images/99.png": "listed in train.txt (line 3), but not in the archive",
        "train.txt, line 4": "names no picture and label",
        "label c": "not among the names of the classes",
    }


@pytest.mark.parametrize(
    ("text", "lists", "change", "message"),
    [
        (lines("a b"), Lists("no.txt"), {}, r"There is no list no.txt in the archive; its text files: train.txt"),
        ("nothing\n", Lists("train.txt"), {}, r"The list train.txt names no picture that is in the archive"),
        (lines("a b", "other/x{}.png"), Lists("train.txt"), {}, r"names no picture .*: other/x0.png listed in"),
        (lines("a a"), Lists("train.txt"), {}, r"at least two classes; found one class, “a”"),
        (lines("a b"), Lists("train.txt", val="train.txt"), {"val_percent": 1}, r"val has a folder or list|100 %"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(
    text: str, lists: Lists, change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        make(of(archive_of(tmp_path, train__txt=text), lists, **change))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
