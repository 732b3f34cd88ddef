"""What the form that launches models shows while somebody fills it: layers, weights to load, learning rates."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import topologies
from app.db import Dataset
from app.errors import messages_by_field
from app.forms import Typed
from app.models import models, schedules
from app.models.launch import DatasetFacts, problem_with_dataset
from app.pages import model_start
from app.schemas.models import SolverFields
from app.schemas.topologies import MAX_BATCH, InputShape
from app.storage import Storage
from app.topologies import Found
from app.topology.check import check
from app.web import DatabaseDep, PageNotFound, ReadSession, render

router = APIRouter(include_in_schema=False)
SOLVER_FIELDS = tuple(SolverFields.model_fields)


@router.post("/models/new/_topology")
def topology_preview(request: Request, database: DatabaseDep, form: Typed) -> HTMLResponse:
    """The blobs of the chosen topology on the chosen dataset; drawn anew whenever one of them changes."""
    with database.read() as session:
        return render(request, "models/_topology_preview.html", **preview(session, form))


@router.post("/models/new/_start")
def start_preview(request: Request, database: DatabaseDep, form: Typed) -> HTMLResponse:
    """Which weights of the chosen start would be loaded."""
    with database.read() as session:
        return render(request, "models/_start_preview.html", **start(session, request.app.state.storage, form))


@router.get("/models/new/_schedule")
def schedule_text(request: Request, session: ReadSession) -> HTMLResponse:
    """How many models there will be, and where their learning rates begin and end."""
    return render(request, "models/_schedule.html", **schedule(session, dict(request.query_params)))


@router.get("/models/new/schedule.json")
def schedule_chart(request: Request, session: ReadSession) -> JSONResponse:
    lines = schedule(session, dict(request.query_params))["lines"]
    figures = {"schedule": schedules.figure(lines, lines[0].spec.epochs)} if lines else {}
    return JSONResponse({"figures": figures, "last_id": 0})


def preview(session: Session, values: dict[str, str]) -> dict[str, Any]:
    """The blobs of the topology on the dataset, as far as crop and batch size are known; no report without both."""
    dataset = find_dataset(session, values.get("dataset_id", ""))
    text = _text(session, values)
    if dataset is None or problem_with_dataset(dataset) or not text:
        return {"report": None, "shape": None, "shape_errors": {}}
    facts = DatasetFacts.of(dataset)
    own = facts.preprocessing
    crop = number(values.get("crop_size", ""), min(own.width, own.height))
    shape = InputShape(
        channels=own.channels.number, height=crop or own.height, width=crop or own.width, classes=facts.classes,
        batch_size=number(values.get("batch_size", ""), MAX_BATCH) or 1,
    )  # fmt: skip
    report = check(text, shape.channels, shape.height, shape.width, shape.classes, shape.batch_size)
    return {"report": report, "shape": shape, "shape_errors": {}}


def start(session: Session, storage: Storage, values: dict[str, str]) -> dict[str, Any]:
    dataset = find_dataset(session, values.get("dataset_id", ""))
    text = _text(session, values)
    if dataset is None or problem_with_dataset(dataset) or not text:
        return {"start": None, "start_problem": ""}
    return model_start.context(session, storage, values, text, dataset)


def _text(session: Session, values: dict[str, str]) -> str:
    """The prototxt that was typed, else the chosen topology's."""
    typed = values.get("prototxt", "")
    if typed.strip():
        return typed
    found = find_topology(session, values.get("topology", ""))
    return found.prototxt if found else ""


def schedule(session: Session, values: dict[str, str]) -> dict[str, Any]:
    """What the parameters come to, or the first thing that is wrong with them."""
    sent = {field: values[field] for field in SOLVER_FIELDS if field in values}
    try:
        form = SolverFields.model_validate(sent)
    except ValidationError as error:
        field, message = next(iter(messages_by_field(error.errors()).items()))
        return {"schedule_problem": f"{field.replace('_', ' ')}: {message}", "lines": [], "model_count": ""}
    count = schedules.count_in_words(form)
    problems = form.problems()
    if problems:
        field, message = next(iter(problems.items()))
        return {"schedule_problem": f"{field.replace('_', ' ')}: {message}", "lines": [], "model_count": count}
    dataset = find_dataset(session, values.get("dataset_id", ""))
    train_count = DatasetFacts.of(dataset).train_count if dataset and not problem_with_dataset(dataset) else 0
    lines = schedules.schedules(form, train_count) if train_count else []
    problem = "" if lines else "Choose a dataset to see the learning rate over its epochs."
    return {"schedule_problem": problem, "lines": lines, "model_count": count}


def find_dataset(session: Session, dataset_id: str) -> Dataset | None:
    found = models.row_id(dataset_id)
    return session.get(Dataset, found) if found is not None else None


def find_topology(session: Session, key: str) -> Found | None:
    try:
        return topologies.find_topology(session, key) if key else None
    except PageNotFound:
        return None


def number(text: str, most: int) -> int:
    """The first whole number in what was typed; 0 when there is none that fits."""
    first = text.replace(",", " ").split()
    return int(first[0]) if first and first[0].isascii() and first[0].isdigit() and 0 < int(first[0][:9]) <= most else 0
