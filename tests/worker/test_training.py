"""What a training makes of its row before the engine begins."""

from __future__ import annotations

from app.db import Database, Job
from app.preprocessing import Channels, MeanMode, Preprocessing
from app.storage import Storage
from app.topology.zoo import zoo_entry
from tests import factories
from worker.lease import Lease
from worker.training import _prepared


def test_a_model_that_was_queued_before_its_dataset_was_built_gets_classes_and_mean(
    database: Database, storage: Storage
) -> None:
    entry = zoo_entry("lenet")
    assert entry is not None
    preprocessing = Preprocessing(Channels.GRAY, 28, 28, mean=MeanMode.PIXEL).to_dict()
    model = factories.model(database, prototxt=entry.prototxt, preprocessing=preprocessing, status="queued")
    with database.write() as session:
        job = Job.claim(session, model.job_id, "a worker", 30)
        assert job is not None
    prepared = _prepared(database, storage, Lease(database, job.id, job.attempt, lease_s=30, heartbeat_s=5))
    assert prepared.preprocessing_value.mean_values == (33.0,)
    assert "num_output: 2" in prepared.prototxt
