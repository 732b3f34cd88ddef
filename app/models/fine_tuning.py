"""What a model's weights start from: a snapshot of another model, or a pretrained net of the library.

Found and frozen before a launch, with the table of what will be loaded and where its input differs from what the
weights are used to. Copying them is the engine's (`worker/engine/fine_tuning.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Job, Model, PretrainedNet, Snapshot, Status
from app.models.preprocessing_differences import differences
from app.models.start import Start
from app.preprocessing import Preprocessing
from app.pretrained.weights_files import WeightsError, weight_shapes
from app.storage import Storage
from app.topology.errors import TopologyError
from app.topology.fine_tuning import (
    Fate,
    MatchedWeight,
    count_fates,
    loaded_layers,
    match_weights,
    trained_weights,
)
from app.topology.freezing import Learning, freeze, learning

WEIGHTS = "weights.safetensors"
MOST_CHOICES = 200
MOST_NAMED = 5


class StartError(Exception):
    """Nothing can start from this; `field` says which choice it is about."""

    def __init__(self, message: str, field: str = "start_from") -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True)
class Preview:
    """What would become of the weights, said before a launch."""

    start: Start
    table: Sequence[MatchedWeight]
    warnings: Sequence[str]
    prototxt: str  # of the net that is to start, its loaded layers frozen where that was asked for
    learning: Mapping[str, Learning]  # by weight

    @property
    def counts(self) -> dict[str, int]:
        return {str(fate): count for fate, count in count_fates(self.table).items()}

    @property
    def learning_count(self) -> int:
        """How many of the weights will learn."""
        return sum(one is Learning.LEARNS for one in self.learning.values())

    @property
    def is_useless(self) -> bool:
        return not any(entry.fate is Fate.LOADED for entry in self.table)


@dataclass(frozen=True)
class NewNet:
    """The net that is to start: its text, and what it will be fed."""

    text: str
    preprocessing: Preprocessing
    classes: int


def find_start(session: Session, key: str, snapshot: str) -> Start | None:
    """What a form chose; None for nothing. Raises StartError."""
    noun, _, number = key.partition(":")
    if not noun:
        return None
    return _of_model(session, int(number), snapshot) if noun == "model" else _of_pretrained(session, int(number))


def preview_start(storage: Storage, start: Start, net: NewNet, *, freezes: bool = False) -> Preview:
    """What becomes of every weight, where it `freezes` with the loaded layers frozen.

    Raises StartError when the weights are gone or damaged.
    """
    try:
        given = weight_shapes(storage.absolute(start.path))
    except WeightsError as error:
        raise StartError(f"The weights of “{start.title}” are gone from the disk, or damaged: {error}") from error
    table = match_weights(trained_weights(net.text, net.preprocessing.input_shape, net.classes), given)
    known = Preprocessing.from_dict(dict(start.preprocessing)) if start.preprocessing else None
    warnings = differences(known, net.preprocessing) if known else []
    text = net.text
    if freezes:
        start, text = replace(start, freeze_loaded=True, prototxt=text), _frozen(text, table)
    learned = learning(text, net.preprocessing.input_shape, net.classes)
    return Preview(start, table, warnings, text, learned)


def refuse_useless(preview: Preview) -> None:
    """Raises StartError when no weight at all would be loaded."""
    if preview.is_useless:
        example = next((entry for entry in preview.table if entry.found and entry.shape), None)
        because = f" For example {example.name}: {example.reason}." if example else ""
        message = (
            f"None of the weights of “{preview.start.title}” fits a layer of this net, by name and shape.{because}"
        )
        raise StartError(message)


def refuse_idle(preview: Preview) -> None:
    """Raises StartError when freezing leaves nothing to learn."""
    if preview.start.prototxt and not preview.learning_count:
        raise StartError(
            f"Nothing would be left to learn: every layer of this net is loaded from “{preview.start.title}”, and "
            "would be frozen. Train everything, or give the layers that are to learn anew another name.",
            "freeze_loaded",
        )


def freeze_when_built(storage: Storage, model: Model) -> None:
    """Freezes what a model loads, where that had to wait until the classes of its dataset were known.

    Raises StartError when the weights are gone, or nothing would be left to learn.
    """
    start = model.start_value
    if start is None or not start.freeze_loaded or start.prototxt:
        return
    net = NewNet(model.prototxt, model.preprocessing_value, model.class_count)
    preview = preview_start(storage, start, net, freezes=True)
    refuse_idle(preview)
    model.prototxt, model.start = preview.prototxt, preview.start.to_dict()


def source_of(session: Session, start: Start) -> Model | PretrainedNet:
    """The record that the weights belong to."""
    noun, _, number = start.key.partition(":")
    if noun == "model":
        return session.get_one(Model, int(number))
    return session.get_one(PretrainedNet, int(number))


def hold(session: Session, start: Start) -> bool:
    """Keeps the source of the weights from being deleted until the transaction ends; False if it is gone already."""
    noun, _, number = start.key.partition(":")
    record: type[Model] | type[PretrainedNet] = Model if noun == "model" else PretrainedNet
    return session.get(record, int(number), with_for_update={"read": True, "of": record}) is not None


def models_that_wait_for(session: Session, key: str) -> list[Model]:
    """Models that are queued or running and read these weights at their first iteration."""
    statement = select(Model).join(Model.job).where(Model.start_from == key)
    active = statement.where(Job.status.in_([Status.QUEUED, Status.RUNNING]))
    return list(session.scalars(active.order_by(Model.id)))


def needed_by(models: Sequence[Model]) -> str:
    """“a”, “b” and 3 more."""
    shown = ", ".join(f"“{model.name}”" for model in models[:MOST_NAMED])
    return shown + (f" and {len(models) - MOST_NAMED} more" if len(models) > MOST_NAMED else "")


def choices(session: Session) -> dict[str, list[tuple[str, str]]]:
    """What a form offers, as (key, words), the newest first."""
    has_snapshot = select(Snapshot.id).where(Snapshot.model_id == Model.id).exists()
    found = session.execute(
        select(Model.id, Model.name).where(has_snapshot).order_by(Model.id.desc()).limit(MOST_CHOICES)
    )
    done = select(PretrainedNet.id, PretrainedNet.name).join(PretrainedNet.job).where(Job.status == Status.DONE)
    nets = session.execute(done.order_by(PretrainedNet.id.desc()).limit(MOST_CHOICES))
    return {
        "Pretrained nets": [(f"pretrained:{number}", name) for number, name in nets],
        "Models": [(f"model:{number}", f"{name} (model {number})") for number, name in found],
    }


def _frozen(text: str, table: Sequence[MatchedWeight]) -> str:
    try:
        return freeze(text, loaded_layers(table))
    except TopologyError:  # a text that is still being typed
        return text


def _of_model(session: Session, model_id: int, wanted: str) -> Start:
    model = session.get(Model, model_id)
    if model is None:
        raise StartError("This model does not exist, or was deleted meanwhile. Choose another start.")
    snapshot = Snapshot.find(session, model_id, wanted.strip())
    if snapshot is None:
        last = Snapshot.last(session, model_id)
        if last is None:
            raise StartError(f"The model “{model.name}” has no snapshot yet.")
        found = f"Expected last, best or the epoch of a snapshot (up to {last.epoch_label}), found “{wanted[:20]}”."
        raise StartError(found, "start_snapshot")
    return Start(f"model:{model.id}", model.name, snapshot.epoch_label, f"{snapshot.path}/{WEIGHTS}",
                 preprocessing=model.preprocessing)  # fmt: skip


def _of_pretrained(session: Session, pretrained_id: int) -> Start:
    net = session.get(PretrainedNet, pretrained_id)
    if net is None:
        raise StartError("This pretrained net does not exist, or was deleted meanwhile. Choose another start.")
    if net.status != Status.DONE:
        raise StartError(f"The import of “{net.name}” is {net.status}, not done.")
    return Start(net.start_key, net.name, "", f"pretrained/{net.id}/{WEIGHTS}", net.sha256 or "", net.preprocessing)
