"""What pages and API do with pretrained nets alike: take, list, change, delete. Importing them is the worker's."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session, defer

from app.db import Database, Job, JobKind, Model, Prediction, PretrainedNet, Snapshot, Status, User
from app.models.fine_tuning import models_that_wait_for, needed_by
from app.pretrained.facts import Facts, InvalidPretrained, Unsaid, facts_of
from app.pretrained.weights_files import WeightsError, WeightsSource, weight_shapes, weights_source
from app.queue import Queue
from app.schemas.pretrained import FromSnapshot, MatchBy, NewPretrained, PretrainedChanges
from app.settings import Settings
from app.storage import Storage
from app.topology.errors import TopologyError
from app.topology.fit import fit
from app.topology.layers import Shape
from app.topology.pytorch_names import OrderError, by_order
from app.uploads.receiving_files import ReceivedFile, ReceivedForm
from app.web import PageNotFound, require_owner

WEIGHTS = "weights.safetensors"
SENT = "sent"
MOST_TEXT_BYTES = 4_000_000  # of a prototxt or labels
MOST_MEAN_BYTES = 300_000_000
FORGOTTEN_AFTER_S = 86_400
KEPT = re.compile(r"[0-9a-f]{32}")
ORDERS: dict[str, Any] = {
    "created": PretrainedNet.id,
    "name": PretrainedNet.name,
    "source": PretrainedNet.source,
    "topology": PretrainedNet.topology_name,
    "parameters": func.coalesce(PretrainedNet.parameters, -1),
    "size": func.coalesce(PretrainedNet.size_bytes, -1),
}


class PretrainedBusy(Exception):
    """This cannot be done to the pretrained net now; the message says why."""


@dataclass(frozen=True)
class Pair:
    """A weight of the prototxt, its shape, and what the file calls it."""

    name: str
    sent_as: str
    shape: Shape


@dataclass(frozen=True)
class Filter:
    """`sort` is a key of ORDERS, with a minus for descending; `after` is the last row's id."""

    text: str = ""
    sort: str = "-created"
    after: int | None = None
    limit: int = 50


@dataclass(frozen=True)
class PretrainedPage:
    nets: list[PretrainedNet]
    used_by: dict[int, int]  # by id: how many models started from it
    classes: dict[int, int]  # by id: how many it tells apart
    next: str | None


def limits(settings: Settings) -> dict[str, int]:
    """The files that a form may hold, and how large each may be."""
    return {"weights": int(settings.max_upload_gb * 1e9), "prototxt": MOST_TEXT_BYTES, "labels": MOST_TEXT_BYTES,
            "mean": MOST_MEAN_BYTES}  # fmt: skip


@contextmanager
def incoming_folder(storage: Storage) -> Iterator[Path]:
    """A folder for what is being received; whatever is left in it goes at the end."""
    forget_incoming(storage)
    folder = storage.pretrained / f".incoming-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_files(storage: Storage, received: ReceivedForm, errors: Mapping[str, str]) -> dict[str, str]:
    """Keeps files that are all right while the rest of the form is mended; what it sends to have them back."""
    if "weights" in errors or "weights" not in received.files:
        return {}
    weights = received.files["weights"]
    token = secrets.token_hex(16)
    weights.path.parent.rename(storage.pretrained / f".kept-{token}")
    return {"kept": token, "kept_name": _shown(weights.filename)}


def take_kept(storage: Storage, received: ReceivedForm, folder: Path) -> None:
    """The files that were kept, unless others are sent in their place."""
    token = received.texts.pop("kept", "")
    filename = received.texts.pop("kept_name", "")
    kept = storage.pretrained / f".kept-{token}"
    if not KEPT.fullmatch(token) or "weights" in received.files or not kept.is_dir():
        return
    for name in ("weights", "mean"):
        if (kept / name).is_file() and name not in received.files:
            (kept / name).rename(folder / name)
            received.files[name] = ReceivedFile(filename if name == "weights" else name, folder / name)
    shutil.rmtree(kept, ignore_errors=True)


