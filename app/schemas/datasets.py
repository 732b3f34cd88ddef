"""What a client may say about a dataset, and what it gets back; used by pages and API alike."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from app.datasets.made_of import Place
from app.db import Dataset
from app.preprocessing import Channels, Fill, Preprocessing, ResizeMode, color_of, color_text
from app.schemas.fields import color, decimal, lines, one_line, refusal, whole
from app.schemas.sources import RowId, Sources, is_whole

MAX_SIDE = 4096
MAX_SEED = 2**31 - 1
MAX_PER_CLASS = 10_000_000
MAX_PICTURES = 100_000_000  # of a split: their keys have eight digits
PERCENT_TOLERANCE = 0.01

Name = Annotated[str, BeforeValidator(one_line(200)), Field(min_length=1, max_length=200)]
Description = Annotated[str, BeforeValidator(lines(10_000)), Field(max_length=10_000)]
Percent = Annotated[float, BeforeValidator(decimal(0, 100)), Field(ge=0, le=100)]
Side = Annotated[int, BeforeValidator(whole(1, MAX_SIDE)), Field(ge=1, le=MAX_SIDE)]
Quality = Annotated[int, BeforeValidator(whole(1, 100)), Field(ge=1, le=100)]
PerClass = Annotated[int, BeforeValidator(whole(1, MAX_PER_CLASS)), Field(ge=1, le=MAX_PER_CLASS)]
Seed = Annotated[int, BeforeValidator(whole(0, MAX_SEED)), Field(ge=0, le=MAX_SEED)]


class Encoding(StrEnum):
    PNG = "png"
    JPEG = "jpeg"
    RAW = "raw"


class Finding(StrEnum):
    """What a check-up looks for; the words of `app/datasets/checkup.py`."""

    EXACT = "exact"
    NEAR = "near"
    TWO_LABELS = "two_labels"
    LEAKS = "leaks"


# In the words of the pages, in their order.
FINDINGS = {
    Finding.TWO_LABELS: ("Two labels", "The same picture, or nearly, in two classes"),
    Finding.LEAKS: ("Leaks", "The same picture, or nearly, in two splits: results look better than they are"),
    Finding.EXACT: ("Exact duplicates", "The same pixels"),
    Finding.NEAR: ("Near duplicates", "Nearly the same picture: another size, quality or brightness"),
}
ENCODINGS = {
    Encoding.PNG: ("PNG", "Lossless"),
    Encoding.JPEG: ("JPEG", "Smaller, with a loss"),
    Encoding.RAW: ("Raw", "Largest, no packing"),
}
RESIZE_MODES = {
    ResizeMode.SQUASH: ("Squash", "Stretched to the size; the shape changes"),
    ResizeMode.CROP: ("Crop", "Scaled to cover the size, what sticks out is cut off"),
    ResizeMode.FILL: ("Fill", "Scaled to fit inside, the borders are filled"),
    ResizeMode.HALF_CROP: ("Half crop, half fill", "Between the two: a little is cut off, a little is filled"),
    ResizeMode.NONE: ("None", "Images of another size are left out"),
}
FILLS = {
    Fill.NOISE: "Noise",
    Fill.COLOR: "One colour",
}


def resize_text(preprocessing: Preprocessing) -> str:
    """How a picture comes to its size, in a few words."""
    name = RESIZE_MODES[preprocessing.resize_mode][0].lower()
    if preprocessing.resize_mode not in (ResizeMode.FILL, ResizeMode.HALF_CROP):
        return name
    return f"{name}, borders of {color_text(preprocessing.fill_color) if preprocessing.fill_color else 'noise'}"


class Split(StrEnum):
    TRAIN = "train"
    VAL = "val"
    TEST = "test"


SPLIT_NAMES = {Split.TRAIN: "training", Split.VAL: "validation", Split.TEST: "test"}


class Augmentation(BaseModel):
    """Altered copies of training pictures, stored beside the originals; alterations are drawn from their ranges."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    copies: Annotated[int, BeforeValidator(whole(0, 20))] = Field(
        default=0, description="Of each training picture; 0: none"
    )
    rotation: Annotated[float, BeforeValidator(decimal(0, 180))] = Field(
        default=0.0, description="Degrees, to either side"
    )
    shift_x: Annotated[float, BeforeValidator(decimal(0, 50))] = Field(
        default=0.0, description="Percent, to either side"
    )
    shift_y: Annotated[float, BeforeValidator(decimal(0, 50))] = Field(default=0.0, description="Percent, up or down")
    zoom_out: Annotated[float, BeforeValidator(decimal(50, 100))] = Field(
        default=100.0, description="Percent, smallest"
    )
    zoom_in: Annotated[float, BeforeValidator(decimal(100, 200))] = Field(default=100.0, description="Percent, largest")
    mirror: bool = Field(default=False, description="Every second copy, left to right")

    @field_validator("mirror")
    @classmethod
    def _alters_something(cls, value: bool, info: ValidationInfo) -> bool:
        values = info.data
        unaltered = {"rotation": 0, "shift_x": 0, "shift_y": 0, "zoom_out": 100, "zoom_in": 100}
        is_unaltered = all(values.get(name) == amount for name, amount in unaltered.items())
        if values.get("copies") and is_unaltered and not value:
            raise refusal("Choose at least one alteration, or 0 copies.")
        return value


