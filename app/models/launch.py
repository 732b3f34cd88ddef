"""From a checked form to rows: one sweep, and one model with its job for every learning rate × batch size.

What does not fit together is found here, before anything is written: dataset, topology, transformation and solver.
Training itself is the worker's; what happens to models afterwards is in `app/models/models.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.augmentation import Augmentation
from app.datasets.split import SPLITS, needed_per_class, split_counts
from app.db import Database, Dataset, Job, JobKind, Model, Status, Sweep, User
from app.invalid import InvalidFields
from app.models.fine_tuning import (
    NewNet,
    Preview,
    StartError,
    find_start,
    hold,
    preview_start,
    refuse_idle,
    refuse_useless,
)
from app.models.start import Start
from app.preprocessing import MeanMode, Preprocessing
from app.queue import Queue
from app.schemas.models import NewModel
from app.schemas.transformation import TransformationFields
from app.solver.spec import SolverSpec
from app.solver.sweep import expand
from app.storage import Storage
from app.topologies import Found, find_topology
from app.topology.check import Report, check
from app.topology.errors import Issue
from app.topology.fit import fit
from app.web import PageNotFound

MAX_ISSUES_SHOWN = 5
EDITED = " (edited)"


class InvalidModel(InvalidFields):
    """The choices do not fit together; one message per field."""


@dataclass(frozen=True)
class Plan:
    """What a form comes to: the models that will be made, named, each with its solver."""

    dataset: Dataset
    topology_name: str
    prototxt: str
    preprocessing: Preprocessing
    augmentation: Augmentation
    runs: Sequence[tuple[str, SolverSpec]]
    report: Report
    start: Start | None


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset is, or, while it is being built, what it will be as far as one knows."""

    classes: int
    train_count: int
    preprocessing: Preprocessing  # its part: channels, size, resize mode
    is_built: bool

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetFacts:
        options, own, is_built = dataset.options, dataset.preprocessing, dataset.status == Status.DONE
        if is_built:
            return cls(len(dataset.classes), dataset.count("train"), own, is_built=True)
        expected = dataset.made_of.expected
        if expected is not None:
            return cls(max(2, expected["classes"]), expected["train_count"], own, is_built=False)
        if dataset.upload is None or "source" in options:
            return cls(2, 0, own, is_built=False)
        shares = [float(options.get(f"{name}_percent", 0)) for name in SPLITS]
        train_count = sum(_train_images(int(entry["count"]), shares) for entry in dataset.upload.classes)
        return cls(max(2, len(dataset.upload.classes)), train_count, own, is_built=False)


def _train_images(count: int, shares: Sequence[float]) -> int:
    return split_counts(count, *shares)[0] if count >= needed_per_class(*shares) else 0


def launch(database: Database, storage: Storage, queue: Queue, user: User, form: NewModel) -> int:
    """The id of the new sweep, its models queued; of the earlier one when the same form was sent before.

    Raises InvalidModel when the choices do not fit together.
    """
    with database.read() as session:
        earlier = _sent_before(session, form)
        plan = None if earlier is not None else make_plan(session, storage, form)
    if plan is None:
        assert earlier is not None
        return earlier
    try:
        with database.write() as session:
            earlier = _sent_before(session, form)
            if earlier is not None:
                return earlier
            sweep, job_ids = _insert(session, user, form, plan)
            sweep_id = sweep.id
    except IntegrityError:
        with database.read() as session:
            earlier = _sent_before(session, form)
        if earlier is None:
            raise
        return earlier
    queue.enqueue(*job_ids)
    return sweep_id


def make_plan(session: Session, storage: Storage, form: NewModel) -> Plan:
    """What would be launched; raises InvalidModel with a message for every field that does not fit."""
    dataset = session.get(Dataset, form.dataset_id)
    problem = problem_with_dataset(dataset)
    if dataset is None or problem:
        raise InvalidModel({"dataset_id": problem})
    facts = DatasetFacts.of(dataset)
    topology_field = "prototxt" if form.prototxt.strip() else "topology"
    topology_name, prototxt = _chosen_topology(session, form)
    preprocessing = full_preprocessing(form, dataset, facts)
    own = facts.preprocessing
    errors = form.transformation_problems(own.width, own.height) | _solver_problems(form, facts)
    report = check(prototxt, *preprocessing.input_shape, classes=facts.classes, batch_size=max(form.batch_size))
    if report.errors and "crop_size" not in errors:
        errors[topology_field] = issues_in_words(report.errors)
    if errors:
        raise InvalidModel(errors)
    if facts.is_built:
        prototxt = fit(prototxt, facts.classes)
    net = NewNet(prototxt, preprocessing, facts.classes)
    preview = _start(session, storage, form, net, is_final=facts.is_built)
    start = replace(preview.start, freeze_loaded=form.freeze_loaded) if preview else None
    prototxt = preview.prototxt if preview else prototxt
    runs = [(name, form.spec(lr, size)) for name, lr, size in expand(form.base_lr, form.batch_size, form.name)]
    return Plan(dataset, topology_name, prototxt, preprocessing, form.augmentation(), runs, report, start)


def problem_with_dataset(dataset: Dataset | None) -> str:
    """Why nothing can be trained on this dataset; empty when it can, now or once it is built."""
    if dataset is None:
        return "This dataset does not exist, or was deleted meanwhile. Choose another one."
    if dataset.status in (Status.FAILED, Status.STOPPED):
        reason = f": {dataset.job.error}" if dataset.job.error else ""
        return f"The building of this dataset has {dataset.status}{reason}. Choose one that is done or being built."
    return ""


