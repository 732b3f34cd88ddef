"""What the worker of the predict lane throws away: first batches that nobody looks at any more, and
what the layers made of pictures that were tested long ago."""

from __future__ import annotations

import logging
import shutil
from datetime import timedelta

from app.db import Database, FirstBatch, Prediction
from app.storage import Storage

log = logging.getLogger(__name__)
ARRAYS_AT_ONCE = 20  # predictions; their rows are held while folders are renamed


def forget_outdated(database: Database, storage: Storage) -> None:
    """Deletes what was drawn more than an hour ago; what another worker is deleting is left to it."""
    with database.read() as session:
        if not FirstBatch.outdated(session, limit=1):
            return
    with database.write() as session:
        outdated = FirstBatch.outdated(session, for_update=True)
        folders = [storage.first_batch_dir(row.dataset_id, row.id) for row in outdated]
        FirstBatch.forget(session, outdated)
    for folder in folders:
        try:
            storage.delete(folder)
        except OSError as error:
            log.warning("%s stays on the disk: %s", folder, error)


def forget_arrays(database: Database, storage: Storage, days: int) -> None:
    """Deletes the layers' arrays of predictions older than that, none if 0; picture, answer and numbers stay.

    The folders are renamed while the rows are held: a person who asks for the layers again gets new ones that stay.
    """
    age = timedelta(days=days)
    if not days:
        return
    with database.read() as session:
        if not Prediction.has_old_arrays(session, age):
            return
    doomed = []
    with database.write() as session:
        for prediction in Prediction.with_old_arrays(session, age, ARRAYS_AT_ONCE):
            subject = prediction.subject
            folder = storage.activations_dir(subject.noun, subject.id, prediction.id)
            try:
                doomed.append(storage.set_aside(folder))
            except OSError as error:
                log.warning("%s stays on the disk: %s", folder, error)
                continue
            prediction.arrays_made_at = prediction.arrays_bytes = None
    for aside in doomed:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
