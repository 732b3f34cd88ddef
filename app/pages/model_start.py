"""The part of the model form that chooses what the weights start from, and says what would become of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Dataset, Job, Model, Status
from app.models import fine_tuning
from app.models.fine_tuning import NewNet, StartError
from app.models.launch import EDITED, DatasetFacts, full_preprocessing
from app.models.start import Start
from app.preprocessing import Preprocessing
from app.schemas.models import NewModel
from app.schemas.start import START
from app.storage import Storage
from app.topologies import find_topology
from app.topology.errors import TopologyError
from app.topology.fit import fit
from app.topology.retraining import retrainable
from app.web import PageNotFound

TICKED = ("true", "on", "1", "yes")
NOTHING = {"start_from": "", "start_snapshot": "last", "freeze_loaded": ""}
INPUT_FIELDS = ("crop_size", "mean", "scale")
Option = tuple[str, str | list[tuple[str, str]]]


def offered(session: Session, chosen: str) -> list[Option]:
    """The options of a select: nothing, then groups of pretrained nets and models; the chosen one, however old."""
    groups = fine_tuning.choices(session)
    known = {key for entries in groups.values() for key, _ in entries}
    if chosen and chosen not in known and START.fullmatch(chosen):
        groups["Chosen"] = [(chosen, chosen.replace(":", " "))]
    nothing = ("", "nothing: new weights, from the fillers of the prototxt")
    return [nothing, *((name, entries) for name, entries in groups.items() if entries)]


def chosen(start: Start | None) -> dict[str, str]:
    """The form's values that say so."""
    if start is None:
        return dict(NOTHING)
    frozen = "true" if start.freeze_loaded else ""
    return {"start_from": start.key, "start_snapshot": start.epoch or "last", "freeze_loaded": frozen}


def context(session: Session, storage: Storage, values: dict[str, str], text: str, dataset: Dataset) -> dict[str, Any]:
    """The table for what is in the form, or the first thing that is wrong with the choice."""
    key = values.get("start_from", "")
    if not START.fullmatch(key):
        return {"start": None, "start_problem": ""}
    try:
        start = fine_tuning.find_start(session, key, values.get("start_snapshot", ""))
        assert start is not None
        freezes = values.get("freeze_loaded", "").lower() in TICKED
        preview = fine_tuning.preview_start(storage, start, _new_net(values, text, dataset), freezes=freezes)
        return {"start": preview, "start_problem": ""}
    except StartError as error:
        return {"start": None, "start_problem": str(error)}


def values_of(session: Session, key: str, snapshot: str) -> dict[str, str]:
    """The form's first values for fine-tuning: the net of these weights, fed as they are used to be.

    Raises PageNotFound when there are no such weights.
    """
    try:
        start = fine_tuning.find_start(session, key, snapshot) if START.fullmatch(key) else None
    except StartError as error:
        raise PageNotFound(f"start: {error}") from None
    if start is None:
        raise PageNotFound("start")
    source = fine_tuning.source_of(session, start)
    text = source.unfrozen_prototxt if isinstance(source, Model) else source.prototxt
    try:
        prototxt = retrainable(text)
    except TopologyError:
        prototxt = text
    values = chosen(start) | {"name": f"{start.name}, fine-tuned"[:200]}
    values |= _topology_of(session, source.topology_name, prototxt, source.class_count)
    expected = source.preprocessing_value
    values |= {"mean": str(expected.mean), "scale": f"{expected.scale:.12g}",
               "mirror": "true" if expected.mirror else ""}  # fmt: skip
    if expected.crop_size:
        values["crop_size"] = str(expected.crop_size)
    dataset_id = source.dataset_id if isinstance(source, Model) else _dataset_for(session, expected)
    return values | ({"dataset_id": str(dataset_id)} if dataset_id else {})


def _topology_of(session: Session, name: str, prototxt: str, classes: int) -> dict[str, str]:
    """The topology that the text is, or the text itself where it is none that is known."""
    try:
        known = find_topology(session, name.removesuffix(EDITED))
    except PageNotFound:
        return {"topology": "", "prototxt": prototxt}
    try:
        is_known = prototxt.strip() == retrainable(fit(known.prototxt, max(1, classes))).strip()
    except TopologyError:
        is_known = False
    return {"topology": known.key, "prototxt": "" if is_known else prototxt}


def _dataset_for(session: Session, expected: Preprocessing) -> int | None:
    """The newest dataset of pictures as the weights are used to, if there is one."""
    done = select(Dataset.id).join(Dataset.job).where(Job.status == Status.DONE, Dataset.channels == expected.channels)
    same = done.where(Dataset.width == expected.width, Dataset.height == expected.height)
    newest = [statement.order_by(Dataset.id.desc()).limit(1) for statement in (same, done)]
    return session.scalar(newest[0]) or session.scalar(newest[1])


def _new_net(values: dict[str, str], text: str, dataset: Dataset) -> NewNet:
    """What is typed, as far as it can be read."""
    stand_ins = {"name": "model", "dataset_id": "1"}
    readable = dict(stand_ins)
    for field in INPUT_FIELDS:
        try:
            NewModel.model_validate(stand_ins | {field: values.get(field, "")})
            readable[field] = values.get(field, "")
        except ValidationError:
            continue
    facts = DatasetFacts.of(dataset)
    preprocessing = full_preprocessing(NewModel.model_validate(readable), dataset, facts)
    if preprocessing.crop_size and preprocessing.crop_size > min(dataset.width, dataset.height):
        preprocessing = replace(preprocessing, crop_size=None)
    return NewNet(text, preprocessing, facts.classes)
