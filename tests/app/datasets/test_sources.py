"""What chosen sources give before anything is built: counts per class and split, names that training does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.datasets.labels import count_lists
from app.datasets.made_of import MadeOf, Place, SourceKind, Text
from app.datasets.source_problems import problems_with
from app.datasets.sources import Chosen, Counted, count, count_splits, look_up
from app.db import Database, Upload
from app.schemas.datasets import NewDataset
from app.storage import Storage
from tests import factories
from tests.app import built
from tests.app.source_archives import folders_zip, lists_zip


def chosen(database: Database, **wanted: Any) -> Chosen:
    form = NewDataset.model_validate({"name": "pets"} | wanted)
    with database.read() as session:
        return look_up(session, form, ())


def counted(database: Database, **wanted: Any) -> Counted:
    found = count(chosen(database, **wanted))
    assert found is not None
    return found


@pytest.fixture
def upload(database: Database, storage: Storage, tmp_path: Path) -> Upload:
    folders = {"train/cats": 9, "train/dogs": 5, "val/dogs": 2, "val/owls": 1, "new/dogs": 1}
    return built.upload_of(database, storage, folders_zip(tmp_path / "a.zip", folders))


def rows(database: Database, **wanted: Any) -> list[dict[str, Any]]:
    one = chosen(database, **wanted)
    return count_splits(one.form, counted(database, **wanted))


def test_the_preview_of_a_split_is_what_the_build_divides(database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "a", "count": 10}, {"name": "b", "count": 3}])
    assert rows(database, upload_id=upload.id) == [
        {"name": "a", "count": 10, "train": 7, "val": 1, "test": 2},
        {"name": "b", "count": 3, "train": 1, "val": 1, "test": 1},
    ]
    assert [row["count"] for row in rows(database, upload_id=upload.id, max_per_class=5)] == [5, 3]
    assert [row["name"] for row in rows(database, upload_id=upload.id, min_per_class=4)] == ["a"]
    small = factories.upload(database, classes=[{"name": "a", "count": 2}])
    assert rows(database, upload_id=small.id) == []


def test_other_folders_are_counted_with_the_classes_that_training_has(database: Database, upload: Upload) -> None:
    wanted = {"upload_id": upload.id, "within": "train", "more": [{"within": "new"}], "val": {"within": "val"}}
    found = counted(database, **wanted)
    assert found == Counted({"cats": 9, "dogs": 6}, {"val": {"dogs": 2}}, {"val": {"owls": 1}})
    assert rows(database, **wanted) == [
        {"name": "cats", "count": 9, "train": 7, "val": 0, "test": 2},
        {"name": "dogs", "count": 8, "train": 5, "val": 2, "test": 1},
    ]
    assert rows(database, **wanted, max_per_class=1, train_percent=100, val_percent=0, test_percent=0)[1]["val"] == 1


def test_lists_are_counted_by_the_names_of_their_labels(database: Database, storage: Storage, tmp_path: Path) -> None:
    upload = built.upload_of(database, storage, lists_zip(tmp_path / "a.zip"))
    lists = {"train": "train.txt", "val": {"text": "images/1.png 0\nimages/2.png 7\n"}, "labels": "labels.txt"}
    found = counted(database, upload_id=upload.id, lists=lists)
    assert found == Counted({"cat": 4, "dog": 4}, {"val": {"cat": 1}}, {}, {"val": {"7": 1}})


def test_an_upload_from_before_its_contents_were_kept_is_left_to_the_build(database: Database) -> None:
    upload = factories.upload(database)
    for wanted in ({"within": "x"}, {"lists": {"train": "a.txt"}}, {"databases": {"train": "x"}}):
        old = chosen(database, upload_id=upload.id, **wanted)
        assert (count(old), problems_with(old)) == (None, {})


@pytest.mark.parametrize(
    ("train", "names", "classes", "nameless"),
    [
        (b"a.png 10\nb.png 9\n", None, ["9", "10"], {}),
        (b"a.png dog\nb.png cat\n", None, ["cat", "dog"], {}),
        (b"a.png dog\nb.png cat\nc.png cow\n", b"dog\ncat\n", ["dog", "cat"], {"train": {"cow": 1}}),
        (b"a.png 0\nb.png 2\nc.png 3\n", ["x", "y", "z"], ["x", "z"], {"train": {"3": 1}}),
        (b"a.png 0\nb.png 01\nc.png 1\n", ["x", "y"], ["x", "y"], {}),
    ],
)
def test_classes_of_lists_are_those_of_the_build(
    train: bytes, names: bytes | list[str] | None, classes: list[str], nameless: dict[str, dict[str, int]]
) -> None:
    found = count_lists({"train": train}, names)
    assert (found.classes, found.nameless, found.unknown) == (classes, nameless, {})


@pytest.mark.parametrize(
    ("train", "val", "names", "by_split", "unknown"),
    [
        (b"a.png 0\nb.png 1\n", b"c.png 1\nd.png 2\n", b"cat\ndog\ncow",
         [{"cat": 1, "dog": 1}, {"dog": 1}], {"cow": 1}),
        (b"a.png cat\nb.png dog\n", b"c.png dog\nd.png cow\n", None, [{"cat": 1, "dog": 1}, {"dog": 1}], {"cow": 1}),
        (b"a.png 0\nb.png 1\n", b"c.png dog\n", b"cat\ndog\n", [{"cat": 1, "dog": 1}, {"dog": 1}], None),
        (b"a.png 0\nb.png 1\n", b"c.png 1\nd.png 2\n", None, [{"0": 1, "1": 1}, {"1": 1}], {"2": 1}),
    ],
)  # fmt: skip
def test_training_decides_which_classes_a_list_for_validation_may_name(
    train: bytes, val: bytes, names: bytes | None, by_split: list[dict[str, int]], unknown: dict[str, int] | None
) -> None:
    found = count_lists({"train": train, "val": val}, names)
    assert found.by_split == dict(zip(("train", "val"), by_split, strict=True))
    assert found.unknown == ({"val": unknown} if unknown else {})


def test_a_row_keeps_what_a_dataset_is_made_of() -> None:
    made_of = MadeOf(
        Place(1, within="a", name="one"),
        (Place(folder="/data"),),
        {"val": Place(2)},
        {"train": Text("train.txt"), "test": Text(name="mine.txt")},
        labels=Text("labels.txt"),
        expected={"classes": 2, "train_count": 5},
    )
    assert MadeOf.of({"source": made_of.to_dict()}, 1) == made_of
    assert (made_of.kind, made_of.whole_splits, made_of.upload_ids) == (SourceKind.LISTS, {"test"}, [1, 2])
    assert MadeOf.of({}, 7) == MadeOf(Place(7))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (Place(1), Place(1, within="a"), True),
        (Place(1, within="a/b"), Place(1, within="a"), True),
        (Place(1, within="ab"), Place(1, within="a"), False),
        (Place(1, within="a"), Place(2, within="a"), False),
        (Place(folder="/data/a"), Place(folder="/data", within="a/b"), True),
        (Place(folder="/data/a"), Place(folder="/data/b"), False),
    ],
)
def test_places_that_lie_inside_each_other_are_noticed(one: Place, other: Place, overlap: bool) -> None:
    assert one.overlaps(other) == other.overlaps(one) == overlap
