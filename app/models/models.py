"""What pages and API do with models alike: list, stop, resume, change, delete. Launching is in `launch.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from app.db import Database, Dataset, Job, Model, Prediction, Status, Sweep, User
from app.models.fine_tuning import models_that_wait_for, needed_by
from app.queue import Queue
from app.schemas.models import ModelChanges
from app.storage import Storage
from app.web import PageNotFound, require_owner

NEVER = -1.0  # sorts models without an accuracy below those with one
ORDERS: dict[str, Any] = {
    "created": Model.id,
    "name": Model.name,
    "status": Job.status,
    "dataset": Dataset.name,
    "topology": Model.topology_name,
    "epochs": Model.epochs,
    "batch_size": Model.batch_size,
    "base_lr": Model.base_lr,
    "val": func.coalesce(Model.accuracy["val"].as_float(), NEVER),
    "test": func.coalesce(Model.accuracy["test"].as_float(), NEVER),
}


class ModelBusy(Exception):
    """This cannot be done to the model now; the message says what can."""


@dataclass(frozen=True)
class Filter:
    """What a list shows: `sort` is a key of ORDERS, with a minus for descending; `after` is the last row's id."""

    text: str = ""
    status: Status | None = None
    dataset_id: int | None = None
    sort: str = "-created"
    after: int | None = None
    limit: int = 50


@dataclass(frozen=True)
class ModelPage:
    models: list[Model]
    next: str | None


def list_models(session: Session, wanted: Filter) -> ModelPage:
    """One page of the list, and what to ask for next. Any page costs the same as the first."""
    statement = _ordered(session, _filtered(_joined(select(Model)), wanted), wanted)
    rows = list(session.scalars(statement.limit(wanted.limit + 1)))
    page = rows[: wanted.limit]
    return ModelPage(page, str(page[-1].id) if len(rows) > wanted.limit else None)


def count_models(session: Session) -> dict[str, int]:
    """How many there are in each state, and `all` of them."""
    statement = select(Job.status, func.count()).join(Model, Model.job_id == Job.id).group_by(Job.status)
    counts = {str(status): count for status, count in session.execute(statement)}
    return counts | {"all": sum(counts.values())}


def get_model(session: Session, model_id: int) -> Model:
    model = session.get(Model, model_id)
    if model is None:
        raise PageNotFound("model")
    return model


def get_sweep(session: Session, sweep_id: int) -> Sweep:
    sweep = session.get(Sweep, sweep_id)
    if sweep is None:
        raise PageNotFound("sweep")
    return sweep


def stop_model(database: Database, user: User, model_id: int) -> bool:
    """Asks a training to stop, or takes a queued one off the queue; False if it has already ended."""
    with database.write() as session:
        model = get_model(session, model_id)
        require_owner(user, model.user_id)
        return Job.request_stop(session, model.job_id)


def stop_sweep(database: Database, user: User, sweep_id: int) -> int:
    """Stops every model of a sweep that is queued or running; how many there were."""
    with database.write() as session:
        sweep = get_sweep(session, sweep_id)
        require_owner(user, sweep.user_id)
        job_ids = [model.job_id for model in sweep.models]
        return sum(Job.request_stop(session, job_id) for job_id in job_ids)


def resume_model(database: Database, queue: Queue, user: User, model_id: int) -> None:
    """Queues a stopped or failed model again; it goes on from its last snapshot. Raises ModelBusy if it is neither."""
    with database.write() as session:
        model = get_model(session, model_id)
        require_owner(user, model.user_id)
        if model.dataset.status.has_ended and model.dataset.status != Status.DONE:
            raise ModelBusy(f"Its dataset “{model.dataset.name}” has {model.dataset.status}. Build it again first.")
        job_id, status = model.job_id, model.status
        if not Job.resume(session, job_id):
            raise ModelBusy(f"Only a stopped or failed model can go on; this one is {status}.")
    queue.enqueue(job_id)


def change_model(database: Database, user: User, model_id: int, changes: ModelChanges) -> None:
    with database.write() as session:
        model = get_model(session, model_id)
        require_owner(user, model.user_id)
        if changes.name is not None:
            model.name = changes.name
            model.job.title = changes.name[:300]
        if changes.notes is not None:
            model.notes = changes.notes


def delete_model(database: Database, storage: Storage, user: User, model_id: int) -> None:
    """Deletes the model, its numbers, snapshots, predictions and files; raises ModelBusy while it is being trained."""
    with database.write() as session:
        session.get(Model, model_id, with_for_update={"of": Model})  # nobody chooses it as a start meanwhile
        model = get_model(session, model_id)
        require_owner(user, model.user_id)
        Job.request_stop(session, model.job_id)  # one that is queued leaves the queue
        session.refresh(model)
        if model.status == Status.RUNNING:
            raise ModelBusy("This model is being trained. Stop it first, then delete it.")
        waiting = models_that_wait_for(session, f"model:{model_id}")
        if waiting:
            raise ModelBusy(f"{needed_by(waiting)} will start from its weights. Wait for that, or stop it first.")
        _delete_rows(session, model)
    storage.delete(storage.model_dir(model_id))


def _delete_rows(session: Session, model: Model) -> None:
    prediction_jobs = session.scalars(select(Prediction.job_id).where(Prediction.model_id == model.id)).all()
    job_id, sweep_id = model.job_id, model.sweep_id
    session.execute(delete(Prediction).where(Prediction.model_id == model.id))
    session.execute(delete(Model).where(Model.id == model.id))
    session.execute(delete(Job).where(Job.id.in_([job_id, *prediction_jobs])))
    others = select(func.count(Model.id)).where(Model.sweep_id == sweep_id)
    if sweep_id is not None and session.scalar(others) == 0:
        session.execute(delete(Sweep).where(Sweep.id == sweep_id))


def row_id(text: str) -> int | None:
    """An id as an address holds it; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _joined(statement: Select[Any]) -> Select[Any]:
    return statement.join(Model.job).join(Model.dataset)


def _filtered(statement: Select[Any], wanted: Filter) -> Select[Any]:
    if wanted.text:
        statement = statement.where(Model.name.icontains(wanted.text, autoescape=True))
    if wanted.status is not None:
        statement = statement.where(Job.status == wanted.status)
    if wanted.dataset_id is not None:
        statement = statement.where(Model.dataset_id == wanted.dataset_id)
    return statement


def _ordered(session: Session, statement: Select[Any], wanted: Filter) -> Select[Any]:
    """By the wanted column and then by id, beyond the row of `after`."""
    is_down, column = wanted.sort.startswith("-"), ORDERS[wanted.sort.removeprefix("-")]
    ordered = statement.order_by(*(key.desc() if is_down else key for key in (column, Model.id)))
    if wanted.after is None:
        return ordered
    beyond_id = Model.id < wanted.after if is_down else Model.id > wanted.after
    anchor = (
        None if column is Model.id else session.execute(_joined(select(column)).where(Model.id == wanted.after)).first()
    )
    if anchor is None:
        return ordered.where(beyond_id)
    beyond = column < anchor[0] if is_down else column > anchor[0]
    return ordered.where(or_(beyond, and_(column == anchor[0], beyond_id)))
