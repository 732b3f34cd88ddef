"""Sends every picture through the processes and writes every split, in the order of the division."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.datasets.class_means import ClassMeans, small_side
from worker.datasets.encoding_job import EncodingJob, EncodingTask
from worker.datasets.listing import Listing
from worker.datasets.lmdb_writer import flush
from worker.datasets.processes import Processes, pool
from worker.datasets.progress import Reporter
from worker.datasets.spec import BuildSpec, SplitCounts
from worker.datasets.split import Order
from worker.datasets.split_writer import SkippedFile, SplitWriter

PREPARATION = EncodingJob.__module__  # what a process imports before it knows its job
_TASK_PICTURES = 256
_TASK_BYTES = 4 * 1024 * 1024
_FEW_PICTURES, _LAST_TASKS = 16, 8  # a task takes at most an eighth of the pictures that are left, or so few


@dataclass(frozen=True)
class Plan:
    """What is written: pictures of `listing` in the order of `division`, by processes that are starting up."""

    spec: BuildSpec
    listing: Listing
    division: dict[str, Order]
    processes: Processes


def write_splits(
    folder: Path, plan: Plan, skipped: SkippedFile, reporter: Reporter
) -> tuple[dict[str, SplitCounts], str, NDArray[np.uint64]]:
    """The counts of every split, the content hash and the sum of the training pictures, (H, W) or (H, W, 3) RGB."""
    spec, listing = plan.spec, plan.listing
    splits: dict[str, SplitCounts] = {}
    digest = hashlib.sha256(f"{spec.channels} {spec.width}×{spec.height} {spec.encoding}\n".encode())
    pixel_sum = np.zeros((spec.height, spec.width) if spec.channels.number == 1 else (spec.height, spec.width, 3), "u8")
    class_means = ClassMeans(len(listing.classes))
    parts = cut(listing, plan.division)
    tasks = (_task(listing, part, spec.seed, split == "train") for split in parts for part in parts[split])
    with ThreadPoolExecutor(1) as flushing, pool(_job(spec, listing), plan.processes) as replies:
        flushed = []
        answers = replies(tasks)  # of all splits in one go: a process begins the next while the last is being finished
        for split in parts:
            with SplitWriter(folder, split, listing, skipped) as writer:
                for part in parts[split]:
                    encoded = next(answers)
                    writer.add(part, encoded)
                    if encoded.pixel_sum is not None:
                        pixel_sum += encoded.pixel_sum
                    for sums in encoded.class_sums:
                        class_means.add(sums)
                    reporter.advance(len(part))
                splits[split], split_digest = writer.finish()
            flushed.append(flushing.submit(flush, folder / f"{split}.lmdb"))
            digest.update(split.encode() + b"\0" + split_digest)
        for one in flushed:
            one.result()
    class_means.write(folder)
    return splits, digest.hexdigest(), pixel_sum


def _job(spec: BuildSpec, listing: Listing) -> EncodingJob:
    return EncodingJob(
        [archive.data_path for archive in listing.archives],
        spec.preprocessing,
        spec.encoding,
        spec.jpeg_quality,
        spec.augmentation,
        small_side(len(listing.classes)),
    )


def cut(listing: Listing, division: dict[str, Order], task_bytes: int = _TASK_BYTES) -> dict[str, list[Order]]:
    """Every split in tasks of at most `_TASK_PICTURES` pictures and about `task_bytes` bytes.

    Towards the end of the build they become smaller, so that no process has a large one left when the others are done.
    """
    parts: dict[str, list[Order]] = {}
    left = sum(len(order) for order in division.values())
    for split, order in division.items():
        parts[split] = []
        ends = np.cumsum(listing.size_bytes(order.rows))
        start = 0
        while start < len(order):
            before = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, before + task_bytes, side="right"))
            stop = min(stop, start + min(_TASK_PICTURES, max(_FEW_PICTURES, left // _LAST_TASKS)), len(order))
            stop = max(start + 1, stop)
            parts[split].append(order.part(start, stop))
            left -= stop - start
            start = stop
    return parts


def _task(listing: Listing, part: Order, seed: int, with_sum: bool) -> EncodingTask:
    pictures = listing.pictures(part.rows)
    pictures["copy"] = part.copies
    for place in np.flatnonzero(part.copies).tolist():
        pictures["seed"][place] = part.seed(place, listing, seed)
    return EncodingTask(pictures, with_sum, listing.paths_on_disk(part.rows))
