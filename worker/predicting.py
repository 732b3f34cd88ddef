"""A `predict` job: one picture through one snapshot, from the prediction's row and back."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import select

from app.db import Database, Job, Prediction
from app.db.base import now
from app.settings import Settings
from app.storage import Storage
from worker.engine.errors import EngineError
from worker.engine.predict import PredictSpec
from worker.engine.predict import predict as run_prediction
from worker.lease import Lease
from worker.outcome import Outcome, Refusal


def predict(_settings: Settings, database: Database, storage: Storage, lease: Lease) -> Outcome:
    with database.read() as session:
        prediction = session.scalars(select(Prediction).where(Prediction.job_id == lease.job_id)).one()
        spec = _spec(storage, prediction)
    try:
        result = run_prediction(spec)
    except EngineError as error:
        raise Refusal(str(error)) from error
    with database.write() as session:
        if Job.holds(session, lease.job_id, lease.attempt):
            row = session.get_one(Prediction, prediction.id)
            row.top = [{"label": label, "probability": probability} for label, probability in result.top]
            row.layers = [asdict(layer) for layer in result.layers]
            row.arrays_made_at = now() if result.layers else None
            row.arrays_bytes = sum((spec.out_dir / layer.file).stat().st_size for layer in result.layers) or None
            Job.finish(session, lease.job_id, lease.attempt)
    return Outcome.DONE


def _spec(storage: Storage, prediction: Prediction) -> PredictSpec:
    subject = prediction.subject
    folder = storage.prediction_dir(subject.noun, subject.id, prediction.id)
    if prediction.pretrained is not None:
        net = prediction.pretrained
        topology, preprocessing, classes = net.prototxt, net.preprocessing_value, tuple(net.labels)
        mean_dir = weights_dir = storage.pretrained_dir(net.id)
    else:
        model, snapshot = prediction.model, prediction.snapshot
        assert model is not None
        assert snapshot is not None
        topology, preprocessing, classes = model.prototxt, model.preprocessing_value, tuple(model.dataset.classes)
        mean_dir, weights_dir = storage.dataset_dir(model.dataset_id), storage.absolute(snapshot.path)
    return PredictSpec(
        topology=topology,
        preprocessing=preprocessing,
        classes=classes,
        dataset_dir=mean_dir,
        snapshot=weights_dir,
        image=folder / "image",
        out_dir=folder,
        with_layers=prediction.with_layers,
    )
