"""Makes a dataset: archive → split → preprocess → encode → LMDB, lists, mean and manifest.

Everything is made in a folder beside the final one and moved there when it is whole, so a build that was killed or
stopped leaves no dataset, and starts again from the beginning with the same result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.archives import ArchiveError
from app.datasets.checkup import write_checkup
from app.datasets.split import SPLITS, percent_problem
from app.preprocessing import color_text
from app.version import VERSION
from worker.datasets.checkup import check_up
from worker.datasets.errors import BuildStopped, DatasetError
from worker.datasets.listing import Listing, open_listing, without_small_classes
from worker.datasets.mean import channel_means, mean_image, write_mean
from worker.datasets.processes import Processes
from worker.datasets.progress import Reporter
from worker.datasets.spec import BuildProgress, BuildResult, BuildSpec, Source, SplitCounts
from worker.datasets.split import divide, with_copies, without
from worker.datasets.split_writer import SkippedFile
from worker.datasets.workplace import MANIFEST, workplace
from worker.datasets.writing import PREPARATION, Plan, write_splits

__all__ = [
    "BuildProgress",
    "BuildResult",
    "BuildSpec",
    "BuildStopped",
    "DatasetError",
    "Source",
    "SplitCounts",
    "build",
]

MAX_SIDE = 8192


def build(
    spec: BuildSpec, on_progress: Callable[[BuildProgress], None], should_stop: Callable[[], bool]
) -> BuildResult:
    """Makes the dataset of `spec` in its `out_dir`; raises DatasetError, or BuildStopped when asked to stop."""
    _check(spec)
    reporter = Reporter(on_progress, should_stop)
    reporter.phase("scanning", 0)
    try:
        with (
            workplace(spec.out_dir) as folder,
            Processes(max(1, spec.processes), PREPARATION) as processes,  # they start up while the sources are read
            open_listing(spec, folder) as listing,
        ):
            return _build_in(folder, spec, listing, processes, reporter)
    except ArchiveError as error:
        raise DatasetError(str(error)) from error


def _check(spec: BuildSpec) -> None:
    problem = percent_problem(*spec.percents)
    if problem:
        raise DatasetError(problem)
    for split in spec.fixed_splits:
        if spec.percents[SPLITS.index(split)] > 0:
            raise DatasetError(f"{split} has a folder or list of its own, so its share must be 0 %.")
    if spec.max_per_class is not None and spec.max_per_class < max(1, spec.min_per_class):
        raise DatasetError(
            f"At most {spec.max_per_class} images per class is less than the minimum, {spec.min_per_class}."
        )
    problem = spec.augmentation.problem() if spec.augmentation else None
    if problem:
        raise DatasetError(problem)
    if not (1 <= spec.width <= MAX_SIDE and 1 <= spec.height <= MAX_SIDE):
        raise DatasetError(f"Width and height must be 1 to {MAX_SIDE:,} pixels; found {spec.width} × {spec.height}.")


def _build_in(folder: Path, spec: BuildSpec, listing: Listing, processes: Processes, reporter: Reporter) -> BuildResult:
    listing = without_small_classes(listing, spec.min_per_class)
    classes = listing.classes
    division = with_copies(without(listing, divide(listing, spec), spec.drop), spec)
    reporter.phase("encoding", sum(len(order) for order in division.values()))
    with (folder / "skipped.csv").open("w", encoding="utf-8", newline="") as file:
        skipped = SkippedFile(file)
        for source, reason in listing.left_out:
            skipped.add(source, reason)
        splits, digest, pixel_sum = write_splits(folder, Plan(spec, listing, division, processes), skipped, reporter)
    _refuse_empty_classes(classes, splits, skipped)
    reporter.phase("mean", 1)
    mean = mean_image(pixel_sum, splits["train"].count)
    write_mean(folder, mean)
    reporter.phase("finishing", 1)
    checkup = check_up(folder, classes, skipped.reasons, spec.processes, lambda: reporter.advance(0))
    write_checkup(folder, replace(checkup, small_classes=listing.small_classes, notes=dict(skipped.notes)))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    result = BuildResult(classes, splits, skipped.count, digest, channel_means(mean), listing.unknown_classes)
    manifest = _manifest(spec, listing, result, skipped, reporter.elapsed_s)
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    return result


def _refuse_empty_classes(classes: list[str], splits: dict[str, SplitCounts], skipped: SkippedFile) -> None:
    totals = np.sum([counts.per_class for counts in splits.values()], axis=0)
    empty = [name for name, total in zip(classes, totals, strict=True) if total == 0]
    if empty:
        if not skipped.reasons:
            raise DatasetError(f"No picture of class “{empty[0]}” is left after those that were dropped.")
        most = max(skipped.reasons, key=lambda reason: skipped.reasons[reason])
        raise DatasetError(
            f"No picture of class “{empty[0]}” can be read ({skipped.count:,} of all pictures cannot, mostly: {most})."
        )
    if splits["train"].count == 0:
        raise DatasetError("No picture of the training split can be read.")


def _manifest(
    spec: BuildSpec, listing: Listing, result: BuildResult, skipped: SkippedFile, duration_s: float
) -> dict[str, Any]:
    return {
        "format": 1,
        "name": spec.name,
        "sources": _sources(spec, listing),
        "dropped_count": len(spec.drop),
        "unknown_classes": listing.unknown_classes,
        "small_classes": listing.small_classes,
        "preprocessing": {
            "channels": spec.channels,
            "channel_order": "gray" if spec.channels.number == 1 else "bgr",
            "width": spec.width,
            "height": spec.height,
            "resize_mode": spec.resize_mode,
            "fill_color": color_text(spec.fill_color) if spec.fill_color else None,
        },
        "percents": dict(zip(("train", "val", "test"), spec.percents, strict=True)),
        "seed": spec.seed,
        "augmentation": asdict(spec.augmentation) if spec.augmentation else None,
        "min_per_class": spec.min_per_class,
        "max_per_class": spec.max_per_class,
        "encoding": spec.encoding,
        "jpeg_quality": spec.jpeg_quality if spec.encoding == "jpeg" else None,
        "classes": result.classes,
        "splits": {
            split: {"count": counts.count, "per_class": counts.per_class} for split, counts in result.splits.items()
        },
        "skipped_count": result.skipped_count,
        "skipped_reasons": skipped.reasons,
        "notes": skipped.notes,
        "mean": result.mean,
        "content_hash": result.content_hash,
        "made_by": {"trainyard": VERSION},
        "duration_s": round(duration_s, 2),
    }


def _sources(spec: BuildSpec, listing: Listing) -> list[dict[str, Any]]:
    first = Source(spec.archive, spec.filename, spec.within)
    if spec.databases is not None:
        of_split = spec.databases.by_split
        sources = [replace(spec.source_of(split), within=folder) for split, folder in of_split.items()]
        splits: list[str | None] = [None if split == "train" else split for split in of_split]
    elif spec.lists is not None:
        sources = spec.list_sources
        splits = [None] * len(sources)
    else:
        sources = [first, *spec.more, *spec.whole_splits.values()]
        splits = [None, *(None for _ in spec.more), *spec.whole_splits]
    return [
        {
            "filename": source.filename,
            "within": source.within,
            "split": split,
            "size_bytes": source.path.stat().st_size if source.path.is_file() else None,
            **archive.contents.to_dict(),
        }
        for source, split, archive in zip(sources, splits, listing.archives, strict=True)
    ]