def full_preprocessing(form: TransformationFields, dataset: Dataset, facts: DatasetFacts) -> Preprocessing:
    """The dataset's part, completed by the form; with the mean values once they are known."""
    full = form.preprocessing(facts.preprocessing)
    if full.mean is MeanMode.PIXEL and facts.is_built:
        full = replace(full, mean_values=tuple(float(value) for value in dataset.result.get("mean", ())))
    return full


def issues_in_words(issues: Sequence[Issue]) -> str:
    shown = [f"Line {issue.line}, column {issue.column}: {issue.message}" for issue in issues[:MAX_ISSUES_SHOWN]]
    if len(issues) > MAX_ISSUES_SHOWN:
        shown.append(f"… and {len(issues) - MAX_ISSUES_SHOWN} more.")
    return "\n".join(shown)


def _chosen_topology(session: Session, form: NewModel) -> tuple[str, str]:
    """What the model's topology is called, and its text: the one that was typed, else the chosen one's."""
    original = _original(session, form)
    if form.prototxt.strip():
        if original is None:
            return "custom", form.prototxt
        is_same = original.prototxt.strip() == form.prototxt.strip()
        return stored_name(original) + ("" if is_same else EDITED), form.prototxt
    if original is not None:
        return stored_name(original), original.prototxt
    if not form.topology:
        raise InvalidModel({"topology": "Choose a topology, or send a prototxt."})
    shown = form.topology[:60]
    raise InvalidModel({"topology": f"There is no topology “{shown}”. It may have been deleted meanwhile."})


def stored_name(topology: Found) -> str:
    """What a model's row calls its topology: the zoo's id, or the name of a custom one."""
    return topology.name if topology.is_custom else topology.key


def _original(session: Session, form: NewModel) -> Found | None:
    try:
        return find_topology(session, form.topology) if form.topology else None
    except PageNotFound:
        return None


def _start(session: Session, storage: Storage, form: NewModel, net: NewNet, *, is_final: bool) -> Preview | None:
    """What the weights start from; raises InvalidModel when that is not there or nothing of it fits.

    Before the net is final, what it loads cannot be told for certain; the worker then freezes it.
    """
    try:
        start = find_start(session, form.start_from, form.start_snapshot)
        if start is None:
            if form.freeze_loaded:
                raise StartError("Without a start everything is new. Choose what to start from.", "freeze_loaded")
            return None
        preview = preview_start(storage, start, net, freezes=form.freeze_loaded and is_final)
        refuse_useless(preview)
        refuse_idle(preview)
    except StartError as error:
        raise InvalidModel({error.field: str(error)}) from error
    return preview


def _solver_problems(form: NewModel, facts: DatasetFacts) -> dict[str, str]:
    return form.problems() | batch_problems(max(form.batch_size), form.batch_accumulation, facts.train_count)


def batch_problems(batch_size: int, accumulation: int, images: int) -> dict[str, str]:
    """What asks for more images than there are to train on, by field; nothing while their number is unknown."""
    if images and batch_size > images:
        return {"batch_size": f"Expected at most {images:,}, the number of training images, found {batch_size:,}."}
    if images and batch_size * accumulation > images:
        return {
            "batch_accumulation": f"{accumulation} batches of {batch_size} are {batch_size * accumulation:,} images; "
            f"expected at most {images:,}, the number of training images."
        }
    return {}


def _sent_before(session: Session, form: NewModel) -> int | None:
    if not form.submission:
        return None
    return session.scalar(select(Sweep.id).where(Sweep.submission == form.submission))


def _insert(session: Session, user: User, form: NewModel, plan: Plan) -> tuple[Sweep, list[int]]:
    dataset = session.get(Dataset, form.dataset_id, with_for_update={"read": True, "of": Dataset})
    if dataset is not None:  # held still, so that a build which fails now finds what waits for it
        session.get_one(Job, dataset.job_id, with_for_update={"read": True}, populate_existing=True)
    problem = problem_with_dataset(dataset)
    if dataset is None or problem:
        raise InvalidModel({"dataset_id": problem})
    if plan.start is not None and not hold(session, plan.start):
        raise InvalidModel({"start_from": f"“{plan.start.title}” was deleted meanwhile. Choose another start."})
    sweep = Sweep(user_id=user.id, name=form.name, submission=form.submission or None)
    models = [_model(user, form, plan, dataset, name, spec) for name, spec in plan.runs]
    for model in models:
        model.sweep = sweep
        session.add(model)
    session.flush()
    for model in models:
        model.job.path = f"/models/{model.id}"
    return sweep, [model.job_id for model in models]


def _model(user: User, form: NewModel, plan: Plan, dataset: Dataset, name: str, spec: SolverSpec) -> Model:
    return Model(
        user_id=user.id,
        name=name[:300],
        notes=form.notes,
        dataset_id=dataset.id,
        job=Job.of(JobKind.TRAIN, title=name, user_id=user.id, waits_for=dataset.job),
        topology_name=plan.topology_name[:255],
        prototxt=plan.prototxt,
        preprocessing=plan.preprocessing.to_dict(),
        augmentation=plan.augmentation.to_dict(),
        solver=spec.to_dict(),
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        base_lr=spec.base_lr,
        parameters=plan.report.parameters,
        start_from=plan.start.key if plan.start else None,
        start=plan.start.to_dict() if plan.start else None,
    )