class NewDataset(Sources):
    """A dataset to be made from an upload. What is left out is guessed from the upload, as in the wizard."""

    model_config = ConfigDict(extra="forbid", validate_default=True)  # the parts must add up, given or not

    name: Name
    description: Description = ""
    train_percent: Percent = 70.0
    val_percent: Percent = 10.0
    test_percent: Percent = 20.0
    min_per_class: PerClass = Field(default=1, description="Classes with fewer images are left out")
    max_per_class: PerClass | None = Field(None, description="Of larger classes a seeded sample is taken")
    channels: Channels | None = Field(None, description="Left out: as most pictures of the upload")
    width: Side | None = Field(None, description="Pixels. Left out: guessed from the upload")
    height: Side | None = Field(None, description="Pixels. Left out: guessed from the upload")
    resize_mode: ResizeMode = ResizeMode.SQUASH
    fill: Fill = Field(default=Fill.NOISE, description="Of the borders that `fill` and `half_crop` leave")
    fill_color: Annotated[str, BeforeValidator(color)] = Field(
        default="#000000", description="Of the borders when `fill` is `color`"
    )
    encoding: Encoding = Encoding.PNG
    jpeg_quality: Quality = 90
    seed: Seed = 1
    augmentation: Augmentation = Augmentation()
    drop_as: RowId | None = Field(None, description="A dataset: the pictures that it dropped are dropped here as well")
    submission: str | None = Field(None, max_length=64, description="A mark of your own: sent twice makes one dataset")

    @field_validator("drop_as", mode="before")
    @classmethod
    def _drop_nothing(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("max_per_class", mode="before")
    @classmethod
    def _no_limit(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("max_per_class")
    @classmethod
    def _above_minimum(cls, value: int | None, info: ValidationInfo) -> int | None:
        minimum = info.data.get("min_per_class", 1)
        if value is not None and value < minimum:
            raise refusal(f"At most {value:,} images per class is less than the minimum, {minimum:,}.")
        return value

    @field_validator("train_percent")
    @classmethod
    def _all_when_alone(cls, value: float, info: ValidationInfo) -> float:
        return 100.0 if is_whole(info.data, Split.VAL) and is_whole(info.data, Split.TEST) else value

    @field_validator("val_percent", "test_percent")
    @classmethod
    def _nothing_for_whole_splits(cls, value: float, info: ValidationInfo) -> float:
        return 0.0 if is_whole(info.data, str(info.field_name).partition("_")[0]) else value

    @field_validator("test_percent")
    @classmethod
    def _adds_up(cls, value: float, info: ValidationInfo) -> float:
        parts = [info.data.get(field) for field in ("train_percent", "val_percent")]
        if None in parts:
            return value  # one of them has a message of its own
        total = value + sum(part for part in parts if part is not None)
        if abs(total - 100) > PERCENT_TOLERANCE:
            whole_splits = [SPLIT_NAMES[split] for split in (Split.VAL, Split.TEST) if is_whole(info.data, split)]
            reason = f" of what is divided; {' and '.join(whole_splits)} images have a source of their own"
            raise refusal(f"The three parts add up to {total:g} %, expected 100 %{reason if whole_splits else ''}.")
        if parts[0] == 0:
            raise refusal("Training gets 0 %: nothing could be learnt from this dataset.")
        return value

    @property
    def percents(self) -> tuple[float, float, float]:
        return self.train_percent, self.val_percent, self.test_percent

    @property
    def preprocessing(self) -> Preprocessing:
        """Its part of the definition, once channels and size are known."""
        if self.channels is None or self.width is None or self.height is None:
            raise ValueError("channels and size are guessed before a dataset is made")
        fill_color = color_of(self.fill_color) if self.fill is Fill.COLOR else None
        return Preprocessing(self.channels, self.width, self.height, self.resize_mode, fill_color)

    def options(self) -> dict[str, Any]:
        """What the build needs besides channels, size and sources."""
        return {
            "train_percent": self.train_percent,
            "val_percent": self.val_percent,
            "test_percent": self.test_percent,
            "min_per_class": self.min_per_class,
            "max_per_class": self.max_per_class,
            "resize_mode": self.resize_mode.value,
            "fill": self.fill.value,
            "fill_color": self.fill_color,
            "encoding": self.encoding.value,
            "jpeg_quality": self.jpeg_quality,
            "seed": self.seed,
            "augmentation": self.augmentation.model_dump() if self.augmentation.copies else None,
        }


class DatasetChanges(BaseModel):
    """What may change once a dataset is made."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Description | None = None


class StoredPicture(BaseModel):
    """A picture of a dataset: its split, and its number there."""

    model_config = ConfigDict(extra="forbid")

    split: Split
    number: Annotated[int, BeforeValidator(whole(0, MAX_PICTURES - 1))]


class NewVersion(BaseModel):
    """A new version of a dataset, without the pictures that its check-up found, or without those that are named."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    images: list[StoredPicture] = Field(default=[], max_length=10_000, description="Dropped besides what is found")
    findings: list[Finding] = Field(default=[], description="What is dropped")
    keep_one: bool = Field(default=True, description="Keep one picture of each group, but none with two labels")
    name: Name | None = None
    submission: str | None = Field(None, max_length=64, description="A mark of your own: sent twice makes one version")

    @field_validator("findings")
    @classmethod
    def _some(cls, value: list[Finding], info: ValidationInfo) -> list[Finding]:
        if not value and not info.data.get("images"):
            raise refusal("Choose what to drop.")
        return sorted(set(value))


class SplitOut(BaseModel):
    count: int
    per_class: list[int] = Field(description="Images of each class, in the order of `classes`")


class SourceOut(BaseModel):
    use: Split = Field(description="`train`: divided by the percentages, or whole when there are others")
    upload_id: int | None
    folder: str | None = Field(description="On the server")
    name: str
    within: str
    list: str | None = Field(description="The list, or the LMDB's folder, that labels come from")
    is_there: bool = Field(description="False once the upload is deleted")


class DatasetOut(BaseModel):
    id: int
    name: str
    description: str
    status: str
    progress_percent: float
    eta_s: float | None
    phase: str | None = Field(description="What the build is doing, while it runs")
    error: str | None
    upload_id: int | None
    sources: list[SourceOut]
    owner: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    channels: Channels
    width: int
    height: int
    options: dict[str, Any]
    classes: list[str]
    splits: dict[str, SplitOut]
    image_count: int
    skipped_count: int
    unknown_classes: dict[str, int] = Field(description="Of validation and test sources: left out, with their images")
    content_hash: str | None
    mean: list[float] | None = Field(description="Per channel in 0–255: one value for gray, blue green red for color")
    size_bytes: int | None
    model_count: int

    @classmethod
    def of(cls, dataset: Dataset, model_count: int) -> DatasetOut:
        job, result = dataset.job, dataset.result
        return cls(
            id=dataset.id,
            name=dataset.name,
            description=dataset.description,
            status=dataset.status,
            progress_percent=round(job.progress_percent, 2),
            eta_s=job.eta_s,
            phase=job.detail.get("phase"),
            error=job.error,
            upload_id=dataset.upload_id,
            sources=sources_out(dataset),
            owner=dataset.user.username if dataset.user else None,
            created_at=dataset.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            channels=Channels(dataset.channels),
            width=dataset.width,
            height=dataset.height,
            options=dataset.options,
            classes=dataset.classes,
            splits={split: SplitOut(**counts) for split, counts in dataset.splits.items()},
            image_count=dataset.image_count,
            skipped_count=int(result.get("skipped_count", 0)),
            unknown_classes=result.get("unknown_classes", {}),
            content_hash=result.get("content_hash"),
            mean=result.get("mean"),
            size_bytes=result.get("size_bytes"),
            model_count=model_count,
        )


def sources_out(dataset: Dataset) -> list[SourceOut]:
    """Each place that pictures come from, and what of it."""
    made_of = dataset.made_of
    given = {split: text.shown for split, text in made_of.lists.items()} or dict(made_of.databases)
    if given:
        return [_source_out(dataset, made_of.place_of(split), split, shown) for split, shown in given.items()]
    return [
        _source_out(dataset, place, field if field in made_of.whole else "train", None)
        for field, place in made_of.places()
    ]


def _source_out(dataset: Dataset, place: Place, split: str, shown: str | None) -> SourceOut:
    upload = dataset.uploads.get(place.upload_id or 0)
    return SourceOut(
        use=Split(split),
        upload_id=upload.id if upload else None,
        folder=place.folder,
        name=place.folder or (upload.name if upload else place.name),
        within=place.within,
        list=shown,
        is_there=upload is not None or place.folder is not None,
    )


class DatasetList(BaseModel):
    items: list[DatasetOut]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last")