def take_failed(database: Database, storage: Storage, user: User, received: ReceivedForm, folder: Path) -> int | None:
    """The files of a net whose import failed, to be tried with other choices, unless others are sent; its id."""
    text = received.texts.pop("again", "")
    if "weights" in received.files or not (text.isascii() and text.isdigit() and len(text) < 19):
        return None
    with database.read() as session:
        net = get_pretrained(session, int(text))
    require_owner(user, net.user_id)
    sent = storage.pretrained_dir(net.id) / SENT
    if net.status != Status.FAILED or not (sent / "weights").is_file():
        return None
    for name in ("weights", "mean"):
        if (sent / name).is_file() and name not in received.files:
            _link(sent / name, folder / name)
            received.files[name] = ReceivedFile(net.origin_title if name == "weights" else name, folder / name)
    return net.id


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # shared folders without hard links
        shutil.copy(source, target)


def form_values(net: PretrainedNet) -> dict[str, str]:
    """What was typed for a net, as far as its row knows it."""
    known, is_rgb = net.preprocessing_value, net.origin.get("channel_order") == "rgb"
    means = known.mean_values[::-1] if is_rgb else known.mean_values
    values = {
        "name": net.name, "notes": net.notes, "prototxt": net.prototxt, "labels": "\n".join(net.labels),
        "channels": str(known.channels), "channel_order": "rgb" if is_rgb else "bgr",
        "resize_mode": str(known.resize_mode), "mean_values": ", ".join(f"{value:g}" for value in means),
        "scale": f"{known.scale:.12g}", "match": str(net.origin.get("match", MatchBy.NAME)),
    }  # fmt: skip
    if deviations := net.origin.get("std_values"):
        values |= {"std_values": ", ".join(f"{value:g}" for value in deviations), "scale": ""}
    if net.origin.get("size_given"):  # else the prototxt says it, or the mean image
        values |= {"width": str(known.width), "height": str(known.height), "crop_size": str(known.crop_size or "")}
    return values


def forget_incoming(storage: Storage) -> None:
    """Clears away what a server that was killed had begun to receive, and what nobody came back for."""
    for folder in (*storage.pretrained.glob(".incoming-*"), *storage.pretrained.glob(".kept-*")):
        if folder.stat().st_mtime < time.time() - FORGOTTEN_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def texts_of(received: ReceivedForm) -> dict[str, str]:
    """The fields of the form; a file of text counts as if it had been typed."""
    typed = dict(received.texts)
    for name in ("prototxt", "labels"):
        if name in received.files:
            typed[name] = received.files[name].text()
    return typed


def create_pretrained(
    database: Database, storage: Storage, queue: Queue, user: User, form: NewPretrained, received: ReceivedForm
) -> int:
    """The id of the new pretrained net, whose import is queued. Raises InvalidPretrained."""
    problems = weights_problems(received)
    facts: Facts | None = None
    try:
        facts = facts_of(form)
    except InvalidPretrained as error:
        problems |= error.fields
    if problems or facts is None:
        raise InvalidPretrained(problems)
    source = _source_of(received)
    weights = received.files["weights"]
    if form.match is MatchBy.ORDER:
        pairs_by_order(facts, weights.path)
    net = PretrainedNet(
        user_id=user.id, name=form.name, notes=form.notes, source=source, topology_name=facts.topology_name,
        prototxt=facts.prototxt, labels=facts.labels, preprocessing=facts.preprocessing.to_dict(),
        origin={"filename": _shown(weights.filename), "channel_order": str(form.channel_order),
                "match": str(form.match), "input_factors": facts.input_factors, "std_values": form.std_values,
                "unsaid": [str(one) for one in facts.unsaid if one is not Unsaid.MEAN or "mean" not in received.files],
                "size_given": form.width is not None or form.height is not None},
    )  # fmt: skip
    return _insert(database, storage, queue, net, weights.path.parent)


