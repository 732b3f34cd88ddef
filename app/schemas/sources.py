"""What a client may say about where the pictures of a dataset come from; the source fields of `NewDataset`.

Whether it is there and fits is said by `app/datasets/sources.py`; what a row keeps of it, by `made_of.py` there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.schemas.fields import found, refusal, whole

MAX_ID = 2**63 - 1
MAX_PATH = 4096
MAX_MORE = 20
MAX_TEXT = 64 * 1024 * 1024  # of a list beside the archive; a request is not larger
TO_DIVIDE = {"train_percent": 70.0, "val_percent": 10.0, "test_percent": 20.0}

RowId = Annotated[int, BeforeValidator(whole(1, MAX_ID)), Field(ge=1)]


def _path(value: object) -> str:
    """A path in an archive, as its pages show it."""
    if not isinstance(value, str):
        raise refusal(f"Expected the path of a folder or file, found {found(value)}.")
    if len(value) > MAX_PATH or "\0" in value:
        raise refusal("Expected the path of a folder or file, found something longer or with odd characters.")
    parts = [part for part in unicodedata.normalize("NFC", value.strip()).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refusal("Expected a path without “..”.")
    return "/".join(parts)


def _folder(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_PATH or "\0" in value or not value.startswith("/"):
        raise refusal(f"Expected the full path of a folder on the server, found {found(value)}.")
    return value.rstrip("/") or "/"


Within = Annotated[str, BeforeValidator(_path)]
Folder = Annotated[str, BeforeValidator(_folder)]


class Place(BaseModel):
    """An upload or a folder on the server; with neither, the same as for training."""

    model_config = ConfigDict(extra="forbid")

    upload_id: RowId | None = None
    folder: Folder | None = None
    within: Within = Field(default="", description="Only what lies below this folder of it")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.upload_id is not None and self.folder is not None:
            raise refusal("Choose an upload or a folder on the server, not both.")
        return self


class TextFile(BaseModel):
    """A text file: `path` in the archive, or its `text` (and a `name`) when it lies beside it."""

    model_config = ConfigDict(extra="forbid")

    path: Within | None = None
    text: str | None = Field(None, max_length=MAX_TEXT)
    name: str = Field(default="", max_length=255)

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        if not isinstance(value, str | Mapping | TextFile):
            raise refusal(f"Expected the path of a text file in the archive, or its text; found {found(value)}.")
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.path is None) == (self.text is None):
            raise refusal("Expected the path of a text file in the archive, or its text.")
        if self.path == "" or (self.text is not None and not self.text.strip()):
            raise refusal("Expected a text file, found nothing.")
        return self


class Lists(BaseModel):
    """Lists of `path label`. `val` and `test` are whole splits; without them `train` is divided by percentages.

    A path is looked for where the split's images lie, then where those of training lie.
    """

    model_config = ConfigDict(extra="forbid")

    train: TextFile
    val: TextFile | None = None
    test: TextFile | None = None
    labels: TextFile | None = Field(None, description="labels.txt: line 1 names class 0; needed for labels by number")


class Databases(BaseModel):
    """Caffe LMDBs: folders of the archive that hold a data.mdb, “.” for its top.

    `val` and `test` are folders of the upload or server folder that `val` and `test` beside `databases` name, if any.
    """

    model_config = ConfigDict(extra="forbid")

    train: Within
    val: Within | None = None
    test: Within | None = None
    labels: TextFile | None = Field(None, description="labels.txt: line 1 names class 0")


class Sources(BaseModel):
    """Where the pictures come from: class folders of one or several places, or lists or LMDBs.

    With lists and LMDBs, `val` and `test` say where the images of that split's list, or its LMDB, lie.
    """

    folder: Folder | None = Field(None, description="A folder on the server, below one of TRAINYARD_DATA_ROOTS")
    upload_id: RowId | None = Field(None, description="Needed unless `folder` is given")
    within: Within = Field(default="", description="Only what lies below this folder of it")
    more: list[Place] = Field(default=[], max_length=MAX_MORE, description="Divided together with the first")
    val: Place | None = Field(None, description="Where validation images of their own lie; val_percent is then 0")
    test: Place | None = Field(None, description="Where test images of their own lie; test_percent is then 0")
    lists: Lists | None = Field(None, description="In place of class folders")
    databases: Databases | None = Field(None, description="In place of class folders")

    @model_validator(mode="before")
    @classmethod
    def _whole_splits_need_no_share(cls, data: Any) -> Any:
        """Percentages that were left out: training gets the rest."""
        if not isinstance(data, Mapping) or TO_DIVIDE.keys() & data.keys():
            return data
        whole_splits = {split for split in ("val", "test") if _is_given(data, split)}
        shares = {name: 0.0 if name.partition("_")[0] in whole_splits else share for name, share in TO_DIVIDE.items()}
        shares["train_percent"] = 100.0 - shares["val_percent"] - shares["test_percent"]
        return {**data, **shares}

    @field_validator("upload_id", mode="before")
    @classmethod
    def _left_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("upload_id")
    @classmethod
    def _chosen(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None and "folder" in info.data and info.data["folder"] is None:
            raise refusal("Choose an upload.")
        if value is not None and info.data.get("folder") is not None:
            raise refusal("Choose an upload or a folder on the server, not both.")
        return value

    @field_validator("lists", "databases")
    @classmethod
    def _alone(cls, value: Lists | Databases | None, info: ValidationInfo) -> Lists | Databases | None:
        if value is None:
            return value
        others = ("more",) if info.field_name == "lists" else ("within", "more", "lists")
        given = [name for name in others if info.data.get(name)]
        if given:
            raise refusal(f"Lists and LMDBs take the place of class folders: leave out {', '.join(given)}.")
        for split in ("val", "test"):
            place = info.data.get(split)
            if place is not None and getattr(value, split) is None:
                raise refusal(
                    f"There is a place for the images of {split}: expected {info.field_name}.{split} as well."
                )
            if place is not None and place.within and isinstance(value, Databases):
                raise refusal(f"The folder of an LMDB is named by databases.{split}: leave out {split}.within.")
        return value


def _is_given(data: Mapping[Any, Any], split: str) -> bool:
    inner = [data.get(name) for name in ("lists", "databases")]
    return bool(data.get(split)) or any(isinstance(given, Mapping) and given.get(split) for given in inner)


def is_whole(values: Mapping[str, Any], split: str) -> bool:
    """Whether a split has a source of its own, by the source fields that were valid."""
    return any(getattr(given, split, None) is not None for given in (values.get("lists"), values.get("databases"))) or (
        values.get(split) is not None
    )
