"""Uploads with a real archive behind them, and datasets that the worker's builder really made of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.archives import inspect
from app.db import Database, Dataset, Job, Status, Upload
from app.settings import Settings
from app.storage import Storage
from tests import factories
from worker.building import result_of, spec_of
from worker.datasets.build import build


def upload_of(database: Database, storage: Storage, archive: Path, **values: Any) -> Upload:
    """An upload whose file is this archive."""
    contents = inspect(archive, archive.name)
    size = archive.stat().st_size
    given = {
        "filename": archive.name,
        "size_bytes": size,
        "received_bytes": size,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "kind": contents.kind,
        "classes": [{"name": entry.name, "count": entry.count} for entry in contents.classes],
        "skipped": contents.skipped,
        "holds": contents.holdings.to_dict(),
    }
    upload = factories.upload(database, **(given | values))
    storage.upload_dir(upload.id).mkdir(parents=True)
    shutil.copy(archive, storage.upload_file(upload.id))
    return upload


def dataset_of(database: Database, storage: Storage, upload: Upload, **values: Any) -> Dataset:
    """A dataset made of the upload, as a worker would: files on the disk, result and status in the row."""
    dataset = factories.dataset(database, status=Status.QUEUED, upload_id=upload.id, **values)
    return make(database, storage, dataset.id)


def copy_of(database: Database, storage: Storage, original: Dataset, files: Path, **values: Any) -> Dataset:
    """A row like `original`'s with a copy of its files: for tests that only look at a built dataset."""
    same = {name: getattr(original, name) for name in ("name", "channels", "width", "height", "options", "result")}
    dataset = factories.dataset(database, **(same | values))
    shutil.copytree(files, storage.dataset_dir(dataset.id))
    return dataset


def make(database: Database, storage: Storage, dataset_id: int, roots: Sequence[Path] = ()) -> Dataset:
    """Builds a queued dataset."""
    with database.write() as session:
        dataset = session.get_one(Dataset, dataset_id)
        assert Job.claim(session, dataset.job_id, "tests", 30) is not None
    with database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
    spec = spec_of(dataset, Settings(home=storage.home, threads=1, data_roots=tuple(roots)), storage)
    result = build(spec, lambda progress: None, lambda: False)
    with database.write() as session:
        row = session.get_one(Dataset, dataset_id)
        row.result = result_of(result, storage.dataset_dir(dataset_id))
        Job.finish(session, row.job_id, row.job.attempt)
    with database.read() as session:
        return session.get_one(Dataset, dataset_id)