def pairs_by_order(facts: Facts, path: Path) -> list[Pair]:
    """What a .safetensors calls the weights of the prototxt, by their order; raises InvalidPretrained."""
    try:
        if weights_source(path) is not WeightsSource.SAFETENSORS:
            raise OrderError("Only a .safetensors is matched by order. Match this one by name.")
        given = weight_shapes(path)
        renaming = by_order(facts.prototxt, given, facts.preprocessing.input_shape, len(facts.labels))
    except (OrderError, WeightsError) as error:
        raise InvalidPretrained({"match": str(error)}) from error
    return [Pair(name, theirs, given[theirs]) for name, theirs in renaming.names.items()]


def weights_problems(received: ReceivedForm) -> dict[str, str]:
    """What is wrong with the file of weights, as far as its bytes and its header say."""
    try:
        _source_of(received)
    except WeightsError as error:
        return {"weights": str(error)}
    return {}


def add_snapshot(database: Database, storage: Storage, queue: Queue, user: User, form: FromSnapshot) -> int:
    """A snapshot of a model as a pretrained net; the worker copies it. Raises InvalidPretrained."""
    with database.read() as session:
        model = session.get(Model, form.model_id)
        if model is None:
            raise InvalidPretrained({"model_id": "This model does not exist, or was deleted meanwhile."})
        snapshot = Snapshot.find(session, model.id, form.snapshot)
        if snapshot is None:
            message = f"Expected last, best or the epoch of a snapshot, found “{form.snapshot}”."
            raise InvalidPretrained({"snapshot": message})
        classes = model.dataset.classes
        origin = {"model_id": model.id, "model": model.name, "epoch": snapshot.epoch_label,
                  "path": f"{snapshot.path}/{WEIGHTS}", "dataset_id": model.dataset_id, "size_given": True}  # fmt: skip
        net = PretrainedNet(
            user_id=user.id, name=form.name or f"{model.name}, epoch {snapshot.epoch_label}"[:200], notes="",
            source=WeightsSource.SNAPSHOT, topology_name=model.topology_name, prototxt=fitted(model, len(classes)),
            labels=classes, preprocessing=model.preprocessing, origin=origin,
        )  # fmt: skip
    return _insert(database, storage, queue, net, None)


def fitted(model: Model, classes: int) -> str:
    try:
        return fit(model.unfrozen_prototxt, classes)
    except TopologyError:
        return model.unfrozen_prototxt


def get_pretrained(session: Session, pretrained_id: int) -> PretrainedNet:
    net = session.get(PretrainedNet, pretrained_id)
    if net is None:
        raise PageNotFound("pretrained net")
    return net


def list_pretrained(session: Session, wanted: Filter) -> PretrainedPage:
    """One page of the list. Any page costs the same as the first."""
    heavy = (PretrainedNet.labels, PretrainedNet.prototxt, PretrainedNet.layers)
    statement = select(PretrainedNet).options(*(defer(column) for column in heavy))
    if wanted.text:
        statement = statement.where(PretrainedNet.name.icontains(wanted.text, autoescape=True))
    rows = list(session.scalars(_ordered(session, statement, wanted).limit(wanted.limit + 1)))
    page = rows[: wanted.limit]
    after = str(page[-1].id) if len(rows) > wanted.limit else None
    return PretrainedPage(page, _uses(session, page), _class_counts(session, page), after)


def count_pretrained(session: Session) -> dict[str, int]:
    """How many there are in each state, and `all` of them."""
    statement = select(Job.status, func.count()).join(PretrainedNet, PretrainedNet.job_id == Job.id)
    counts = {str(status): count for status, count in session.execute(statement.group_by(Job.status))}
    return counts | {"all": sum(counts.values())}


def used_by(session: Session, net: PretrainedNet, limit: int = 20) -> tuple[int, Sequence[Model]]:
    """How many models started from it, and the newest of them."""
    statement = select(Model).where(Model.start_from == net.start_key).order_by(Model.id.desc()).limit(limit)
    return _uses(session, [net]).get(net.id, 0), session.scalars(statement).all()


def change_pretrained(database: Database, user: User, pretrained_id: int, changes: PretrainedChanges) -> None:
    with database.write() as session:
        net = get_pretrained(session, pretrained_id)
        require_owner(user, net.user_id)
        if changes.name is not None:
            net.name = changes.name
            net.job.title = changes.name
        if changes.notes is not None:
            net.notes = changes.notes


