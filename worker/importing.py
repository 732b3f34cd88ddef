"""An `import_pretrained` job: what was sent becomes a pretrained net of the library, whatever its form was.

The weights are read and written piece by piece: half a gigabyte of .caffemodel takes no more memory than a small one.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from app.db import Database, Job, PretrainedNet
from app.preprocessing import Preprocessing
from app.pretrained.weights_files import WeightsSource
from app.settings import Settings
from app.storage import Storage
from app.topology.errors import TopologyError
from app.topology.fine_tuning import Fate, KeptLayer, MatchedWeight, kept_layers, match_weights
from app.topology.layers import Shape
from app.topology.pytorch_names import OrderError, Renaming, by_name, by_order
from worker.engine.errors import EngineError
from worker.lease import Lease
from worker.outcome import Outcome, Refusal
from worker.pretrained.sent_mean import SentMean, mean_of, mean_of_dataset
from worker.pretrained.sent_weights import SentWeights, open_caffemodel_weights, open_safetensors_weights
from worker.pretrained.weights_writer import write_weights

SENT = "sent"  # what came from outside, in the net's folder, until it is imported
WEIGHTS = "weights.safetensors"
MOST_NAMED = 4


class Stopped(Exception):
    """Somebody asked the import to stop."""


@dataclass
class Imported:
    """What the row gets to know."""

    layers: list[dict[str, Any]]
    parameters: int
    size_bytes: int
    sha256: str
    is_complete: bool
    preprocessing: Preprocessing
    remarks: list[str] = field(default_factory=list)


def import_pretrained(_settings: Settings, database: Database, storage: Storage, lease: Lease) -> Outcome:
    with database.read() as session:
        net = session.scalars(select(PretrainedNet).where(PretrainedNet.job_id == lease.job_id)).one()
    folder = storage.pretrained_dir(net.id)
    try:
        imported = _import(net, folder, storage, lease)
    except Stopped:
        return Outcome.STOPPED
    except (EngineError, TopologyError) as error:
        raise Refusal(str(error)) from error
    with database.write() as session:
        if Job.holds(session, lease.job_id, lease.attempt):
            row = session.get_one(PretrainedNet, net.id)
            row.layers, row.parameters, row.size_bytes = imported.layers, imported.parameters, imported.size_bytes
            row.sha256, row.is_complete, row.remarks = imported.sha256, imported.is_complete, imported.remarks
            row.preprocessing = imported.preprocessing.to_dict()
            Job.finish(session, lease.job_id, lease.attempt)
    shutil.rmtree(folder / SENT, ignore_errors=True)
    return Outcome.DONE


def _import(net: PretrainedNet, folder: Path, storage: Storage, lease: Lease) -> Imported:
    folder.mkdir(parents=True, exist_ok=True)
    mean = _mean(net, folder, storage)
    preprocessing = mean.preprocessing
    layers = kept_layers(net.prototxt, preprocessing.input_shape, len(net.labels))
    wanted = {name: shape for layer in layers for name, shape in layer.weights.items()}
    first = _FirstWeights.of(net, layers)
    with _opened(net, folder, storage, list(wanted)) as sent:
        renaming = _renaming(net, sent.shapes, preprocessing)
        sent = sent.renamed(renaming)
        table = match_weights(wanted, sent.shapes)
        _refuse(table, list(sent.shapes))
        kept = {entry.name: wanted[entry.name] for entry in table if entry.fate is Fate.LOADED}
        size_bytes = write_weights(folder / WEIGHTS, kept, _pieces(sent, kept, first, lease))
    if mean.image is not None:
        np.save(folder / "mean.npy", mean.image)
    missing = [entry.name for entry in table if entry.fate is Fate.NEW]
    predicting = {name for layer in layers if layer.predicts for name in layer.weights}
    imported = Imported(
        layers=[_described(layer, kept, renaming) for layer in layers],
        parameters=sum(map(math.prod, kept.values())),
        size_bytes=size_bytes,
        sha256=_sha256(folder / WEIGHTS),
        is_complete=bool(predicting) and predicting <= kept.keys(),
        preprocessing=preprocessing,
        remarks=[*mean.remarks, *sent.remarks, *_remarks(table, missing, first)],
    )
    _write_texts(net, folder, imported)
    return imported


@contextmanager
def _opened(net: PretrainedNet, folder: Path, storage: Storage, names: Sequence[str]) -> Iterator[SentWeights]:
    path = folder / SENT / "weights"
    if net.source is WeightsSource.SNAPSHOT:
        path = storage.absolute(str(net.origin["path"]))
    if not path.is_file():
        raise EngineError("The weights are gone from the disk. Delete this pretrained net and send them again.")
    if net.source is WeightsSource.CAFFEMODEL:
        with open_caffemodel_weights(path, names) as sent:
            yield sent
    else:
        with open_safetensors_weights(path) as sent:
            yield sent


def _renaming(net: PretrainedNet, sent: Mapping[str, Shape], preprocessing: Preprocessing) -> Renaming:
    """What PyTorch's names are here: those of batch normalisations, or, where that was chosen, all by their order."""
    if net.source is not WeightsSource.SAFETENSORS:
        return Renaming()
    if net.origin.get("match") != "order":
        try:
            return by_name(net.prototxt, sent, preprocessing.input_shape, len(net.labels))
        except TopologyError:  # no net that predicts
            return Renaming()
    try:
        return by_order(net.prototxt, sent, preprocessing.input_shape, len(net.labels))
    except OrderError as error:
        raise EngineError(str(error)) from error


