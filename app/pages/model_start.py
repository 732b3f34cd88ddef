"""The part of the model form that chooses what the weights start from, and says what would become of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import starting
from app.db import Dataset, Model
from app.launch import DatasetFacts, full_preprocessing
from app.schemas.models import NewModel
from app.schemas.start import START
from app.starting import NewNet, StartError
from app.storage import Storage
from app.topology.errors import TopologyError
from app.topology.retraining import retrainable
from app.web import PageNotFound

INPUT_FIELDS = ("crop_size", "mean", "scale")
Option = tuple[str, str | list[tuple[str, str]]]


def offered(session: Session, chosen: str) -> list[Option]:
    """The options of a select: nothing, then groups of pretrained nets and models; the chosen one, however old."""
    groups = starting.choices(session)
    known = {key for entries in groups.values() for key, _ in entries}
    if chosen and chosen not in known and START.fullmatch(chosen):
        groups["Chosen"] = [(chosen, chosen.replace(":", " "))]
    nothing = ("", "nothing: new weights, from the fillers of the prototxt")
    return [nothing, *((name, entries) for name, entries in groups.items() if entries)]


def context(session: Session, storage: Storage, values: dict[str, str], text: str, dataset: Dataset) -> dict[str, Any]:
    """The table for what is in the form, or the first thing that is wrong with the choice."""
    key = values.get("start_from", "")
    if not START.fullmatch(key):
        return {"start": None, "start_problem": ""}
    try:
        start = starting.find_start(session, key, values.get("start_snapshot", ""))
        assert start is not None
        preview = starting.preview_start(storage, start, _new_net(values, text, dataset))
        return {"start": preview, "start_problem": ""}
    except StartError as error:
        return {"start": None, "start_problem": str(error)}


def values_of(session: Session, key: str, snapshot: str) -> dict[str, str]:
    """The form's first values for fine-tuning: the net of these weights, fed as they are used to be.

    Raises PageNotFound when there are no such weights.
    """
    try:
        start = starting.find_start(session, key, snapshot) if START.fullmatch(key) else None
    except StartError as error:
        raise PageNotFound(f"start: {error}") from None
    if start is None:
        raise PageNotFound("start")
    source = starting.source_of(session, start)
    try:
        prototxt = retrainable(source.prototxt)
    except TopologyError:
        prototxt = source.prototxt
    values = {"start_from": key, "start_snapshot": start.epoch or "last", "prototxt": prototxt, "topology": "",
              "name": f"{start.name}, fine-tuned"[:200]}  # fmt: skip
    expected = source.preprocessing_value
    values |= {"mean": str(expected.mean), "scale": f"{expected.scale:.12g}",
               "mirror": "true" if expected.mirror else ""}  # fmt: skip
    if expected.crop_size:
        values["crop_size"] = str(expected.crop_size)
    return values | ({"dataset_id": str(source.dataset_id)} if isinstance(source, Model) else {})


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