def delete_pretrained(database: Database, storage: Storage, user: User, pretrained_id: int) -> None:
    """Deletes row and files. Models that started from it stay; raises PretrainedBusy while one still waits for it."""
    with database.write() as session:
        session.get(PretrainedNet, pretrained_id, with_for_update={"of": PretrainedNet})  # nobody chooses it meanwhile
        net = get_pretrained(session, pretrained_id)
        require_owner(user, net.user_id)
        waiting = models_that_wait_for(session, net.start_key)
        if waiting:
            raise PretrainedBusy(f"{needed_by(waiting)} will start from its weights. Wait for that, or stop it first.")
        Job.request_stop(session, net.job_id)  # one that is queued leaves the queue
        session.refresh(net)
        if net.status == Status.RUNNING:
            raise PretrainedBusy("It is being imported. Wait for that, or try again in a moment.")
        prediction_jobs = session.scalars(select(Prediction.job_id).where(Prediction.pretrained_id == net.id)).all()
        job_ids = [net.job_id, *prediction_jobs]
        session.execute(delete(Prediction).where(Prediction.pretrained_id == net.id))
        session.delete(net)
        session.flush()
        session.execute(delete(Job).where(Job.id.in_(job_ids)))
    storage.delete(storage.pretrained_dir(pretrained_id))


def _source_of(received: ReceivedForm) -> WeightsSource:
    if "weights" not in received.files:
        raise WeightsError("Choose a .caffemodel or a .safetensors.")
    path = received.files["weights"].path
    source = weights_source(path)
    if source is WeightsSource.SAFETENSORS and not weight_shapes(path):
        raise WeightsError("This .safetensors holds no tensors.")
    return source


def _insert(database: Database, storage: Storage, queue: Queue, net: PretrainedNet, arrived: Path | None) -> int:
    with database.write() as session:
        net.job = Job.of(JobKind.IMPORT_PRETRAINED, title=net.name, user_id=net.user_id)
        session.add(net)
        session.flush()
        net.job.path = f"/pretrained/{net.id}"
        folder = storage.pretrained_dir(net.id)
        storage.delete(folder)  # of an earlier one whose id was given again
        folder.mkdir(parents=True)
        if arrived is not None:
            arrived.rename(folder / SENT)
        job_id, pretrained_id = net.job_id, net.id
    queue.enqueue(job_id)
    return pretrained_id


def _shown(filename: str) -> str:
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in name if char.isprintable()).strip()[:255] or "weights"


def _uses(session: Session, nets: Sequence[PretrainedNet]) -> dict[int, int]:
    by_key = {net.start_key: net.id for net in nets}
    statement = select(Model.start_from, func.count()).where(Model.start_from.in_(by_key)).group_by(Model.start_from)
    return {by_key[str(key)]: count for key, count in session.execute(statement)}


def _class_counts(session: Session, nets: Sequence[PretrainedNet]) -> dict[int, int]:
    counted = select(PretrainedNet.id, func.json_array_length(PretrainedNet.labels))
    rows = session.execute(counted.where(PretrainedNet.id.in_([net.id for net in nets])))
    return {int(number): int(count or 0) for number, count in rows}


def _ordered(session: Session, statement: Select[Any], wanted: Filter) -> Select[Any]:
    """By the wanted column and then by id, beyond the row of `after`."""
    is_down, column = wanted.sort.startswith("-"), ORDERS[wanted.sort.removeprefix("-")]
    ordered = statement.order_by(*(key.desc() if is_down else key for key in (column, PretrainedNet.id)))
    if wanted.after is None:
        return ordered
    beyond_id = PretrainedNet.id < wanted.after if is_down else PretrainedNet.id > wanted.after
    anchor = None
    if column is not PretrainedNet.id:
        anchor = session.execute(select(column).where(PretrainedNet.id == wanted.after)).first()
    if anchor is None:
        return ordered.where(beyond_id)
    beyond = column < anchor[0] if is_down else column > anchor[0]
    return ordered.where(or_(beyond, and_(column == anchor[0], beyond_id)))
