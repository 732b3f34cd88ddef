"""What the worker of the predict lane throws away: first batches that nobody looks at any more."""

from __future__ import annotations

import logging

from app.db import Database, FirstBatch
from app.storage import Storage

log = logging.getLogger(__name__)


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
