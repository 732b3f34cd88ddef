"""A `draw_batch` job: the images that a run's first iteration would be fed, from the row of a first batch to PNGs."""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import select

from app.augmentation import Augmentation
from app.db import Database, FirstBatch, Job
from app.preprocessing import Preprocessing
from app.settings import Settings
from app.storage import Storage
from worker.engine.errors import EngineError
from worker.engine.first_batch import FedImage, FirstBatchSpec, first_batch
from worker.lease import Lease
from worker.outcome import Outcome, Refusal

MOST_SHOWN = 128


def draw_batch(_settings: Settings, database: Database, storage: Storage, lease: Lease) -> Outcome:
    with database.read() as session:
        row = session.scalars(select(FirstBatch).where(FirstBatch.job_id == lease.job_id)).one()
    try:
        drawn = list(islice(first_batch(spec_of(row, storage.dataset_dir(row.dataset_id))), MOST_SHOWN))
    except EngineError as error:
        raise Refusal(str(error)) from error
    _write(drawn, storage.first_batch_dir(row.dataset_id, row.id))
    with database.write() as session:
        if Job.holds(session, lease.job_id, lease.attempt):
            images = [{"index": image.index, "label": image.label} for image in drawn]
            session.get_one(FirstBatch, row.id).images = images
            Job.finish(session, lease.job_id, lease.attempt)
    return Outcome.DONE


def spec_of(row: FirstBatch, dataset_dir: Path) -> FirstBatchSpec:
    settings = row.settings
    return FirstBatchSpec(
        preprocessing=Preprocessing.from_dict(settings["preprocessing"]),
        augmentation=Augmentation.from_dict(settings["augmentation"]),
        dataset_dir=dataset_dir,
        batch_size=settings["batch_size"],
        batch_accumulation=settings["batch_accumulation"],
        seed=settings["seed"],
    )


def _write(images: list[FedImage], folder: Path) -> None:
    """As a whole, or not at all."""
    part = folder.with_name(f".{folder.name}-{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for number, image in enumerate(images):
        pixels = image.pixels
        picture = pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[:, :, ::-1])  # BGR to RGB
        Image.fromarray(picture).save(part / f"{number:03d}.png", "PNG", compress_level=1)
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that ended before it could say so
    part.rename(folder)
