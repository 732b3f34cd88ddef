"""Where a dataset comes from, as it may be asked for: splits with a source of their own, one kind at a time."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.schemas.datasets import NewDataset

LISTS = {"train": "a.txt", "val": "b.txt", "test": "c.txt"}


def made(**wanted: Any) -> NewDataset:
    return NewDataset.model_validate({"name": "pets", "upload_id": 1} | wanted)


@pytest.mark.parametrize(
    ("wanted", "percents"),
    [
        ({}, (70, 10, 20)),
        ({"val": {"upload_id": 2}}, (80, 0, 20)),
        ({"test": {"within": "x"}}, (90, 10, 0)),
        ({"val": {"upload_id": 2}, "test": {"folder": "/x"}}, (100, 0, 0)),
        ({"val": {"upload_id": 2}, "train_percent": 60, "test_percent": 40}, (60, 0, 40)),
        ({"val": {"upload_id": 2}, "train_percent": 60, "val_percent": 30, "test_percent": 40}, (60, 0, 40)),
        ({"lists": LISTS, "train_percent": 70, "val_percent": 10, "test_percent": 20}, (100, 0, 0)),
        ({"lists": {"train": "a.txt"}}, (70, 10, 20)),
        ({"databases": {"train": ".", "val": "x"}}, (80, 0, 20)),
    ],
)
def test_a_split_with_a_source_of_its_own_has_no_share(wanted: dict[str, Any], percents: tuple[float, ...]) -> None:
    assert made(**wanted).percents == percents


def test_paths_are_those_that_the_upload_shows() -> None:
    form = made(within="/a//./b/ ", more=[{"within": "ヴ"}])
    assert (form.within, form.more[0].within) == ("a/b", "ヴ")
    assert made(upload_id=None, folder="/data/pets/").folder == "/data/pets"


@pytest.mark.parametrize(
    ("wanted", "place", "message"),
    [
        ({"upload_id": None}, ("upload_id",), "Choose an upload."),
        ({"folder": "/data"}, ("upload_id",), "not both"),
        ({"folder": "data"}, ("folder",), "full path of a folder"),
        ({"within": "a/../../b"}, ("within",), "without “..”"),
        ({"within": "x" * 5000}, ("within",), "longer"),
        ({"within": 7}, ("within",), "found 7"),
        ({"more": [{"upload_id": 2, "folder": "/x"}]}, ("more", 0), "not both"),
        ({"more": [{"upload_id": 2}] * 21}, ("more",), "20"),
        ({"val": {"path": "x"}}, ("val", "path"), ""),
        ({"lists": LISTS, "databases": {"train": "x"}}, ("databases",), "leave out lists"),
        ({"lists": LISTS, "more": [{"upload_id": 2}], "val": {"within": "x"}}, ("lists",), "leave out more."),
        ({"databases": {"train": "."}, "within": "x", "more": [{"upload_id": 2}]}, ("databases",), "within, more."),
        ({"lists": {"train": "a"}, "val": {"upload_id": 2}}, ("lists",), "expected lists.val as well"),
        ({"databases": {"train": "."}, "test": {"upload_id": 2}}, ("databases",), "expected databases.test as well"),
        (
            {"databases": {"train": ".", "val": "."}, "val": {"upload_id": 2, "within": "x"}},
            ("databases",),
            "is named by databases.val: leave out val.within",
        ),
        ({"lists": {"train": {"path": "a.txt", "text": "b"}}}, ("lists", "train"), "or its text"),
        ({"lists": {"train": {"text": "\n"}}}, ("lists", "train"), "found nothing"),
        (
            {"val": {"within": "x"}, "train_percent": 70, "test_percent": 20},
            ("test_percent",),
            "validation images have",
        ),
    ],
)
def test_what_cannot_be_is_said_at_its_place(
    wanted: dict[str, Any], place: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        made(**wanted)
    (error,) = caught.value.errors()
    assert error["loc"] == place
    assert message in error["msg"]