def _mean(net: PretrainedNet, folder: Path, storage: Storage) -> SentMean:
    if net.source is WeightsSource.SNAPSHOT:
        path = storage.dataset_dir(int(net.origin["dataset_id"])) / "mean.npy"
        return mean_of_dataset(net.preprocessing_value, path)
    path = folder / SENT / "mean"
    is_size_given = bool(net.origin.get("size_given"))
    return mean_of(net.preprocessing_value, path if path.is_file() else None, is_size_given)


def _refuse(table: Sequence[MatchedWeight], sent: Sequence[str]) -> None:
    """Raises EngineError for weights that belong to another net than the prototxt says."""
    wrong = [entry for entry in table if entry.fate is Fate.NEW and entry.found and entry.reason.startswith("expected")]
    if wrong:
        listed = "; ".join(f"{entry.name}: {entry.reason}" for entry in wrong[:MOST_NAMED])
        raise EngineError(
            f"The prototxt does not fit the weights: {listed}. Is it the net's own, and the input size right?"
        )
    if not any(entry.fate is Fate.LOADED for entry in table):
        wanted = [entry.name for entry in table if entry.shape is not None]
        raise EngineError(
            "No layer of the prototxt finds all of its weights in the file: "
            f"it needs {_named(wanted)}; the file has {_named(sent)}. "
            "Where it is the same net under other names, a .safetensors can be matched by order."
        )


@dataclass(frozen=True)
class _FirstWeights:
    """The weights that look at the picture itself, and what they are to take in: BGR, divided by one number for all."""

    names: frozenset[str] = frozenset()
    is_rgb: bool = False
    factors: tuple[float, ...] = ()  # per channel, in the order of the file

    @classmethod
    def of(cls, net: PretrainedNet, layers: Sequence[KeptLayer]) -> _FirstWeights:
        is_rgb, factors = net.origin.get("channel_order") == "rgb", tuple(net.origin.get("input_factors", ()))
        if not is_rgb and not factors:
            return cls()
        channels = 3 if is_rgb else net.preprocessing_value.channels.number
        first = [layer for layer in layers if layer.reads_image]
        names = {name for layer in first for name, shape in layer.weights.items() if _takes(shape, channels)}
        if not first or len(names) != len(first) or any(layer.type != "Convolution" for layer in first):
            into = "RGB can be turned into BGR" if is_rgb else "the standard deviations can be taken in"
            over = "three channels" if is_rgb else f"{channels} channels"
            raise EngineError(f"Expected a Convolution over {over} as the first layer, in which {into}.")
        return cls(frozenset(names), is_rgb, factors)

    def changed(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(out, channels, height, width), as the file has them, to what is kept."""
        if self.factors:
            values = values * np.array(self.factors, np.float32)[:, None, None]
        return np.ascontiguousarray(values[:, ::-1] if self.is_rgb else values)


def _takes(shape: Shape, channels: int) -> bool:
    return len(shape) == 4 and shape[1] == channels


def _pieces(
    sent: SentWeights, kept: Mapping[str, Shape], first: _FirstWeights, lease: Lease
) -> Iterator[tuple[str, Iterator[NDArray[np.float32]]]]:
    for name, shape in kept.items():
        if lease.should_stop:
            raise Stopped
        pieces = sent.pieces(name)
        if name in first.names:
            whole = np.concatenate([piece.reshape(-1) for piece in pieces]).reshape(shape)
            pieces = iter([first.changed(whole)])
        yield name, pieces


def _described(layer: KeptLayer, kept: Mapping[str, Shape], renaming: Renaming) -> dict[str, Any]:
    weights = [
        {"name": name, "shape": list(shape)} | ({"sent_as": renaming.names[name]} if name in renaming.names else {})
        for name, shape in layer.weights.items()
        if name in kept
    ]
    return {"name": layer.name, "type": layer.type, "weights": weights, "predicts": layer.predicts}


def _remarks(table: Sequence[MatchedWeight], missing: Sequence[str], first: _FirstWeights) -> list[str]:
    left_out = [entry.name for entry in table if entry.fate is Fate.LEFT_OUT]
    remarks = []
    if missing:
        remarks.append(f"The file has no weights for {_named(missing)}; a model that starts from this gets new ones.")
    if left_out:
        remarks.append(f"The prototxt has no layer for {_named(left_out)}; they were left out.")
    if first.factors:
        remarks.append("The first layer makes up for the standard deviations: here one scale serves all channels.")
    if first.is_rgb:
        remarks.append("It was trained on RGB. The first layer was turned round: here it takes BGR, as all nets do.")
    return remarks


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more weights" if len(names) > MOST_NAMED else shown


def _write_texts(net: PretrainedNet, folder: Path, imported: Imported) -> None:
    (folder / "net.prototxt").write_text(net.prototxt, encoding="utf-8")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in net.labels), encoding="utf-8")
    info = {
        "name": net.name,
        "source": str(net.source),
        "topology": net.topology_name,
        "parameters": imported.parameters,
        "sha256": imported.sha256,
        "preprocessing": imported.preprocessing.to_dict(),
        "model file": "net.prototxt",
        "snapshot file": WEIGHTS,
        "labels file": "labels.txt",
        "framework": "trainyard",
    }
    (folder / "info.json").write_text(json.dumps(info, indent=2, ensure_ascii=False), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
