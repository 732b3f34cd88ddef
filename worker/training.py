"""A `train` job: from the model's row to the engine and back."""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path

from sqlalchemy import select

from app.db import Database, Dataset, Job, Model, Snapshot, Status
from app.models.fine_tuning import StartError, freeze_when_built
from app.preprocessing import MeanMode
from app.settings import Settings
from app.storage import Storage
from app.topology.errors import TopologyError
from app.topology.fit import fit
from app.version import VERSION
from worker.engine.errors import EngineError
from worker.engine.train import TrainSpec
from worker.engine.train import train as run_training
from worker.lease import Lease
from worker.outcome import Outcome, Refusal
from worker.recorder import Fenced, Recorder


def train(settings: Settings, database: Database, storage: Storage, lease: Lease) -> Outcome:
    model = _prepared(database, storage, lease)
    _log_to_model(storage.model_log(model.id))
    resume_from = _resume_from(database, storage, model.id)
    spec = TrainSpec(
        topology=model.prototxt,
        preprocessing=model.preprocessing_value,
        solver=model.solver_spec,
        dataset_dir=storage.dataset_dir(model.dataset_id),
        classes=tuple(model.dataset.classes),
        model_dir=storage.model_dir(model.id),
        device=device_name(),
        resume_from=resume_from,
        threads=settings.cores,
        augmentation=model.augmentation_value if model.augmentation_value.is_on else None,
        start_from=None if resume_from else _start_from(storage, model),
    )
    recorder = Recorder(database, storage, model.id, lease, model.epochs)
    try:
        with recorder:
            result = run_training(spec, recorder)
    except Fenced:
        return Outcome.DONE  # nobody listens to this attempt any more; its end changes nothing
    except (EngineError, TopologyError) as error:
        raise Refusal(str(error)) from error
    if result.stopped:
        return Outcome.STOPPED
    with database.write() as session:
        if Job.holds(session, lease.job_id, lease.attempt):
            session.get_one(Model, model.id).accuracy = dict(result.accuracy)
            Job.finish(session, lease.job_id, lease.attempt)
    return Outcome.DONE


def _prepared(database: Database, storage: Storage, lease: Lease) -> Model:
    """The model's row, completed by what its dataset turned out to have: classes, and the mean of each channel.

    Raises Refusal where it cannot be trained on that dataset.
    """
    with database.write() as session:
        model = session.scalars(select(Model).where(Model.job_id == lease.job_id)).one()
        dataset = session.get_one(Dataset, model.dataset_id)
        if dataset.status != Status.DONE:
            raise Refusal(f"Its dataset {dataset.name!r} is {dataset.status}, not done.")
        if Job.holds(session, lease.job_id, lease.attempt):
            model.prototxt = fit(model.prototxt, len(dataset.classes))
            try:
                freeze_when_built(storage, model)
            except StartError as error:
                raise Refusal(str(error)) from error
            if model.preprocessing_value.mean is MeanMode.PIXEL and not model.preprocessing_value.mean_values:
                model.preprocessing = model.preprocessing | {"mean_values": dataset.result.get("mean", [])}
            model.run_info = {**model.run_info, **versions()}
        return model


def versions() -> dict[str, str]:
    import torch

    return {"trainyard": VERSION, "torch": torch.__version__, "python": platform.python_version()}


def device_name() -> str:
    """The device of this process: the worker has made one GPU visible, or none (CUDA_VISIBLE_DEVICES)."""
    import torch

    return "cuda:0" if os.environ.get("CUDA_VISIBLE_DEVICES") and torch.cuda.is_available() else "cpu"


def _resume_from(database: Database, storage: Storage, model_id: int) -> Path | None:
    """The newest snapshot whose folder is there; rows of lost folders are passed over."""
    with database.read() as session:
        for snapshot in Snapshot.of_model(session, model_id):
            folder = storage.absolute(snapshot.path)
            if (folder / "meta.json").is_file():
                return folder
    return None


def _start_from(storage: Storage, model: Model) -> Path | None:
    """The weights that a model begins with, if it is not with those of its fillers."""
    start = model.start_value
    if start is None:
        return None
    path = storage.absolute(start.path)
    if not path.is_file():
        raise Refusal(
            f"It was to start from the weights of “{start.title}”, which are gone from the disk ({start.path}). "
            "Clone it and choose what is there."
        )
    logging.getLogger(__name__).info("Starting from the weights of %s (%s)", start.title, start.path)
    return path


def _log_to_model(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = logging.FileHandler(path, encoding="utf-8")
    writer.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(writer)
