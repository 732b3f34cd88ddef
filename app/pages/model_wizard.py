"""The form that launches models: dataset, topology, data transformation, parameters (previews: `model_previews.py`)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app import topologies
from app.augmentation import Augmentation, Flip
from app.db import Dataset, FirstBatch, Job, Model, Status
from app.errors import messages_by_field
from app.forms import Typed
from app.models import models
from app.models.launch import (
    EDITED,
    DatasetFacts,
    InvalidModel,
    issues_in_words,
    launch,
    make_plan,
)
from app.pages import first_batches, model_previews, model_start
from app.pages.model_previews import SOLVER_FIELDS, find_dataset, find_topology, number
from app.preprocessing import Channels
from app.schemas.models import MAX_ID, NewModel
from app.schemas.topologies import MAX_BATCH, NewTopology
from app.solver.lr_policy import POLICY_DEFAULTS
from app.solver.spec import LrPolicy, SolverSpec, SolverType
from app.solver.text import read_solver
from app.topologies import InvalidTopology
from app.topology.errors import TopologyError
from app.topology.fit import fit
from app.topology.zoo import Suited, zoo, zoo_entry
from app.web import CurrentUser, DatabaseDep, PageNotFound, ReadSession, redirect, render

router = APIRouter(include_in_schema=False)
FIELDS = tuple(NewModel.model_fields)
RARE = {"val_batch_size", "test_batch_size", "batch_accumulation", "val_interval", "snapshot_interval",
        "clip_gradients", "momentum2", "rms_decay", "delta", "patience", "seed", "precision"}  # fmt: skip
RARE_VARIATIONS = {"hue", "saturation", "brightness", "contrast", "noise", "cutout", "quad_rotation"}
OFF = {"", "0", "none"}
MOST_DATASETS = 200


@router.get("/models/new")
def new(
    request: Request, session: ReadSession, dataset: str = "", topology: str = "", clone: str = "",
    start_from: str = "", snapshot: str = "last",
) -> HTMLResponse:  # fmt: skip
    values = _of_model(session, clone) if clone else _first_values(session, dataset, topology)
    if start_from:
        values |= model_start.values_of(session, start_from, snapshot)
    return _wizard(request, session, values | {"submission": secrets.token_urlsafe(24)})


@router.post("/models")
def create(request: Request, database: DatabaseDep, user: CurrentUser, form: Typed) -> Response:
    values = {field: form.get(field, "") for field in FIELDS}
    values |= {field: form[field] for field in ("topology_name", "solver_text") if form.get(field)}
    if form.keys() & {"edit", "discard", "preview"}:
        with database.read() as session:
            return _wizard(request, session, _edited(session, values, form))
    if "save_as" in form:
        return _save_as(request, database, user, values, form)
    if "first_batch" in form:
        return _preview_batch(request, database, user, values)
    if "fill" in form:
        return _fill(request, database, values, form.get("solver_text", ""))
    sent = {field: value for field, value in values.items() if field in form}
    try:
        sweep_id = launch(
            database, request.app.state.storage, request.app.state.queue, user, NewModel.model_validate(sent)
        )
    except ValidationError as error:
        errors = _with_the_rest(request, sent, messages_by_field(error.errors()))
    except InvalidModel as error:
        errors = error.fields
    else:
        return redirect(_launched(database, sweep_id))
    with database.read() as session:
        return _wizard(request, session, values, errors, status_code=422)


def _with_the_rest(request: Request, sent: dict[str, str], errors: dict[str, str]) -> dict[str, str]:
    """The same errors and those that show only when all fields can be read: a person is told of all at once."""
    stand_ins = {"name": "model", "dataset_id": str(MAX_ID)}
    readable = {field: value for field, value in sent.items() if field not in errors}
    try:
        with request.app.state.database.read() as session:
            make_plan(session, request.app.state.storage, NewModel.model_validate(stand_ins | readable))
    except InvalidModel as found:
        return {field: message for field, message in found.fields.items() if field != "dataset_id"} | errors
    except ValidationError:
        pass
    return errors


def _wizard(
    request: Request, session: Session, values: dict[str, str], errors: dict[str, str] | None = None,
    status_code: int = 200, solver_remarks: Sequence[str] = (),
) -> HTMLResponse:  # fmt: skip
    chosen = find_dataset(session, values.get("dataset_id", ""))
    customs, _ = topologies.custom_topologies(session)
    return render(
        request,
        "models/new.html",
        status_code=status_code,
        form={"values": values, "errors": errors or {}},
        datasets=_usable_datasets(session, chosen),
        dataset=chosen,
        zoo=topologies.zoo_topologies(),
        customs=customs,
        solver_types=list(SolverType),
        lr_policies=list(LrPolicy),
        policy_defaults=POLICY_DEFAULTS,
        suited={entry.id: _suited(entry.id) for entry in zoo()},
        solver_fields=SOLVER_FIELDS,
        schedule_query=urlencode({field: values.get(field, "") for field in (*SOLVER_FIELDS, "dataset_id")}),
        solver_remarks=solver_remarks,
        rare_errors=RARE & (errors or {}).keys(),
        rare_variations={field for field in RARE_VARIATIONS if values.get(field, "") not in OFF},
        first_batch=session.get(FirstBatch, int(values["first_batch"])) if "first_batch" in values else None,
        first_batch_fields=first_batches.FIELDS,
        **model_previews.preview(session, values),
        **model_previews.start(session, request.app.state.storage, values),
        starts=model_start.offered(session, values.get("start_from", "")),
        **model_previews.schedule(session, values),
    )


def _edited(session: Session, values: dict[str, str], form: dict[str, str]) -> dict[str, str]:
    """The form with the chosen topology's text opened for editing, or with the edits dropped."""
    if "discard" in form:
        return values | {"prototxt": ""}
    if "edit" not in form:
        return values
    found = find_topology(session, values["topology"])
    return values | {"prototxt": found.prototxt if found else values["prototxt"]}


