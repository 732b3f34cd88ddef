"""A `build_dataset` job: from the dataset's row to the builder and back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.archives import ArchiveError
from app.datasets.dropped import read_dropped
from app.db import Database, Dataset, Job
from app.imaging.copies import Augmentation
from app.queue import Queue
from app.settings import Settings
from app.storage import Storage
from worker.datasets.build import BuildProgress, BuildResult, BuildSpec, BuildStopped, DatasetError, build
from worker.lease import Lease
from worker.outcome import Outcome, Refusal
from worker.sources import sources_of

REPORT_EVERY_S = 0.5
SHARE_OF_PHASE = {"scanning": (0, 5), "encoding": (5, 95), "mean": (95, 98), "finishing": (98, 100)}


def build_dataset(settings: Settings, database: Database, storage: Storage, lease: Lease) -> Outcome:
    with database.read() as session:
        dataset = session.scalars(select(Dataset).where(Dataset.job_id == lease.job_id)).one()
    if dataset.missing_uploads:
        raise Refusal(dataset.missing_uploads)
    progress = _Progress(database, lease)
    try:
        spec = spec_of(dataset, settings, storage)
        result = build(spec, progress, lambda: lease.should_stop)
    except BuildStopped:
        return Outcome.STOPPED
    except (DatasetError, ArchiveError) as error:
        raise Refusal(str(error)) from error
    with database.write() as session:
        if Job.holds(session, lease.job_id, lease.attempt):
            row = session.get_one(Dataset, dataset.id)
            row.result = result_of(result, storage.dataset_dir(dataset.id))
            Job.finish(session, lease.job_id, lease.attempt)
    _wake_dependents(settings, database, lease.job_id)
    return Outcome.DONE


def spec_of(dataset: Dataset, settings: Settings, storage: Storage) -> BuildSpec:
    """What the builder is given; raises ArchiveError for a folder on the server that may not be read any more."""
    options, how = dataset.options, dataset.preprocessing
    return BuildSpec(
        **sources_of(dataset, settings, storage),
        out_dir=storage.dataset_dir(dataset.id),
        name=dataset.name,
        train_percent=float(options["train_percent"]),
        val_percent=float(options["val_percent"]),
        test_percent=float(options["test_percent"]),
        channels=how.channels,
        width=how.width,
        height=how.height,
        resize_mode=how.resize_mode,
        fill_color=how.fill_color,
        encoding=options["encoding"],
        jpeg_quality=int(options.get("jpeg_quality", 90)),
        seed=int(options["seed"]),
        min_per_class=int(options.get("min_per_class", 1)),
        max_per_class=options.get("max_per_class"),
        augmentation=Augmentation.from_options(options.get("augmentation")),
        drop=read_dropped(storage.dataset_dir(dataset.id)),
        processes=settings.cores,
    )


def result_of(result: BuildResult, folder: Path) -> dict[str, Any]:
    """What the row keeps of a build, as described in `app/db/dataset.py`."""
    return {
        "classes": list(result.classes),
        "splits": {
            split: {"count": counts.count, "per_class": list(counts.per_class)}
            for split, counts in result.splits.items()
        },
        "skipped_count": result.skipped_count,
        "unknown_classes": dict(result.unknown_classes),
        "content_hash": result.content_hash,
        "mean": [float(value) for value in result.mean],
        "size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


class _Progress:
    """Passes the builder's progress on to the row, at most twice a second."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self.database, self.lease = database, lease
        self._reported_at = 0.0
        self._encoding_since: float | None = None

    def __call__(self, progress: BuildProgress) -> None:
        moment = time.monotonic()
        if progress.phase == "encoding" and self._encoding_since is None:
            self._encoding_since = moment
        if moment - self._reported_at < REPORT_EVERY_S and progress.done < progress.total:
            return
        self._reported_at = moment
        first, last = SHARE_OF_PHASE.get(progress.phase, (0, 100))
        share = progress.done / progress.total if progress.total else 0.0
        detail = {"phase": progress.phase, "done": progress.done, "total": progress.total}
        with self.database.write() as session:
            Job.report(
                session, self.lease.job_id, self.lease.attempt, first + share * (last - first), detail,
                self._eta_s(moment, progress),
            )  # fmt: skip

    def _eta_s(self, moment: float, progress: BuildProgress) -> float | None:
        if progress.phase != "encoding" or self._encoding_since is None or progress.done == 0:
            return None
        return (moment - self._encoding_since) / progress.done * (progress.total - progress.done)


def _wake_dependents(settings: Settings, database: Database, job_id: int) -> None:
    with database.read() as session:
        waiting = session.scalars(select(Job.id).where(Job.waits_for_id == job_id)).all()
    if waiting:
        Queue(settings, database).enqueue(*waiting)
