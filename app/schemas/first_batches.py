"""What a client says of a run whose first batch it wants to see, and what it gets back; for pages and API alike."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.db import FirstBatch, Status
from app.schemas.fields import whole
from app.schemas.models import DEFAULTS, BatchSizes, DatasetId
from app.schemas.transformation import TransformationFields
from app.schemas.typed import typed
from app.solver.spec import LARGEST_ITERATION


class NewFirstBatch(TransformationFields):
    """The fields of a new model that decide what its first iteration is fed."""

    model_config = ConfigDict(extra="forbid")

    dataset_id: DatasetId
    batch_size: BatchSizes = Field([DEFAULTS.batch_size], description="Of several, that of the first run counts")
    batch_accumulation: Annotated[int, typed(whole(1, 10_000))] = DEFAULTS.batch_accumulation
    seed: Annotated[int, typed(whole(0, LARGEST_ITERATION))] = DEFAULTS.seed


class FedImageOut(BaseModel):
    index: int = Field(description="Its place in the training split")
    label: str
    image: str = Field(description="Address of the image as PNG: cut and varied, before mean and scale")


class FirstBatchOut(BaseModel):
    id: int
    status: Status
    error: str | None
    dataset_id: int
    image_count: int = Field(description="Of the whole iteration; `images` may hold the first of them only")
    images: list[FedImageOut] = Field(description="In the order in which they are fed; empty until it is done")

    @classmethod
    def of(cls, first_batch: FirstBatch) -> FirstBatchOut:
        base, names = f"/api/v1/first-batches/{first_batch.id}/images", first_batch.dataset.classes
        images = [
            FedImageOut(index=image["index"], label=names[image["label"]], image=f"{base}/{number}.png")
            for number, image in enumerate(first_batch.images)
        ]
        return cls(id=first_batch.id, status=first_batch.status, error=first_batch.job.error,
                   dataset_id=first_batch.dataset_id, image_count=first_batch.image_count, images=images)  # fmt: skip