def _save_as(
    request: Request, database: DatabaseDep, user: CurrentUser, values: dict[str, str], form: dict[str, str]
) -> Response:
    """Keeps the edited prototxt as a custom topology, and goes on in the form with that one chosen."""
    name = form.get("topology_name", "")
    with database.read() as session:
        dataset = find_dataset(session, values["dataset_id"])
        original = find_topology(session, values["topology"])
    shape: dict[str, Any] = {}
    if dataset is not None:
        facts = DatasetFacts.of(dataset)
        shape = {"channels": Channels(dataset.channels).number, "height": dataset.height, "width": dataset.width,
                 "classes": facts.classes}  # fmt: skip
    errors: dict[str, str] = {}
    try:
        wanted = NewTopology.model_validate(
            {"name": name, "prototxt": values["prototxt"], "original": original.key if original else "", **shape}
        )
        values = values | {"topology": str(topologies.create_topology(database, user, wanted)), "prototxt": ""}
    except ValidationError as error:
        errors = messages_by_field(error.errors())
    except InvalidTopology as error:
        errors = error.fields
    if "name" in errors:
        errors["topology_name"] = errors.pop("name")
    with database.read() as session:
        typed = values | ({"topology_name": name} if errors else {})
        return _wizard(request, session, typed, errors, status_code=422 if errors else 200)


def _preview_batch(request: Request, database: DatabaseDep, user: CurrentUser, values: dict[str, str]) -> HTMLResponse:
    """The form with the first batch that it describes, which is drawn meanwhile, or with what is wrong with it."""
    made, problems = first_batches.asked(database, request.app.state.queue, user, values)
    with database.read() as session:
        if made is None:
            return _wizard(request, session, values, problems, status_code=422)
        return _wizard(request, session, values | {"first_batch": str(made)})


def _fill(request: Request, database: DatabaseDep, values: dict[str, str], text: str) -> Response:
    """The form with the parameters that a pasted solver.prototxt sets; the text stays when it cannot be read."""
    with database.read() as session:
        dataset = find_dataset(session, values["dataset_id"])
        train_count = DatasetFacts.of(dataset).train_count if dataset is not None else 0
        try:
            batch_size = number(values["batch_size"], MAX_BATCH) or SolverSpec().batch_size
            pasted = read_solver(text, train_count or None, batch_size)
        except TopologyError as error:
            return _wizard(request, session, values | {"solver_text": text},
                           {"solver_text": issues_in_words(error.issues)}, status_code=422)  # fmt: skip
        given = {field: as_typed(value) for field, value in pasted.spec.to_dict().items() if field in pasted.given}
        remarks = pasted.remarks or ("The form holds what the text sets; nothing was started yet.",)
        return _wizard(request, session, values | given, solver_remarks=remarks)


def _launched(database: DatabaseDep, sweep_id: int) -> str:
    with database.read() as session:
        made = models.get_sweep(session, sweep_id).models
        return f"/models/{made[0].id}" if len(made) == 1 else f"/sweeps/{sweep_id}"


def _first_values(session: Session, dataset_key: str, topology_key: str) -> dict[str, str]:
    """Defaults that work: the newest dataset, the first topology of the zoo."""
    usable = _usable_datasets(session, None)
    dataset = find_dataset(session, dataset_key) or (usable[0] if usable else None)
    topology = find_topology(session, topology_key) or topologies.zoo_topologies()[0]
    values = _solver_values(SolverSpec()) | {"topology": topology.key, "prototxt": ""}
    values |= _suited(topology.key) | {"crop_size": "", "name": "", "notes": ""}
    values |= _variations(Augmentation(), mirror=False) | model_start.NOTHING
    if dataset is not None:
        values |= {"dataset_id": str(dataset.id), "name": f"{topology.name} on {dataset.name}"[:200]}
    return values


def _suited(topology_key: str) -> dict[str, str]:
    """The form's values that a net of the zoo wants; LeNet's for all others."""
    entry = zoo_entry(topology_key)
    return {field: as_typed(value) for field, value in asdict(entry.suited if entry else Suited()).items()}


def _of_model(session: Session, model_id: str) -> dict[str, str]:
    """The form's values for a model like that one."""
    found = models.row_id(model_id)
    if found is None:
        raise PageNotFound("model")
    model = models.get_model(session, found)
    kept = {field: as_typed(value) for field, value in model.preprocessing.items() if field in FIELDS}
    values = _solver_values(model.solver_spec) | kept
    values |= _variations(model.augmentation_value, model.preprocessing_value.mirror)
    values |= {"name": model.name[:200], "notes": model.notes, "dataset_id": str(model.dataset_id)}
    values |= model_start.chosen(model.start_value)
    return values | _topology_values(session, model)


def _topology_values(session: Session, model: Model) -> dict[str, str]:
    """The topology that a model was made from, with its text when that is not (any more) the topology's own."""
    found, text = find_topology(session, model.topology_name.removesuffix(EDITED)), model.unfrozen_prototxt
    if found is None:
        return {"topology": "", "prototxt": text}
    classes = len(model.dataset.classes)
    texts = {found.prototxt.strip(), fit(found.prototxt, classes).strip() if classes else ""}
    return {"topology": found.key, "prototxt": "" if text.strip() in texts else text}


def _solver_values(spec: SolverSpec) -> dict[str, str]:
    return {field: as_typed(value) for field, value in spec.to_dict().items() if field in FIELDS}


def _variations(settings: Augmentation, mirror: bool) -> dict[str, str]:
    values = settings.to_dict() | {"flip": Flip(settings.flip).with_mirror(mirror)}
    return {field: as_typed(value) for field, value in values.items()} | {"mirror": ""}


def as_typed(value: object) -> str:
    """A value as somebody would type it: 0.0001, not 1e-4.0; true or nothing for a checkbox."""
    if value is None or value is False:
        return ""
    if isinstance(value, bool):
        return "true"
    if isinstance(value, list | tuple):
        return ", ".join(as_typed(part) for part in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _usable_datasets(session: Session, chosen: Dataset | None) -> list[Dataset]:
    """Those that are done or being built, the newest first; and the chosen one, whatever has become of it."""
    statement = select(Dataset).join(Dataset.job).where(or_(Job.status == Status.DONE, Job.status == Status.QUEUED,
                                                            Job.status == Status.RUNNING))  # fmt: skip
    found = list(session.scalars(statement.order_by(Dataset.id.desc()).limit(MOST_DATASETS)))
    return found if chosen is None or chosen in found else [chosen, *found]
